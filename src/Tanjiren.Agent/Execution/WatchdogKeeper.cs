using System.Collections.Concurrent;
using Tanjiren.Agent.Idle;

namespace Tanjiren.Agent.Execution;

/// <summary>
/// The watchdog loop: keeps one watchdog process alive and informed. While there is none nothing is claimed or started; what runs already goes
/// on under this process's own lease clock, because killing healthy work for a missing helper would turn one failure into many. A suspended agent
/// has none: there is nothing to guard.
/// </summary>
internal sealed partial class WatchdogKeeper(AgentOptions options, AgentPlatform platform, IdleState idle, TimeProvider clock, ILogger log)
{
    private readonly ConcurrentDictionary<string, Watched> watched = new();
    private readonly Lock gate = new();
    private WatchdogClient? client;
    private TaskCompletionSource ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private TaskCompletionSource rests = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private sealed record Watched(ulong Mark, long DeadlineBootMs, int Pid, long StartTime);

    public bool IsAlive { get { lock (gate) return client is { IsAlive: true }; } }

    public bool WatchesNothing => watched.IsEmpty;

    /// <summary>Completes when the agent is suspended and the watchdog has gone for it.</summary>
    public Task Rests { get { lock (gate) return rests.Task; } }

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
                await RestAsync(ct);
                try
                {
                    var fresh = await WatchdogClient.StartAsync(options.WatchdogCommand, platform.Execution, clock, log, ct);
                    if (Introduce(fresh) && await SentAwayAsync(fresh, ct)) continue;
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

    private async Task RestAsync(CancellationToken ct)
    {
        if (idle.Phase != IdlePhase.Suspended) return;
        lock (gate) rests.TrySetResult();
        await idle.AwakeAsync(ct);
        lock (gate) rests = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    /// <summary>Waits until it dies, or the agent is suspended: then it is sent away. Answers whether it was.</summary>
    private async Task<bool> SentAwayAsync(WatchdogClient fresh, CancellationToken ct)
    {
        using var over = CancellationTokenSource.CreateLinkedTokenSource(ct);
        try
        {
            while (true)
            {
                var suspended = idle.SuspendedAsync(over.Token);
                if (await Task.WhenAny(fresh.Died, suspended) == fresh.Died) return false;
                await suspended;
                // Work may have come already: a claim that saw this watchdog alive must not find it gone at its spawn.
                WatchdogClient? old = null;
                if (!idle.WhileSuspended(() => old = Take())) continue;
                if (old is not null) await old.DisposeAsync();
                return true;
            }
        }
        finally
        {
            await over.CancelAsync();
        }
    }

    private WatchdogClient? Take()
    {
        lock (gate)
        {
            var old = client;
            client = null;
            if (ready.Task.IsCompleted) ready = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return old;
        }
    }

    private async Task DismissAsync()
    {
        if (Take() is { } old) await old.DisposeAsync();
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "The watchdog '{Command}' does not start; nothing is claimed until it does: {Reason}")]
    private partial void LogNotStarted(string command, string reason);
}
