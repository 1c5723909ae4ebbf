namespace Tanjiren.Agent;

/// <summary>Runs the agent of one home until it is told to stop.</summary>
public static class AgentRuntime
{
    /// <summary>Runs until drained, aborted, or unable to go on; the result is one of <see cref="AgentExit"/>.</summary>
    public static async Task<int> RunAsync(AgentOptions options, AgentSignals signals, TimeProvider clock, ILoggerFactory logs)
    {
        await Task.CompletedTask;
        _ = (options, signals, clock, logs);
        return AgentExit.Failed;
    }
}
