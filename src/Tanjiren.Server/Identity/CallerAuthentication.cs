using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Identity;

/// <summary>
/// Admits people to routes that require a role: by personal or OAuth access token (<c>Authorization: Bearer tnv_…</c>), else by the session cookie. A cookie
/// alone never changes anything for a page of another origin.
/// </summary>
internal sealed class CallerAuthentication(RequestDelegate next, CredentialStore credentials, ServerAddress address)
{
    public const string Cookie = "tnv_session";

    public async Task InvokeAsync(HttpContext context)
    {
        if (context.GetEndpoint()?.Metadata.GetMetadata<RoleRequirement>() is not { } requirement)
        {
            await next(context);
            return;
        }
        if (await AdmitAsync(context, requirement) is { } refusal) await refusal.ExecuteAsync(context);
        else await next(context);
    }

    private async Task<Problem?> AdmitAsync(HttpContext context, RoleRequirement requirement)
    {
        var (secret, use, shown) = Read(context.Request);
        if (!shown) return Challenge(context, ErrorCode.AuthenticationRequired, "This route needs credentials.");
        var caller = secret is { } value
            ? await credentials.AuthenticateAsync(value, use, context.Connection.RemoteIpAddress?.ToString(), context.RequestAborted)
            : null;
        if (caller is null) return Challenge(context, ErrorCode.InvalidCredentials, "The credentials are wrong, expired or revoked.");
        if (use == CredentialUse.Cookie && address.CheckOrigin(context.Request, required: true) is { } foreign) return foreign;
        if (caller.Role < requirement.Role)
            return Problem.Of(403, ErrorCode.Forbidden,
                $"This needs the role {Lower(requirement.Role)} in '{caller.OrganizationName}'; {caller.Email} has the role {Lower(caller.Role)}.",
                "Ask an admin or the owner of the organization for the role, or to do it for you.");
        context.Features.Set(caller);
        return null;
    }

    private static (CredentialSecret? Secret, CredentialUse Use, bool Shown) Read(HttpRequest request)
    {
        var authorization = request.Headers.Authorization;
        if (authorization.Count > 0)
        {
            const string scheme = "Bearer ";
            var text = authorization.Count == 1 ? authorization[0]! : "";
            var token = text.StartsWith(scheme, StringComparison.OrdinalIgnoreCase) ? text[scheme.Length..].Trim() : null;
            return (CredentialSecret.Parse(token), CredentialUse.Bearer, true);
        }
        return request.Cookies.TryGetValue(Cookie, out var cookie)
            ? (CredentialSecret.Parse(cookie), CredentialUse.Cookie, true)
            : (null, CredentialUse.Cookie, false);
    }

    private static Problem Challenge(HttpContext context, ErrorCode code, string detail)
    {
        // RFC 6750 §3.1: a request without credentials gets the challenge without an error.
        context.Response.Headers.WWWAuthenticate = code == ErrorCode.AuthenticationRequired ? "Bearer" : "Bearer error=\"invalid_token\"";
        return Problem.Of(401, code, detail,
            "Sign in at POST /api/auth/login, or send a personal access token as 'Authorization: Bearer tnv_…' (tanvrit-compute auth login makes one).");
    }

    private static string Lower(Role role) => role.ToString().ToLowerInvariant();
}
