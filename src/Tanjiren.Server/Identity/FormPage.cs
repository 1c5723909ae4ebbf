using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Identity;

/// <summary>
/// A page with a form, rendered here because its reader has nothing else yet. Its CSRF token is a MAC over a cookie: a foreign page can neither read the
/// one nor set the other.
/// </summary>
internal sealed class FormPage(string title, string path)
{
    private const string CsrfCookie = "tnv_csrf";

    /// <summary>The hidden field that a form of this page must carry, and the cookie that belongs to it.</summary>
    public string CsrfField(HttpContext context, ServerSecrets secrets, ServerAddress address)
    {
        var seed = Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32));
        var folder = address.PublicUrl is { } url ? new Uri(url).AbsolutePath.TrimEnd('/') : ""; // the browser's path, behind a proxy that takes a part of it off
        context.Response.Cookies.Append(CsrfCookie, seed, new CookieOptions
        {
            HttpOnly = true, SameSite = SameSiteMode.Strict, Secure = address.IsSecure(context.Request), Path = folder + path, IsEssential = true,
        });
        return $"<input type=\"hidden\" name=\"csrf\" value=\"{Token(secrets, seed)}\">";
    }

    /// <summary>
    /// Refuses what no form of ours can have sent. Null: it is a form; whether it is our own, <see cref="IsOwnForm"/> tells. An origin of <c>null</c> goes
    /// on to that check, for that is what browsers send from a page with <c>Referrer-Policy: no-referrer</c> (Fetch standard, "append a request Origin header").
    /// </summary>
    public static Problem? Refuse(HttpContext context, ServerAddress address, string route)
    {
        if (context.Request.Headers.Origin is not ["null"] && address.CheckOrigin(context.Request, required: true) is { } foreign) return foreign;
        return context.Request.HasFormContentType ? null : Problem.Of(415, ErrorCode.UnsupportedMediaType, "This page takes a form.", $"Programs use {route}.");
    }

    public static bool IsOwnForm(HttpContext context, ServerSecrets secrets, IFormCollection form) =>
        context.Request.Cookies.TryGetValue(CsrfCookie, out var seed)
        && CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(form["csrf"].ToString()), Encoding.UTF8.GetBytes(Token(secrets, seed)));

    public IResult Answer(HttpContext context, string content, int status)
    {
        // The link carries the code: no cache may keep it and no other page may learn it.
        context.Response.Headers.CacheControl = "no-store";
        context.Response.Headers["Referrer-Policy"] = "no-referrer";
        context.Response.Headers.ContentSecurityPolicy = "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
        return TypedResults.Text($"<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{Html(title)}</title><h1>{Html(title)}</h1>{content}</html>",
            "text/html; charset=utf-8", Encoding.UTF8, status);
    }

    /// <summary>What went wrong, for a person: the fields, or what was said and what to do.</summary>
    public static string Explain(ProblemBody problem) => problem.Errors is { } errors
        ? string.Join(" ", errors.Select(field => $"{field.Key} {string.Join(", ", field.Value)}."))
        : $"{problem.Detail} {problem.Hint}";

    public static string Alert(string? error) => error is null ? "" : $"<p role=\"alert\">{Html(error)}</p>";

    public static string Html(string text) => HtmlEncoder.Default.Encode(text);

    private static string Token(ServerSecrets secrets, string seed) =>
        Base64Url.EncodeToString(HMACSHA256.HashData(secrets.FormKey, Encoding.UTF8.GetBytes(seed)));
}
