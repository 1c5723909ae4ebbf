namespace Tanjiren.Agent;

/// <summary>Every time that the agent waits, in one place. <see cref="Validate"/> holds the order in which they must stand.</summary>
public sealed record AgentTimeouts
{
    /// <summary>TCP and TLS connect. Default 10 s.</summary>
    public TimeSpan Connect { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>One ordinary request, connect included. Default 15 s.</summary>
    public TimeSpan Request { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>One append of logs (about 1 MiB). Default 60 s: a slow uplink still gets through.</summary>
    public TimeSpan LogRequest { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>How long the server may hold the long-poll. Default 25 s: below the usual 30 s of proxies.</summary>
    public TimeSpan LongPoll { get; init; } = TimeSpan.FromSeconds(25);

    /// <summary>What a long-poll is given beyond <see cref="LongPoll"/> before it counts as lost. Default 10 s.</summary>
    public TimeSpan LongPollSlack { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Heartbeats until the server says otherwise. Default 30 s.</summary>
    public TimeSpan Heartbeat { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Longest time between two renewals while leases are held; a third of the shortest TTL when that is less. Default 30 s.</summary>
    public TimeSpan Renewal { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Claims are repeated with the same id for this long when no answer comes; then the lease, if there is one, is handed back. Default 30 s.</summary>
    public TimeSpan ClaimGiveUp { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>First pause after a refused claim, doubled up to <see cref="RefusalMax"/>, with jitter. Default 200 ms.</summary>
    public TimeSpan RefusalPause { get; init; } = TimeSpan.FromMilliseconds(200);

    /// <summary>Longest pause after refused claims of one step. Default 5 s.</summary>
    public TimeSpan RefusalMax { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>First pause after a failed request, doubled up to <see cref="BackoffMax"/>, with jitter. Default 100 ms.</summary>
    public TimeSpan BackoffFirst { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>Longest pause between tries of a request. Default 15 s.</summary>
    public TimeSpan BackoffMax { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>Pause while another machine acts as this workstation, or this machine's clock is refused, and between looks for a new key. Default 10 s.</summary>
    public TimeSpan SlowRetry { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Pause between tries while the machine is signed out. Default 60 s.</summary>
    public TimeSpan SignedOutRetry { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>How often the lease clock is read. Default 1 s.</summary>
    public TimeSpan LeaseTick { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>A gap between two readings that is longer than <see cref="LeaseTick"/> by this counts as a jump (a suspend): trees are stopped first. Default 2 s.</summary>
    public TimeSpan ClockJump { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Longest margin by which the agent stops trusting a lease before the server may give it away. Default 5 s, or a tenth of TTL + grace when that is less.</summary>
    public TimeSpan LeaseMargin { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Time between SIGTERM and SIGKILL of a cancelled step. Default 5 s.</summary>
    public TimeSpan CancelGrace { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>What a coding agent may take from its start to an open session; on an idle machine up to 3 s, on one that is overloaded one took 52 s. Default 90 s.</summary>
    public TimeSpan CodingAgentStart { get; init; } = TimeSpan.FromSeconds(90);

    /// <summary>Time between SIGTERM and SIGKILL of a coding agent whose turn is over, and between the words that end a turn whose time is over and SIGKILL. Default 2 s.</summary>
    public TimeSpan TurnGrace { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>What the watchdog gives a step beyond its hard deadline, so that the agent, when it can, ends it first and with grace. Default 10 s.</summary>
    public TimeSpan WatchdogSlack { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Output that waits for company before it becomes a chunk; a stream that was idle does not wait. Default 20 ms.</summary>
    public TimeSpan OutputCoalescing { get; init; } = TimeSpan.FromMilliseconds(20);

    /// <summary>Output is on the disk after this at the latest, sent or not. Default 200 ms.</summary>
    public TimeSpan OutputSync { get; init; } = TimeSpan.FromMilliseconds(200);

    /// <summary>Pause after a failed write to the outbox (a full disk) before the next try. Default 500 ms.</summary>
    public TimeSpan DiskRetry { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>After a drain, how long the outbox may still send; what is left is sent by the next start. Default 30 s.</summary>
    public TimeSpan DrainFlush { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>After an abort, how long killed steps have to be written down. Default 15 s.</summary>
    public TimeSpan AbortWait { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>Pause before a dead watchdog is started again. Default 1 s.</summary>
    public TimeSpan WatchdogRestart { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary><c>status.json</c> is at most this old while steps run, five times that while none does. Default 1 s.</summary>
    public TimeSpan StatusWrite { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>The order that the guarantees rest on; one sentence for each that is broken.</summary>
    public IReadOnlyList<string> Validate()
    {
        var errors = new List<string>();
        Ordered(OutputCoalescing, OutputSync, "OutputCoalescing", "OutputSync");
        Ordered(BackoffFirst, BackoffMax, "BackoffFirst", "BackoffMax");
        Ordered(RefusalPause, RefusalMax, "RefusalPause", "RefusalMax");
        // A renewal that hangs must be given up in time for another one.
        Ordered(Request, Renewal, "Request", "Renewal");
        Ordered(SlowRetry, SignedOutRetry, "SlowRetry", "SignedOutRetry");
        Ordered(Connect, Request, "Connect", "Request");
        Ordered(Request, LogRequest, "Request", "LogRequest");
        Ordered(Request, ClaimGiveUp, "Request", "ClaimGiveUp");
        // The lease clock must notice a passed deadline inside the margin, or the server could offer the step first.
        Ordered(LeaseTick, LeaseMargin, "LeaseTick", "LeaseMargin");
        // A step over its deadline has had its grace before the watchdog kills it.
        Ordered(TurnGrace, CancelGrace, "TurnGrace", "CancelGrace");
        Ordered(CancelGrace, WatchdogSlack, "CancelGrace", "WatchdogSlack");
        // A cancelled tree is dead before an abort stops waiting for it.
        Ordered(CancelGrace, AbortWait, "CancelGrace", "AbortWait");
        if (LongPoll > TimeSpan.FromSeconds(Protocol.WireLimits.MaxWaitSeconds))
            errors.Add($"LongPoll is {LongPoll}; the server holds at most {Protocol.WireLimits.MaxWaitSeconds} s.");
        return errors;

        void Ordered(TimeSpan shorter, TimeSpan longer, string shortName, string longName)
        {
            if (shorter <= TimeSpan.Zero) errors.Add($"{shortName} is {shorter}; it must be above zero.");
            if (shorter >= longer) errors.Add($"{shortName} is {shorter}; it must be below {longName} ({longer}).");
        }
    }
}
