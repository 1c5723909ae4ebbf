using Tanjiren.Agent.Assignments;
using Tanjiren.Agent.CodingAgents;
using Tanjiren.Agent.Connection;
using Tanjiren.Agent.Execution;
using Tanjiren.Agent.Idle;
using Tanjiren.Agent.Keys;
using Tanjiren.Agent.Leases;
using Tanjiren.Agent.Limits;
using Tanjiren.Agent.Outbox;

namespace Tanjiren.Agent;

/// <summary>
/// The agent's loops and how they stop. The loops are independent: each handles the failures that it can meet, so one that ends by itself shows a bug, and the agent
/// stops loudly rather than go on without it.
/// <para>Drain: nothing new is taken, what never started goes back, what runs is finished, the outbox is flushed for a bounded time.
/// Abort: what runs is killed and its result written down. Either way the watchdog goes last.</para>
/// </summary>
internal sealed partial class RunningAgent : IAsyncDisposable
{
    private readonly AgentOptions options;
    private readonly TimeProvider clock;
    private readonly ILogger log;
    private readonly Journal journal;
    private readonly OutboxSender outbox;
    private readonly SessionKeeper sessions;
    private readonly StepTable steps;
    private readonly WatchdogKeeper watchdog;
    private readonly StepClaimer claimer;
    private readonly HeartbeatLoop heartbeat;
    private readonly WorkLoop work;
    private readonly SessionLoop sessionLoop;
    private readonly LeaseClockLoop leaseClock;
    private readonly KeyRotationLoop keyRotation;
    private readonly SignInLoop signIn;
    private readonly IdleLoop idleLoop;
    private readonly StatusLoop status;
    private readonly JobLimiter limits;
    private readonly AgentMetrics metrics;

    public RunningAgent(AgentOptions options, AgentIdentity identity, AgentHome home, AgentPlatform platform, DeviceTransport transport, TimeProvider clock,
        ILoggerFactory logs)
    {
        (this.options, this.clock, log) = (options, clock, logs.CreateLogger("Tanjiren.Agent"));
        journal = Journal.Open(home.Journal, logs.CreateLogger("Tanjiren.Agent.Journal"));
        sessions = new SessionKeeper(log);
        var client = new ControlPlaneClient(transport, identity.InstanceId, options.Timeouts);
        outbox = new OutboxSender(home, options, client, sessions, journal, clock, logs);
        if (!journal.Damaged) outbox.DeleteOrphans(claimId => journal.Read(s => s.Find(claimId) is not null));
        steps = new StepTable(options.MaxConcurrent);
        var idle = new IdleState(TimeSpan.FromSeconds(options.Settings.IdleSuspendSeconds), clock);
        watchdog = new WatchdogKeeper(options, platform, idle, clock, logs.CreateLogger("Tanjiren.Agent.Watchdog"));
        var machineId = MachineIdentity.MachineId(home.Directory);
        metrics = new AgentMetrics(steps, outbox, () => client.Connected);
        // Before the watchdog starts: a divided cgroup has no room for processes beside the agent's own.
        var gpus = new GpuProbe().Read();
        limits = JobLimiter.OfThisMachine(options, gpus, clock, logs.CreateLogger("Tanjiren.Agent.Limits"));
        var assignments = new AssignmentVerifier(new WorkTrust(home, identity, client, options.Timeouts, clock, log));
        var parts = new RunnerParts(options, platform, journal, client, sessions, outbox, watchdog, steps, machineId, assignments, metrics, clock, logs.CreateLogger("Tanjiren.Agent.Steps"))
        {
            Limits = limits,
            Idle = idle,
            CodingAgents = CodingAgentDirectory.OfThisMachine(options.Settings),
        };
        var reconciler = new Reconciler(platform, journal, outbox, machineId, log);
        claimer = new StepClaimer(parts);
        heartbeat = new HeartbeatLoop(parts, claimer, reconciler, MachineLabels.Read(options, gpus));
        work = new WorkLoop(parts, claimer);
        sessionLoop = new SessionLoop(parts, reconciler, MachineIdentity.BootId());
        leaseClock = new LeaseClockLoop(platform, steps, sessions, heartbeat, options.Timeouts, clock, log);
        signIn = new SignInLoop(parts, heartbeat);
        keyRotation = new KeyRotationLoop(client, transport, new SuccessorKey(home), sessions, identity, options.Timeouts, idle, clock, log);
        idleLoop = new IdleLoop(parts, heartbeat, keyRotation);
        status = new StatusLoop(home, options, identity, parts, heartbeat, sessionLoop, keyRotation, clock, log);
    }

    public async Task<int> RunAsync(AgentSignals signals)
    {
        using var stop = new CancellationTokenSource();
        signIn.RunOnce();
        // Before any loop can say that it lives.
        options.Life?.Invoke(AgentLife.Ready);
        Dictionary<string, Task> loops = new()
        {
            ["watchdog"] = Task.Run(() => watchdog.RunAsync(stop.Token)),
            ["session"] = Task.Run(() => sessionLoop.RunAsync(stop.Token)),
            ["heartbeat"] = Task.Run(() => heartbeat.RunAsync(stop.Token)),
            ["work"] = Task.Run(() => work.RunAsync(stop.Token)),
            ["cancels"] = Task.Run(() => work.RunCancelsAsync(stop.Token)),
            ["outbox"] = Task.Run(() => outbox.RunAsync(stop.Token)),
            ["lease clock"] = Task.Run(() => leaseClock.RunAsync(stop.Token)),
            ["keys"] = Task.Run(() => keyRotation.RunAsync(stop.Token)),
            ["sign-in"] = Task.Run(() => signIn.RunAsync(stop.Token)),
            ["status"] = Task.Run(() => status.RunAsync(stop.Token)),
            ["limits"] = Task.Run(() => limits.RunAsync(stop.Token)),
            ["idle"] = Task.Run(() => idleLoop.RunAsync(stop.Token)),
            ["steps"] = claimer.Faulted,
        };
        var failure = FirstToEndAsync(loops);
        var aborted = WhenCancelled(signals.Abort);
        var drained = DrainAsync(signals.Drain, stop.Token);
        var first = await Task.WhenAny(failure, aborted, drained, sessions.Fatal);

        int exit;
        if (first == drained)
        {
            await drained;
            exit = AgentExit.Drained;
        }
        else
        {
            if (first == failure) LogLoopEnded(await failure);
            else if (first == sessions.Fatal) LogFatal(await sessions.Fatal);
            options.Life?.Invoke(AgentLife.Stopping);
            exit = first == aborted ? AgentExit.Aborted : first == failure ? AgentExit.Failed : AgentExit.NeedsAttention;
            await KillAllAsync();
        }
        await stop.CancelAsync();
        await Task.WhenAll(loops.Where(l => l.Key != "steps").Select(l => l.Value)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        status.WriteLast();
        LogStopped(exit, outbox.Count);
        return exit;
    }

    public ValueTask DisposeAsync()
    {
        metrics.Dispose();
        outbox.Dispose();
        journal.Dispose();
        return ValueTask.CompletedTask;
    }

    private async Task DrainAsync(CancellationToken drain, CancellationToken stop)
    {
        await WhenCancelled(drain).WaitAsync(stop);
        options.Life?.Invoke(AgentLife.Stopping);
        LogDraining(steps.Active);
        steps.Drain();
        heartbeat.Wake();
        while (steps.All is { Count: > 0 } left && !left.All(r => r.Recorded.IsCompleted)) await Task.WhenAll(left.Select(r => r.Recorded)).WaitAsync(stop);
        var began = clock.GetTimestamp();
        while (!outbox.IsEmpty && clock.GetElapsedTime(began) < options.Timeouts.DrainFlush) await Task.Delay(options.Timeouts.BackoffFirst, clock, stop);
        if (!outbox.IsEmpty) LogNotFlushed(outbox.Count);
    }

    /// <summary>Kills what runs and waits, for a bounded time, until it is written down and the outbox has had a chance to say so.</summary>
    private async Task KillAllAsync()
    {
        steps.Drain();
        var left = steps.All;
        foreach (var runner in left) runner.Stop(StopReason.Abort);
        var recorded = Task.WhenAll(left.Select(r => r.Recorded));
        try
        {
            await recorded.WaitAsync(options.Timeouts.AbortWait, clock);
        }
        catch (TimeoutException)
        {
            LogNotRecorded(left.Count(r => !r.Recorded.IsCompleted));
        }
        var told = Task.WhenAll(left.Select(r => outbox.Find(r.ClaimId)?.Answered ?? Task.CompletedTask));
        await Task.WhenAny(told, Task.Delay(options.Timeouts.BackoffMax / 5, clock));
    }

    private static async Task<string> FirstToEndAsync(Dictionary<string, Task> loops)
    {
        var ended = await Task.WhenAny(loops.Values);
        var name = loops.First(l => l.Value == ended).Key;
        return ended.Exception?.InnerException is { } e ? $"{name}: {e}" : name;
    }

    private static Task WhenCancelled(CancellationToken token)
    {
        var source = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        token.Register(() => source.TrySetResult());
        return source.Task;
    }

    [LoggerMessage(Level = LogLevel.Critical, Message = "A loop of the agent ended unexpectedly, so the agent stops and kills what it runs: {Loop}")]
    private partial void LogLoopEnded(string loop);

    [LoggerMessage(Level = LogLevel.Error, Message = "{Reason}")]
    private partial void LogFatal(string reason);

    [LoggerMessage(Level = LogLevel.Information, Message = "Draining: nothing new is taken, {Active} steps are finished first")]
    private partial void LogDraining(int active);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The server did not take everything in time; {Count} steps' results or output wait in the outbox for the next start")]
    private partial void LogNotFlushed(int count);

    [LoggerMessage(Level = LogLevel.Error, Message = "{Count} steps could not be written down in time; the next start reports their outcome as unknown")]
    private partial void LogNotRecorded(int count);

    [LoggerMessage(Level = LogLevel.Information, Message = "Stopped with exit code {ExitCode}; {Count} uploads are left")]
    private partial void LogStopped(int exitCode, int count);
}
