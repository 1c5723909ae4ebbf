using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Identity.OAuth;

/// <summary>The OAuth routes of clients: device authorization (RFC 8628), tokens (RFC 6749), revocation (RFC 7009), metadata (RFC 8414).</summary>
internal static class OAuthEndpoints
{
    private static readonly TimeSpan AttemptWindow = TimeSpan.FromMinutes(5);
    private static readonly FormField Client = new("client_id", $"The client; the command line is {OAuthNames.CliClient}.", Required: true);
    private static readonly FormField Scope = new("scope", "Absent, empty, or the one scope that there is.", Words: OAuthNames.Scope);

    public static IServiceCollection AddOAuth(this IServiceCollection services) => services
        .AddFeatureOptions<OAuthOptions>("OAuth")
        .AddSingleton<GrantStore>()
        .AddSingleton<TokenRotation>()
        .AddSingleton<DeviceCodes>();

    public static void MapOAuth(IEndpointRouteBuilder routes)
    {
        var oauth = routes.MapGroup("/oauth").WithTags("OAuth");
        oauth.MapPost("/device_authorization", AuthorizeDeviceAsync).WithName("authorizeDevice")
            .WithSummary("A device code for a client, and a user code for its person to type at /device.").Produces<DeviceAuthorizationResponse>().RefusesAsOAuth().AnswersProblems(429)
            .TakesForm(Client, Scope, new FormField(OAuthNames.MachineName, "The name of the machine that asks, for its person to see. Not of the RFC."));
        oauth.MapPost("/token", TokenAsync).WithName("token")
            .WithSummary("Tokens for a device code that was approved, or for a refresh token.").Produces<OAuthTokenResponse>().RefusesAsOAuth()
            .TakesForm(
                new FormField("grant_type", "What is exchanged.", Required: true, OAuthNames.DeviceCodeGrant, OAuthNames.RefreshTokenGrant), Client,
                new FormField("device_code", "With the device code grant."), new FormField("refresh_token", "With the refresh token grant."), Scope);
        oauth.MapPost("/revoke", RevokeAsync).WithName("revoke")
            .WithSummary("Ends a sign-in by its refresh token, or one access token. An unknown token is 200 too.").Produces(200).RefusesAsOAuth()
            .TakesForm(new FormField("token", "A refresh token or an access token.", Required: true), new FormField("token_type_hint", "Ignored: a token says what it is."), Client);
        routes.MapGet("/.well-known/oauth-authorization-server", Metadata).WithName("oauthMetadata").WithTags("OAuth")
            .WithSummary("Where the OAuth routes are and what they take.").Produces<AuthorizationServerMetadata>();
        GrantEndpoints.MapGrants(routes);
        DevicePage.Map(routes);
    }

    private static async Task<IResult> AuthorizeDeviceAsync(
        HttpContext context, DeviceCodes codes, AttemptLimiter limiter, OAuthOptions options, ServerAddress address, CancellationToken cancellationToken)
    {
        var (form, refusal) = await OAuthForm.ReadAsync(context);
        if (form is null) return refusal!;
        if (form["scope"] is not ("" or OAuthNames.Scope)) return OAuthError.Of(OAuthErrors.InvalidScope, $"The only scope is '{OAuthNames.Scope}'.");
        var remote = context.Connection.RemoteIpAddress;
        if (limiter.Take("device-request:" + AttemptLimiter.KeyOf(remote), options.RequestsPerAddress, AttemptWindow) is { } seconds)
            return SignIn.TooMany("sign-ins asked for", seconds);

        var (deviceCode, userCode) = await codes.CreateAsync(form.Client, form.Words(OAuthNames.MachineName), remote?.ToString(), cancellationToken);
        OAuthError.NoStore(context.Response);
        var page = address.UrlOf(context.Request) + "/device";
        return TypedResults.Json(new DeviceAuthorizationResponse
        {
            DeviceCode = deviceCode, UserCode = UserCode.Show(userCode), VerificationUri = page, VerificationUriComplete = $"{page}?user_code={UserCode.Show(userCode)}",
            ExpiresIn = options.DeviceCodeSeconds, Interval = options.PollSeconds,
        }, WireJson.Default.DeviceAuthorizationResponse);
    }

    private static async Task<IResult> TokenAsync(HttpContext context, DeviceCodes codes, TokenRotation rotation, CancellationToken cancellationToken)
    {
        var (form, refusal) = await OAuthForm.ReadAsync(context);
        if (form is null) return refusal!;
        var remote = context.Connection.RemoteIpAddress?.ToString();
        OAuthTokenResponse? tokens;
        switch (form["grant_type"])
        {
            case OAuthNames.DeviceCodeGrant:
                if (form["device_code"].Length == 0) return OAuthError.Of(OAuthErrors.InvalidRequest, "The parameter device_code is missing.");
                (tokens, refusal) = await codes.PollAsync(form["device_code"], form.Client, remote, cancellationToken);
                break;
            case OAuthNames.RefreshTokenGrant:
                if (form["refresh_token"].Length == 0) return OAuthError.Of(OAuthErrors.InvalidRequest, "The parameter refresh_token is missing.");
                if (form["scope"] is not ("" or OAuthNames.Scope)) return OAuthError.Of(OAuthErrors.InvalidScope, $"The only scope is '{OAuthNames.Scope}'.");
                (tokens, var why) = await rotation.RefreshAsync(form["refresh_token"], form.Client, remote, cancellationToken);
                if (tokens is null) refusal = OAuthError.InvalidGrant(why!);
                break;
            case "":
                return OAuthError.Of(OAuthErrors.InvalidRequest, "The parameter grant_type is missing.");
            default:
                return OAuthError.Of(OAuthErrors.UnsupportedGrantType, $"The grant types are {OAuthNames.DeviceCodeGrant} and {OAuthNames.RefreshTokenGrant}.");
        }
        if (tokens is null) return refusal!;
        OAuthError.NoStore(context.Response);
        return TypedResults.Json(tokens, WireJson.Default.OAuthTokenResponse);
    }

    /// <summary>
    /// A refresh token stands for the sign-in and ends it, also one that was superseded: whoever wants it ended shall not be refused. An access token ends
    /// alone, so that a script that tidies up after itself does not sign its person out.
    /// </summary>
    private static async Task<IResult> RevokeAsync(
        HttpContext context, Database database, TokenRotation rotation, GrantStore grants, CredentialStore credentials, AuditLog audit, WakeUps wakeUps,
        CancellationToken cancellationToken)
    {
        var (form, refusal) = await OAuthForm.ReadAsync(context);
        if (form is null) return refusal!;
        var token = form["token"];
        if (token.Length == 0) return OAuthError.Of(OAuthErrors.InvalidRequest, "The parameter token is missing.");

        var remote = context.Connection.RemoteIpAddress?.ToString();
        if (await rotation.FindAsync(token, form.Client, cancellationToken) is { } refresh)
            await database.WriteAsync(tx => grants.RevokeAsync(tx, refresh.GrantId, RevokeReason.SignedOut, refresh.GrantId, remote), cancellationToken);
        else if (CredentialSecret.Parse(token) is { } access)
            await database.WriteAsync(async tx =>
            {
                if (await credentials.RevokeAccessTokenAsync(tx, access, form.Client.Id) is not { } ended) return;
                await audit.AppendAsync(tx, ended.OrganizationId, ended.GrantId, "token.revoked", ended.Id, "an access token of " + form.Client.Id, remote);
                tx.OnCommit(() => wakeUps.Notify(WakeUps.Access(ended.UserId)));
            }, cancellationToken);
        OAuthError.NoStore(context.Response);
        return TypedResults.Ok();
    }

    private static IResult Metadata(HttpContext context, ServerAddress address)
    {
        var url = address.UrlOf(context.Request);
        return TypedResults.Json(new AuthorizationServerMetadata
        {
            Issuer = url, TokenEndpoint = url + "/oauth/token", DeviceAuthorizationEndpoint = url + "/oauth/device_authorization", RevocationEndpoint = url + "/oauth/revoke",
            GrantTypesSupported = [OAuthNames.DeviceCodeGrant, OAuthNames.RefreshTokenGrant], ResponseTypesSupported = [],
            TokenEndpointAuthMethodsSupported = ["none"], RevocationEndpointAuthMethodsSupported = ["none"], ScopesSupported = [OAuthNames.Scope],
        }, WireJson.Default.AuthorizationServerMetadata);
    }

    private static RouteHandlerBuilder RefusesAsOAuth(this RouteHandlerBuilder route) => route.TakesLittle()
        .Produces<OAuthErrorBody>(400).Produces<OAuthErrorBody>(401).AnswersProblems(408, 413, 503);
}
