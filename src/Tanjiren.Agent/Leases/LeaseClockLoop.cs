using Tanjiren.Agent.Connection;
using Tanjiren.Agent.Execution;

namespace Tanjiren.Agent.Leases;

/// <summary>
/// The lease clock: while there are steps, reads the machine's clock every second and kills what its lease no longer covers, whatever the other loops do. A jump means that the machine
/// slept: every tree is stopped first, because the server may have given the steps away meanwhile, then the leases are renewed, and each tree goes on or dies.
/// </summary>
internal sealed partial class LeaseClockLoop(AgentPlatform platform, StepTable steps, SessionKeeper sessions, HeartbeatLoop heartbeat,
    AgentTimeouts timeouts, TimeProvider clock, ILogger log)
{
    private long lastReading = platform.BootNowMs();

    public async Task RunAsync(CancellationToken ct)
    {
        while (true)
        {
            if (steps.Active == 0)
            {
                // There is nothing that the clock could take away, and an idle machine is let sleep.
                await steps.WaitAsync(s => s.Active > 0, ct);
                // Read at once, not with the first tick: the machine may fall asleep in the step's first second too.
                lastReading = platform.BootNowMs();
            }
            await Task.Delay(timeouts.LeaseTick, clock, ct);
            await RunOnceAsync(ct);
        }
    }

    public async Task RunOnceAsync(CancellationToken ct)
    {
        var now = platform.BootNowMs();
        var gap = now - lastReading;
        lastReading = now;
        if (gap > (timeouts.LeaseTick + timeouts.ClockJump).TotalMilliseconds) await AfterJumpAsync(gap, ct);
        Enforce(steps.All, platform.BootNowMs());
    }

    private async Task AfterJumpAsync(long gapMs, CancellationToken ct)
    {
        var stopped = steps.All;
        LogJump(gapMs, stopped.Count);
        foreach (var runner in stopped) runner.Suspend();
        // One try, bounded by the request's own timeout: without an answer a tree goes on only as far as its lease was granted before.
        if (stopped.Count > 0 && sessions.Current is { } session) await heartbeat.BeatAsync(session, ct);
        var now = platform.BootNowMs();
        lastReading = now; // the renewal's own time is no jump
        Enforce(stopped, now);
        foreach (var runner in stopped) runner.Resume();
    }

    private static void Enforce(IReadOnlyList<StepRunner> runners, long now)
    {
        foreach (var runner in runners)
        {
            if (runner.Lease is not { } lease) continue;
            if (now >= lease.DeadlineBootMs) runner.Stop(StopReason.LeaseExpired);
            // The step's own timer does not count time asleep; this one does.
            if (now >= lease.HardDeadlineBootMs) runner.Stop(StopReason.Timeout);
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "The machine's clock went on by {GapMs} ms unseen (it slept, or this process was stopped); {Steps} steps wait for their leases to be renewed")]
    private partial void LogJump(long gapMs, int steps);
}
