using System.ComponentModel.DataAnnotations;

namespace Tanjiren.Server.Hosting;

/// <summary>Settings of the HTTP host: <c>Tanjiren:Hosting</c>.</summary>
internal sealed class HostingOptions
{
    /// <summary>Further host names that requests may name, besides loopback, the public URL's and those listened on.</summary>
    public IList<string> AllowedHosts { get; init; } = [];

    /// <summary>Addresses or networks of proxies before this server, whose <c>X-Forwarded-For</c> names the client. Default: none, and the header is ignored.</summary>
    public IList<string> TrustedProxies { get; init; } = [];

    /// <summary>A request body that comes more slowly than this is refused with 408. Bytes per second; default 240.</summary>
    [Range(1, 1_000_000)]
    public int MinBodyBytesPerSecond { get; init; } = 240;

    /// <summary>How long a body may stall before its rate counts. Seconds, 2-60; default 5.</summary>
    [Range(2, 60)]
    public int BodyGraceSeconds { get; init; } = 5;

    /// <summary>How long answers to creating requests with an <c>Idempotency-Key</c> are remembered. Hours; default 24.</summary>
    [Range(1, 720)]
    public int IdempotencyHours { get; init; } = 24;
}
