namespace Tanjiren.Server.Hosting;

/// <summary>What the host of a control plane decides; everything else is configuration (<c>Tanjiren:&lt;Feature&gt;:…</c>, environment <c>Tanjiren__…</c>).</summary>
public sealed record ControlPlaneOptions
{
    /// <summary>Addresses to listen on, for example <c>http://127.0.0.1:7433</c>. Plain http beyond loopback needs <see cref="InsecureHttp"/>.</summary>
    public required IReadOnlyList<string> Urls { get; init; }

    /// <summary><c>sqlite:PATH</c> or <c>postgres://USER:PASSWORD@HOST:PORT/NAME</c>.</summary>
    public required string Database { get; init; }

    /// <summary>The URL that clients use, when a proxy stands before the server; proofs are checked against it. Default: the request's own.</summary>
    public string? PublicUrl { get; init; }

    /// <summary>Allows plain http on addresses that are not loopback. Default: false.</summary>
    public bool InsecureHttp { get; init; }

    /// <summary>Whether to print the set-up link of a server without users. <c>up</c> makes its own owner and sets this to false.</summary>
    public bool OfferSetup { get; init; } = true;

    /// <summary>Further configuration, over the environment's; for tests and <c>up</c>.</summary>
    public IReadOnlyDictionary<string, string?>? Settings { get; init; }

    /// <summary>The wall clock and timers. Default: the system's.</summary>
    public TimeProvider Clock { get; init; } = TimeProvider.System;

    /// <summary>Rounds of PBKDF2 for a password's hash; fewer in tests only, which start a server each. Default: 100,000, the framework's.</summary>
    internal int PasswordRounds { get; init; } = 100_000;

    /// <summary>Changes the host's logging; default: console, warnings and up for the framework.</summary>
    public Action<ILoggingBuilder>? ConfigureLogging { get; init; }
}
