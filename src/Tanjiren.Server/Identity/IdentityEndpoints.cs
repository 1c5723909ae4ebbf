using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity.OAuth;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Identity;

/// <summary>Signing in and out, and who am I.</summary>
internal static class IdentityEndpoints
{
    public static IServiceCollection AddIdentity(this IServiceCollection services) => services
        .AddFeatureOptions<IdentityOptions>("Identity")
        .AddSingleton<Passwords>()
        .AddSingleton<CredentialStore>()
        .AddSingleton<CallerCheck>()
        .AddSingleton<SignIn>()
        .AddSingleton<SetupService>()
        .AddSingleton<FormPages>()
        .AddSingleton<DeviceServices>()
        .AddOAuth()
        .AddHostedService<SetupAnnouncement>();

    public static void MapIdentity(this IEndpointRouteBuilder routes)
    {
        var auth = routes.MapGroup("/api/auth").WithTags("Identity");
        auth.MapPost("/login", LoginAsync).WithName("login")
            .WithSummary("Signs in with e-mail and password; answers with the cookie tnv_session.").TakesLittle().AnswersProblems(400, 401, 403, 404, 408, 413, 415, 422, 429);
        auth.MapPost("/logout", LogoutAsync).WithName("logout").WithSummary("Ends the browser session, or revokes the token that was sent, an OAuth token's whole sign-in.").RequireRole(Role.Viewer);
        auth.MapGet("/me", (Caller caller) => TypedResults.Ok(SignIn.Describe(caller))).WithName("getMe")
            .WithSummary("Who the credential belongs to, and where it acts.").RequireRole(Role.Viewer);
        TokenEndpoints.MapTokens(auth);
        SetupEndpoints.MapSetup(routes);
        OAuthEndpoints.MapOAuth(routes);
    }

    private static async Task<Results<Ok<IdentityBody>, Problem>> LoginAsync(
        LoginRequest request, HttpContext context, SignIn signIn, ServerAddress address, CancellationToken cancellationToken)
    {
        // Without this check a foreign page could sign the browser in as somebody else and watch what is done there.
        if (address.CheckOrigin(context.Request, required: false) is { } foreign) return foreign;
        var errors = new FieldErrors();
        var email = errors.Text(request.Email, 254, "email").ToLowerInvariant();
        errors.Require(!string.IsNullOrEmpty(request.Password), "password", "is required");
        errors.OptionalText(request.Organization, WireLimits.MaxNameLength, "organization");
        if (errors.Any) return errors.ToProblem();

        var outcome = await signIn.WithPasswordAsync(email, request.Password!, request.Organization, context.Connection.RemoteIpAddress, cancellationToken);
        if (outcome.Refusal is { } refusal) return refusal;
        SetCookie(context, address, outcome.Secret, outcome.ExpiresAt);
        return TypedResults.Ok(SignIn.Describe(outcome.Caller!));
    }

    private static async Task<NoContent> LogoutAsync(
        Caller caller, HttpContext context, CredentialStore credentials, GrantStore grants, AuditLog audit, Database database, WakeUps wakeUps, CancellationToken cancellationToken)
    {
        if (caller.GrantId is { } grantId)
        {
            await database.WriteAsync(tx => grants.RevokeAsync(tx, grantId, RevokeReason.SignedOut, caller.UserId, caller.Address), cancellationToken);
            return TypedResults.NoContent();
        }
        var kind = context.Request.Headers.Authorization.Count > 0 ? CredentialKind.Token : CredentialKind.Session;
        await database.WriteAsync(async tx =>
        {
            if (await credentials.RevokeAsync(tx, caller, kind, caller.CredentialId)) await audit.AppendAsync(tx, caller, "identity.signed_out", caller.CredentialId);
            tx.OnCommit(() => wakeUps.Notify(WakeUps.Access(caller.UserId)));
        }, cancellationToken);
        context.Response.Cookies.Delete(CallerAuthentication.Cookie);
        return TypedResults.NoContent();
    }

    internal static void SetCookie(HttpContext context, ServerAddress address, CredentialSecret secret, DateTimeOffset expiresAt) =>
        context.Response.Cookies.Append(CallerAuthentication.Cookie, secret.Value, new CookieOptions
        {
            HttpOnly = true, SameSite = SameSiteMode.Strict, Secure = address.IsSecure(context.Request), Path = "/", Expires = expiresAt, IsEssential = true,
        });
}
