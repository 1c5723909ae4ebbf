namespace Tanjiren.Agent.Execution;

/// <summary>The kills of one step's tree: several may be under way at once, for reasons of growing strength.</summary>
internal sealed partial class TreeKills(string stepId, ILogger log)
{
    private readonly Lock gate = new();
    private readonly ILogger log = log;
    private readonly TaskCompletionSource rootEnded = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Task all = Task.CompletedTask;
    private KillReport? survivors;

    /// <summary>Starts a kill beside those under way; <paramref name="grace"/> is what SIGTERM leaves before SIGKILL.</summary>
    public void Start(ProcessTree tree, TimeSpan grace)
    {
        lock (gate) all = Task.WhenAll(all, Task.Run(async () => Note(await tree.KillAsync(grace, CancellationToken.None))));
    }

    /// <summary>The same without SIGTERM, after <paramref name="patience"/>, unless the root has ended by then: it was asked in its own words.</summary>
    public void StartAfter(ProcessTree tree, TimeSpan patience, TimeProvider clock)
    {
        lock (gate) all = Task.WhenAll(all, Task.Run(async () =>
        {
            await rootEnded.Task.WaitAsync(patience, clock).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (!rootEnded.Task.IsCompleted) Note(await tree.KillAsync(TimeSpan.Zero, CancellationToken.None));
        }));
    }

    /// <summary>Nobody need be waited for any more; what the root left behind is killed by whoever ran it.</summary>
    public void RootEnded() => rootEnded.TrySetResult();

    /// <summary>Waits for every kill started so far. What could not be killed, <paramref name="leftovers"/> of the root's end included; null when nothing is left.</summary>
    public async Task<KillReport?> AllAsync(KillReport? leftovers)
    {
        Task started;
        lock (gate) started = all;
        await started;
        if (leftovers is not null) Note(leftovers);
        lock (gate) return survivors;
    }

    private void Note(KillReport report)
    {
        if (report.IsComplete) return;
        LogSurvivors(stepId, report.ToString());
        lock (gate) survivors = report;
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "Processes of {StepId} outlived it: {Survivors}")]
    private partial void LogSurvivors(string stepId, string survivors);
}
