namespace Tanjiren.Agent.Execution;

/// <summary>Every time span of starting, watching and killing processes, in one place.</summary>
internal sealed record ExecutionOptions
{
    public static ExecutionOptions Default { get; } = new();

    /// <summary>How long processes left behind by an ended root process may go on before they are killed. Default 0: the step ends with its root process.</summary>
    public TimeSpan LeftoverLinger { get; init; } = TimeSpan.Zero;

    /// <summary>How often <see cref="ILaunchedProcess.Run"/> calls its tick. Default 1 s.</summary>
    public TimeSpan TickInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>First pause between two rounds of a kill; it doubles up to <see cref="KillMaxPause"/>. Default 1 ms.</summary>
    public TimeSpan KillMinPause { get; init; } = TimeSpan.FromMilliseconds(1);

    /// <summary>Default 50 ms.</summary>
    public TimeSpan KillMaxPause { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>After this a kill reports what still lives (processes in uninterruptible sleep) instead of trying on. Below the 60 s without a tick after which a lease is no longer renewed. Default 30 s.</summary>
    public TimeSpan KillGiveUpAfter { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long the watchdog may take to say that it is ready. Default 30 s, for a cold and busy machine.</summary>
    public TimeSpan WatchdogStart { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a write to the watchdog may wait for room in its pipe; then it counts as dead. Default 2 s.</summary>
    public TimeSpan WatchdogWrite { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>How often the watchdog is asked for a sign of life. Default 5 s.</summary>
    public TimeSpan WatchdogPing { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Without a sign of life for this long (time in which the agent could not listen is not counted) the watchdog counts as dead and is killed. Default 30 s.</summary>
    public TimeSpan WatchdogSilence { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a stopping agent waits for its watchdog to go. Default 5 s.</summary>
    public TimeSpan WatchdogStop { get; init; } = TimeSpan.FromSeconds(5);
}
