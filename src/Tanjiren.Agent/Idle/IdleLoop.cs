using Tanjiren.Agent.Connection;
using Tanjiren.Agent.Execution;

namespace Tanjiren.Agent.Idle;

/// <summary>
/// The idle loop: after <c>idleSuspendSeconds</c> without work it has the polls stop, then the watchdog, and gives memory back. The end of a suspension is not its business: whoever finds work
/// stirs, and each loop goes on by itself, the watchdog first because nothing is claimed without one.
/// </summary>
internal sealed partial class IdleLoop(RunnerParts parts, HeartbeatLoop heartbeat, KeyRotationLoop keys)
{
    private readonly ILogger log = parts.Log;

    public async Task RunAsync(CancellationToken ct)
    {
        if (!parts.Idle.IsEnabled)
        {
            await Task.Delay(Timeout.InfiniteTimeSpan, parts.Clock, ct);
            return;
        }
        while (true)
        {
            if (parts.Steps.Active > 0)
            {
                await parts.Steps.WaitAsync(steps => steps.Active == 0, ct);
                parts.Idle.Stir();
            }
            if (parts.Idle.Left is var left && left > TimeSpan.Zero) await UntilWorkAsync(left, ct);
            // A result or a new key that waits for its server is looked after until that has it; and a watchdog that does not start is trouble to be seen, not slept over.
            else if (!IsQuiet()) await UntilWorkAsync(parts.Options.Timeouts.SlowRetry, ct);
            else await SuspendAsync(ct);
        }
    }

    private bool IsQuiet() => parts.Steps.Active == 0 && !parts.Steps.Draining && !keys.IsAsking && parts.Outbox.IsEmpty && parts.Watchdog is { IsAlive: true, WatchesNothing: true };

    private async Task SuspendAsync(CancellationToken ct)
    {
        if (!parts.Idle.TrySettle()) return;
        await parts.Idle.SettledAsync(ct);
        // A poll that was answered in that moment has put its step into the table before it left.
        if (!IsQuiet() || !parts.Idle.TrySuspend())
        {
            parts.Idle.Stir();
            return;
        }
        heartbeat.Wake();
        var awake = parts.Idle.AwakeAsync(ct);
        await Task.WhenAny(parts.Watchdog.Rests, awake);
        var rested = !awake.IsCompleted;
        if (rested) Trim();
        await awake;
        if (rested) LogResumed();
    }

    private void Trim()
    {
        var before = Environment.WorkingSet;
        MemoryTrim.Run();
        LogSuspended(parts.Options.Settings.IdleSuspendSeconds, before >> 20, Environment.WorkingSet >> 20);
    }

    /// <summary>Until a step comes, or this long.</summary>
    private async Task UntilWorkAsync(TimeSpan longest, CancellationToken ct)
    {
        using var time = new CancellationTokenSource(longest, parts.Clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(ct, time.Token);
        await parts.Steps.WaitAsync(steps => steps.Active > 0, either.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        ct.ThrowIfCancellationRequested();
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "Suspended after {Seconds} s without work: one heartbeat waits for some ({BeforeMiB} MiB resident before, {AfterMiB} MiB now)")]
    private partial void LogSuspended(int seconds, long beforeMiB, long afterMiB);

    [LoggerMessage(Level = LogLevel.Information, Message = "Awake again")]
    private partial void LogResumed();
}
