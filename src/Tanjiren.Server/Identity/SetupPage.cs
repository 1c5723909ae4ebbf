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
/// The form behind the set-up link, rendered here because a bare server has nothing else. Its CSRF token is a MAC over a cookie: a foreign page can
/// neither read the one nor set the other.
/// </summary>
internal static class SetupPage
{
    private const string CsrfCookie = "tnv_csrf";

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/setup", Show).ExcludeFromDescription();
        routes.MapPost("/setup", SubmitAsync).ExcludeFromDescription();
    }

    private static IResult Show(string? code, HttpContext context, ServerSecrets secrets, ServerAddress address) => Render(context, secrets, address, code ?? "", null, 200);

    private static async Task<IResult> SubmitAsync(
        HttpContext context, SetupService setup, SignIn signIn, AttemptLimiter limiter, ServerSecrets secrets, ServerAddress address, CancellationToken cancellationToken)
    {
        if (address.CheckOrigin(context.Request, required: true) is { } foreign) return foreign;
        if (!context.Request.HasFormContentType) return Problem.Of(415, ErrorCode.UnsupportedMediaType, "This page takes a form.", "Programs use POST /api/setup.");
        var form = await context.Request.ReadFormAsync(cancellationToken);
        var code = form["code"].ToString();
        if (!IsOwnForm(context, secrets, form["csrf"].ToString()))
            return Render(context, secrets, address, code, "The form was too old. Send it again.", 403);

        var request = new SetupRequest
        {
            Code = code, Email = form["email"], Password = form["password"], OrganizationName = form["organizationName"],
        };
        var (owner, problem) = await SetupEndpoints.CompleteAsync(request, context, setup, limiter, cancellationToken);
        if (problem is not null) return Render(context, secrets, address, code, Explain(problem.Value), problem.Value.Status);
        var session = await signIn.StartSessionAsync(owner!, cancellationToken);
        IdentityEndpoints.SetCookie(context, address, session.Secret, session.ExpiresAt);
        var url = address.PublicUrl ?? $"{context.Request.Scheme}://{context.Request.Host.Value}";
        return Page(context, $"""
            <p>{Html(owner!.Email)} is the owner of {Html(owner.OrganizationName)} now. You are signed in.</p>
            <p>Next, on the machine that you work at, sign the command line in; it asks for the password:</p>
            <pre>tanvrit-compute auth login --server {Html(url)} --email {Html(owner.Email)}</pre>
            """, 200);
    }

    private static string Explain(ProblemBody problem) => problem.Errors is { } errors
        ? string.Join(" ", errors.Select(field => $"{field.Key} {string.Join(", ", field.Value)}."))
        : $"{problem.Detail} {problem.Hint}";

    private static IResult Render(HttpContext context, ServerSecrets secrets, ServerAddress address, string code, string? error, int status)
    {
        var seed = Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32));
        context.Response.Cookies.Append(CsrfCookie, seed, new CookieOptions
        {
            HttpOnly = true, SameSite = SameSiteMode.Strict, Secure = address.IsSecure(context.Request), Path = "/setup", IsEssential = true,
        });
        return Page(context, $"""
            {(error is null ? "" : $"<p role=\"alert\">{Html(error)}</p>")}
            <form method="post" action="setup">
            <input type="hidden" name="csrf" value="{Token(secrets, seed)}">
            <p><label>Set-up code<br><input name="code" value="{Html(code)}" required autocomplete="off"></label></p>
            <p><label>Your e-mail<br><input name="email" type="email" required autocomplete="username"></label></p>
            <p><label>A password, {Passwords.MinLength} characters or more<br><input name="password" type="password" minlength="{Passwords.MinLength}" required autocomplete="new-password"></label></p>
            <p><label>Name of the organization<br><input name="organizationName" required maxlength="{WireLimits.MaxNameLength}"></label></p>
            <p><button>Make me the owner</button></p>
            </form>
            """, status);
    }

    private static IResult Page(HttpContext context, string content, int status)
    {
        // The link carries the code: no cache may keep it and no other page may learn it.
        context.Response.Headers.CacheControl = "no-store";
        context.Response.Headers["Referrer-Policy"] = "no-referrer";
        context.Response.Headers.ContentSecurityPolicy = "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
        return TypedResults.Text($"<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Set up Tanjiren</title><h1>Set up Tanjiren</h1>{content}</html>",
            "text/html; charset=utf-8", Encoding.UTF8, status);
    }

    private static bool IsOwnForm(HttpContext context, ServerSecrets secrets, string token) =>
        context.Request.Cookies.TryGetValue(CsrfCookie, out var seed)
        && CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(token), Encoding.UTF8.GetBytes(Token(secrets, seed)));

    private static string Token(ServerSecrets secrets, string seed) =>
        Base64Url.EncodeToString(HMACSHA256.HashData(secrets.FormKey, Encoding.UTF8.GetBytes(seed)));

    private static string Html(string text) => HtmlEncoder.Default.Encode(text);
}
