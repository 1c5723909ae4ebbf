using System.ComponentModel.DataAnnotations;

namespace Tanjiren.Server.Identity;

/// <summary>Settings of sign-in: <c>Tanjiren:Identity</c>.</summary>
internal sealed class IdentityOptions
{
    /// <summary>How long a browser session lasts. Hours; default 168 (a week).</summary>
    [Range(1, 8760)]
    public int SessionHours { get; init; } = 168;

    /// <summary>Failed and successful sign-ins from one address in each window; default 30.</summary>
    [Range(1, 10_000)]
    public int LoginsPerAddress { get; init; } = 30;

    /// <summary>Failed sign-ins to one account in each window, from wherever; default 10.</summary>
    [Range(1, 10_000)]
    public int LoginsPerAccount { get; init; } = 10;

    /// <summary>The window of both. Seconds; default 300.</summary>
    [Range(1, 86_400)]
    public int LoginWindowSeconds { get; init; } = 300;

    /// <summary>How long the set-up link of a bare server works. Minutes; default 15.</summary>
    [Range(1, 1440)]
    public int SetupMinutes { get; init; } = 15;
}
