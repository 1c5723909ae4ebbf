using System.ComponentModel.DataAnnotations;

namespace Tanjiren.Server.DeviceTrust;

/// <summary>Settings of device trust: <c>Tanjiren:DeviceTrust</c>. All times of proofs are here, for they depend on each other.</summary>
internal sealed class DeviceTrustOptions
{
    /// <summary>How old a proof may be. Seconds, 5-600; default 60.</summary>
    [Range(5, 600)]
    public int ProofWindowSeconds { get; init; } = 60;

    /// <summary>How far a workstation's clock may be off, either way, on top of the window. Seconds, 0-300; default 30.</summary>
    [Range(0, 300)]
    public int ClockSkewSeconds { get; init; } = 30;

    /// <summary>Life of an access token. Seconds; default 3600.</summary>
    [Range(30, 86_400)]
    public int AccessTokenSeconds { get; init; } = 3600;

    /// <summary>Life of a pairing code. Seconds; default 600.</summary>
    [Range(30, 3600)]
    public int PairingCodeSeconds { get; init; } = 600;

    /// <summary>Tries to pair from one address in five minutes; default 20.</summary>
    [Range(1, 10_000)]
    public int PairingsPerAddress { get; init; } = 20;

    /// <summary>Tries of one code in five minutes, from wherever; default 10.</summary>
    [Range(1, 10_000)]
    public int PairingsPerCode { get; init; } = 10;

    /// <summary>Proofs remembered against replay; when all are in use, 503. About 40 bytes each; default 4,000,000 (what two busy processors verify in <see cref="ProofLifetime"/>).</summary>
    [Range(1, 100_000_000)]
    public int RememberedProofs { get; init; } = 4_000_000;

    /// <summary>Imported public keys kept for the next proof; default 20,000.</summary>
    [Range(1, 1_000_000)]
    public int CachedKeys { get; init; } = 20_000;

    /// <summary>
    /// Within which the body of a workstation's request must be there, once its proof has passed. Seconds, 5-600; default 60, as long as the agent itself waits for an append of logs:
    /// shorter would cut off slow uplinks, longer helps nobody.
    /// </summary>
    [Range(5, 600)]
    public int BodySeconds { get; init; } = 60;

    public TimeSpan BodyTimeout => TimeSpan.FromSeconds(BodySeconds);

    /// <summary>How long a proof can pass at most, from its making: window + 2 x skew. Nonces live as long, and the memory of used proofs too.</summary>
    public TimeSpan ProofLifetime => TimeSpan.FromSeconds(ProofWindowSeconds + 2 * ClockSkewSeconds);
}
