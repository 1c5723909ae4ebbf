using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Hosting;

namespace Tanjiren.Server.Identity;

/// <summary>
/// What the server-rendered pages share. The CSRF token of a form is a MAC over a cookie and over what the form is about: a foreign page can neither
/// read the one nor set the other, and the token of one form is no good for another.
/// </summary>
internal sealed class FormPages(ServerSecrets secrets, ServerAddress address)
{
    private const string CsrfCookie = "tnv_csrf";
    private const int SeedLength = 43;

    /// <summary>The token for a form; sets its cookie. Forms of one browser share it, so that two tabs work.</summary>
    public string NewToken(HttpContext context, string about)
    {
        if (!context.Request.Cookies.TryGetValue(CsrfCookie, out var seed) || seed.Length != SeedLength)
            seed = Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32));
        context.Response.Cookies.Append(CsrfCookie, seed, new CookieOptions
        {
            // For every path, as the session's: a proxy may show ours under another, and a token is bound to its form anyway.
            HttpOnly = true, SameSite = SameSiteMode.Strict, Secure = address.IsSecure(context.Request), Path = "/", IsEssential = true,
        });
        return Token(seed, about);
    }

    public bool IsOwn(HttpContext context, string token, string about) =>
        context.Request.Cookies.TryGetValue(CsrfCookie, out var seed)
        && CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(token), Encoding.UTF8.GetBytes(Token(seed, about)));

    public static IResult Page(HttpContext context, string title, string content, int status)
    {
        // The link carries a code: no cache may keep it and no other page may learn it. Not "no-referrer": with it browsers send "Origin: null" with the
        // page's own form, which is then refused.
        context.Response.Headers.CacheControl = "no-store";
        context.Response.Headers["Referrer-Policy"] = "same-origin";
        context.Response.Headers.XFrameOptions = "DENY";
        context.Response.Headers.ContentSecurityPolicy = "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
        return TypedResults.Text(
            $"<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title><h1>{title}</h1>{content}</html>",
            "text/html; charset=utf-8", Encoding.UTF8, status);
    }

    public static string Alert(string? error) => error is null ? "" : $"<p role=\"alert\">{Html(error)}</p>";

    /// <summary>A refusal in one paragraph: each field that is wrong, or what to do.</summary>
    public static string Explain(ProblemBody problem) => problem.Errors is { } errors
        ? string.Join(" ", errors.Select(field => $"{field.Key} {string.Join(", ", field.Value)}."))
        : $"{problem.Detail} {problem.Hint}";

    public static string Html(string text) => HtmlEncoder.Default.Encode(text);

    private string Token(string seed, string about) =>
        Base64Url.EncodeToString(HMACSHA256.HashData(secrets.FormKey, Encoding.UTF8.GetBytes($"{seed}\n{about}")));
}
