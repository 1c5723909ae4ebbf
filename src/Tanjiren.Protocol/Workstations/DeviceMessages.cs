namespace Tanjiren.Protocol;

/// <summary>
/// <c>POST /api/device-trust/pair</c>: binds the key that signed the proof to the workstation that the code was made for. The proof carries no
/// <c>ath</c>, for there is no token yet. Repeating it with the same code and the same key within the code's life answers the same, so a lost
/// response costs nothing; with another key the code is spent.
/// </summary>
public sealed record PairRequest
{
    public string? Code { get; init; }
    public string? HostName { get; init; }
}

public sealed record PairResponse
{
    public required string InstanceId { get; init; }
    public required string InstanceName { get; init; }
    public required string OrganizationId { get; init; }
    public required string OrganizationName { get; init; }
    public required string KeyFingerprint { get; init; }
    public required string AccessToken { get; init; }
    public required int ExpiresInSeconds { get; init; }
    /// <summary>The server's public verification keys (ES256).</summary>
    public required IReadOnlyList<Jwk> ServerKeys { get; init; }
}

/// <summary><c>POST /api/device-trust/token?instance=ws_…</c>: a fresh access token by proof of the bound key.</summary>
public sealed record DeviceTokenResponse
{
    public required string AccessToken { get; init; }
    public required int ExpiresInSeconds { get; init; }
    /// <summary>The approval (JWS of the server: <see cref="KeyRecord"/>) by which this key took the place of the one before; absent for the one that was paired.</summary>
    public string? Approval { get; init; }
}
