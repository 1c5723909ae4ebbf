using System.ComponentModel.DataAnnotations;

namespace Tanjiren.Server.Identity.OAuth;

/// <summary>Settings of OAuth: <c>Tanjiren:OAuth</c>.</summary>
internal sealed class OAuthOptions
{
    /// <summary>Life of an access token. Seconds; default 600.</summary>
    [Range(2, 86_400)]
    public int AccessTokenSeconds { get; init; } = 600;

    /// <summary>A sign-in that is not used for this long ends. Days; default 30.</summary>
    [Range(1, 365)]
    public int RefreshTokenDays { get; init; } = 30;

    /// <summary>
    /// How long after its first exchange a refresh token may be exchanged again, because the answer was lost, as long as nobody has used its successor.
    /// Seconds, 0-300; default 30.
    /// </summary>
    [Range(0, 300)]
    public int RefreshLeewaySeconds { get; init; } = 30;

    /// <summary>Life of a device code and of the code that is typed for it. Seconds; default 600.</summary>
    [Range(30, 3600)]
    public int DeviceCodeSeconds { get; init; } = 600;

    /// <summary>Least time between two polls of a device code. Seconds; default 5.</summary>
    [Range(1, 60)]
    public int PollSeconds { get; init; } = 5;

    /// <summary>Device authorizations asked for from one address in five minutes; default 30.</summary>
    [Range(1, 10_000)]
    public int RequestsPerAddress { get; init; } = 30;

    /// <summary>Codes typed into <c>/device</c> from one address, and by one person from wherever, in five minutes; default 20.</summary>
    [Range(1, 10_000)]
    public int UserCodeTries { get; init; } = 20;

    public long RefreshLifetimeMs => RefreshTokenDays * 86_400_000L;
}
