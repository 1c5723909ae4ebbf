namespace Tanjiren.Agent.Execution;

/// <summary>What the agent takes from the machine it runs on.</summary>
internal sealed record AgentPlatform
{
    public required IProcessLauncher Launcher { get; init; }
    public required ExecutionOptions Execution { get; init; }

    /// <summary>Milliseconds since boot, time asleep included. A seam in time, as TimeProvider is: tests let a machine sleep with it.</summary>
    public Func<long> BootNowMs { get; init; } = () => BootClock.NowMs;

    public static AgentPlatform OfThisMachine(ILoggerFactory logs) => new()
    {
        Launcher = ProcessLaunchers.ForThisMachine(ExecutionOptions.Default, logs),
        Execution = ExecutionOptions.Default,
    };

    public ProcessTree Tree(ulong mark, string stepId, int rootPid = 0, long? rootStartTime = null) =>
        new(mark, rootPid, stepId, rootStartTime, Execution);
}
