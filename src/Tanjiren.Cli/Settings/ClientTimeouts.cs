namespace Tanjiren.Cli.Settings;

/// <summary>Every timeout of the client half. Their ordering is asserted by a test.</summary>
internal sealed record ClientTimeouts
{
    /// <summary>For the TCP and TLS connection to the server.</summary>
    public TimeSpan Connect { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>For a whole request, and for the headers of an event stream.</summary>
    public TimeSpan Request { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>For a request that signs in, refreshes or signs out; below the server's leeway for a lost answer (30 s), so that there is time to repeat it.</summary>
    public TimeSpan SignIn { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a refresh without an answer is repeated; with <see cref="SignIn"/> still below the server's leeway.</summary>
    public TimeSpan RepeatRefresh { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>How long to wait for another process that has the credentials file; longer than its refresh may take.</summary>
    public TimeSpan CredentialsLock { get; init; } = TimeSpan.FromSeconds(40);

    /// <summary>Silence after which an event stream counts as lost; the server sends a comment every 15 s.</summary>
    public TimeSpan StreamIdle { get; init; } = TimeSpan.FromSeconds(45);

    /// <summary>First pause before a lost stream or POST is tried again; doubles, with jitter, up to <see cref="RetryMax"/>.</summary>
    public TimeSpan RetryMin { get; init; } = TimeSpan.FromMilliseconds(200);
    public TimeSpan RetryMax { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a stream may be lost before the person is told.</summary>
    public TimeSpan TellAfter { get; init; } = TimeSpan.FromSeconds(3);

    /// <summary>How long a POST whose answer was lost is repeated under its Idempotency-Key.</summary>
    public TimeSpan RepeatPost { get; init; } = TimeSpan.FromSeconds(90);

    /// <summary>How long a job is followed without any connection before this program gives up (the job goes on).</summary>
    public TimeSpan GiveUp { get; init; } = TimeSpan.FromMinutes(15);

    /// <summary>How long after the end of a task its missing output is waited for, counted from the last piece that came.</summary>
    public TimeSpan MissingLogs { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a job may wait for a workstation before the person is told what it waits for.</summary>
    public TimeSpan TellWaiting { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long each check of <c>doctor</c> has; they run side by side.</summary>
    public TimeSpan DoctorCheck { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long the first try of a webhook's message is waited for: the server gives a receiver 10 s, and may have to wait for a place.</summary>
    public TimeSpan WebhookTry { get; init; } = TimeSpan.FromSeconds(30);
}
