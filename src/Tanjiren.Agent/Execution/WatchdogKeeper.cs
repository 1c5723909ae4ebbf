using System.Collections.Concurrent;

namespace Tanjiren.Agent.Execution;

/// <summary>
/// The watchdog loop: keeps one watchdog process alive and informed. While there is none nothing is claimed or started; what runs already goes
/// on under this process's own lease clock, because killing healthy work for a missing helper would turn one failure into many.
/// </summary>
internal sealed partial class WatchdogKeeper(AgentOptions options, AgentPlatform platform, TimeProvider clock, ILogger log)
{
    private readonly ConcurrentDictionary<string, Watched> watched = new();
    private readonly Lock gate = new();
    private WatchdogClient? client;
    private TaskCompletionSource ready = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private sealed record Watched(ulong Mark, long DeadlineBootMs, int Pid, long StartTime);

    public bool IsAlive { get { lock (gate) return client is { IsAlive: true }; } }

    /// <summary>Completes when a watchdog is alive.</summary>
    public Task ReadyAsync(CancellationToken ct)
    {
        lock (gate) return ready.Task.WaitAsync(ct);
    }

    /// <summary>Before a spawn.</summary>
    /// <exception cref="WatchdogLostException">Nothing would kill the tree if this process died: do not spawn.</exception>
    public void Watch(string stepId, ulong mark, long deadlineBootMs)
    {
        lock (gate)
        {
            if (client is null) throw new WatchdogLostException("No watchdog runs.");
            client.Watch(stepId, mark, deadlineBootMs);
            watched[stepId] = new Watched(mark, deadlineBootMs, 0, 0);
        }
    }

    public void Root(string stepId, int pid, long startTime)
    {
        lock (gate)
        {
            if (!watched.TryGetValue(stepId, out var known)) return;
            watched[stepId] = known with { Pid = pid, StartTime = startTime };
            client?.Root(stepId, pid, startTime);
        }
    }

    public void Extend(string stepId, long deadlineBootMs)
    {
        lock (gate)
        {
            if (!watched.TryGetValue(stepId, out var known)) return;
            watched[stepId] = known with { DeadlineBootMs = deadlineBootMs };
            client?.Extend(stepId, deadlineBootMs);
        }
    }

    public void Forget(string stepId)
    {
        lock (gate)
        {
            if (watched.TryRemove(stepId, out _)) client?.Forget(stepId);
        }
    }

    /// <summary>Runs until cancelled; a watchdog that dies or cannot be started is started again after a pause.</summary>
    public async Task RunAsync(CancellationToken ct)
    {
        try
        {
            while (true)
            {
                try
                {
                    var fresh = await WatchdogClient.StartAsync(options.WatchdogCommand, platform.Execution, clock, log, ct);
                    if (Introduce(fresh)) await fresh.Died.WaitAsync(ct);
                }
                catch (Exception e) when (e is SpawnFailedException or WatchdogLostException)
                {
                    LogNotStarted(options.WatchdogCommand[0], e.Message);
                }
                await DismissAsync();
                await Task.Delay(options.Timeouts.WatchdogRestart, clock, ct);
            }
        }
        finally
        {
            await DismissAsync();
        }
    }

    /// <summary>Tells a new watchdog everything that the old one knew, then lets claims go on.</summary>
    private bool Introduce(WatchdogClient fresh)
    {
        lock (gate)
        {
            client = fresh;
            try
            {
                foreach (var (stepId, known) in watched)
                {
                    fresh.Watch(stepId, known.Mark, known.DeadlineBootMs);
                    if (known.Pid != 0) fresh.Root(stepId, known.Pid, known.StartTime);
                }
            }
            catch (WatchdogLostException e)
            {
                LogNotStarted(options.WatchdogCommand[0], e.Message);
                return false;
            }
            ready.TrySetResult();
            return true;
        }
    }

    private async Task DismissAsync()
    {
        WatchdogClient? old;
        lock (gate)
        {
            (old, client) = (client, null);
            if (ready.Task.IsCompleted) ready = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        }
        if (old is not null) await old.DisposeAsync();
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "The watchdog '{Command}' does not start; nothing is claimed until it does: {Reason}")]
    private partial void LogNotStarted(string command, string reason);
}
