using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

/// <summary>The names that both sides of the OAuth wire use. Its JSON has the RFCs' snake_case, its requests are forms.</summary>
public static class OAuthNames
{
    /// <summary>The command line: a public client, built in, without a secret.</summary>
    public const string CliClient = "tanvrit-compute";

    /// <summary>The one scope there is: everything that the person's role allows.</summary>
    public const string Scope = "api";

    public const string DeviceCodeGrant = "urn:ietf:params:oauth:grant-type:device_code";
    public const string RefreshTokenGrant = "refresh_token";

    /// <summary>Parameter of a device authorization request: the name of the machine that asks, shown to the person. Ours, not the RFC's.</summary>
    public const string MachineName = "machine_name";
}

/// <summary>Error codes of RFC 6749 §5.2 and RFC 8628 §3.5.</summary>
public static class OAuthErrors
{
    public const string AuthorizationPending = "authorization_pending";
    public const string SlowDown = "slow_down";
    public const string AccessDenied = "access_denied";
    public const string ExpiredToken = "expired_token";
    public const string InvalidGrant = "invalid_grant";
    public const string InvalidClient = "invalid_client";
    public const string InvalidRequest = "invalid_request";
    public const string InvalidScope = "invalid_scope";
    public const string UnsupportedGrantType = "unsupported_grant_type";
}

/// <summary>The answer of <c>POST /oauth/device_authorization</c> (RFC 8628 §3.2).</summary>
public sealed record DeviceAuthorizationResponse
{
    [JsonPropertyName("device_code")] public required string DeviceCode { get; init; }
    /// <summary>XXXX-XXXX of twenty consonants; case and dash do not matter.</summary>
    [JsonPropertyName("user_code")] public required string UserCode { get; init; }
    [JsonPropertyName("verification_uri")] public required string VerificationUri { get; init; }
    /// <summary>The same page with the code filled in. Opening it approves nothing.</summary>
    [JsonPropertyName("verification_uri_complete")] public string? VerificationUriComplete { get; init; }
    /// <summary>Seconds.</summary>
    [JsonPropertyName("expires_in")] public required int ExpiresIn { get; init; }
    /// <summary>Least seconds between two polls; 5 when absent.</summary>
    [JsonPropertyName("interval")] public int? Interval { get; init; }
}

/// <summary>The answer of <c>POST /oauth/token</c> (RFC 6749 §5.1).</summary>
public sealed record OAuthTokenResponse
{
    [JsonPropertyName("access_token")] public required string AccessToken { get; init; }
    [JsonPropertyName("token_type")] public required string TokenType { get; init; }
    /// <summary>Seconds.</summary>
    [JsonPropertyName("expires_in")] public required int ExpiresIn { get; init; }
    /// <summary>Each is good for one exchange; its answer brings the next.</summary>
    [JsonPropertyName("refresh_token")] public required string RefreshToken { get; init; }
    [JsonPropertyName("scope")] public string? Scope { get; init; }
    /// <summary>The sign-in that both tokens belong to, as <c>GET /api/auth/grants</c> lists it.</summary>
    [JsonPropertyName("grant_id")] public string? GrantId { get; init; }
}

/// <summary>A refusal of the OAuth routes (RFC 6749 §5.2).</summary>
public sealed record OAuthErrorBody
{
    [JsonPropertyName("error")] public required string Error { get; init; }
    [JsonPropertyName("error_description")] public string? ErrorDescription { get; init; }
}

/// <summary><c>GET /.well-known/oauth-authorization-server</c> (RFC 8414).</summary>
public sealed record AuthorizationServerMetadata
{
    [JsonPropertyName("issuer")] public required string Issuer { get; init; }
    [JsonPropertyName("token_endpoint")] public required string TokenEndpoint { get; init; }
    [JsonPropertyName("device_authorization_endpoint")] public required string DeviceAuthorizationEndpoint { get; init; }
    [JsonPropertyName("revocation_endpoint")] public required string RevocationEndpoint { get; init; }
    [JsonPropertyName("grant_types_supported")] public required IReadOnlyList<string> GrantTypesSupported { get; init; }
    /// <summary>None: there is no authorization endpoint.</summary>
    [JsonPropertyName("response_types_supported")] public required IReadOnlyList<string> ResponseTypesSupported { get; init; }
    [JsonPropertyName("token_endpoint_auth_methods_supported")] public required IReadOnlyList<string> TokenEndpointAuthMethodsSupported { get; init; }
    [JsonPropertyName("revocation_endpoint_auth_methods_supported")] public required IReadOnlyList<string> RevocationEndpointAuthMethodsSupported { get; init; }
    [JsonPropertyName("scopes_supported")] public required IReadOnlyList<string> ScopesSupported { get; init; }
}

/// <summary>A sign-in of a client (<c>GET /api/auth/grants</c>): where one is signed in, to end it from elsewhere.</summary>
public sealed record GrantBody
{
    /// <summary><c>gnt_…</c></summary>
    public required string Id { get; init; }
    /// <summary>For example <c>tanvrit-compute</c>.</summary>
    public required string Client { get; init; }
    /// <summary>As the client told it.</summary>
    public string? MachineName { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset? LastUsedAt { get; init; }
    /// <summary>When it ends unless it is used before.</summary>
    public required DateTimeOffset ExpiresAt { get; init; }
    /// <summary>Names of the workstations that were registered with it: they take nothing more once it is revoked.</summary>
    public required IReadOnlyList<string> Workstations { get; init; }
    /// <summary>Whether the request itself was made with it.</summary>
    public bool Current { get; init; }
}
