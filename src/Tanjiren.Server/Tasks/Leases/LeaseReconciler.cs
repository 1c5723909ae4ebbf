using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Tasks.Approvals;

namespace Tanjiren.Server.Tasks.Leases;

/// <summary>
/// No ghosts: marks leases stale, releases them after their grace, ends steps past their hard deadline and steps that nobody claimed in time. Runs on every
/// server process; each candidate is looked at again under its execution's lock, so it does not matter who comes first.
/// </summary>
internal sealed partial class LeaseReconciler(
    Database database, TimeProvider clock, LeaseOptions options, ApprovalGate gate, WakeUps wakeUps, AnyDispatcher dispatcher, RunMetrics metrics,
    ILogger<LeaseReconciler> logger)
    : PeriodicLoop("leases", clock, logger)
{
    private const int Batch = 200;
    private const long ClockStoreIntervalMs = 30_000;
    private const long AfterFreezeMs = 3_600_000;
    private const long LookAgainMs = 24 * 3_600_000;

    /// <summary>
    /// Queued steps that a workstation could have claimed and none did. What is held, frozen or without its approval waits for something else, and has its whole time again from
    /// then on.
    /// </summary>
    private const string Unclaimed = """
        FROM steps s JOIN tasks t ON t.id = s.task_id WHERE s.state = 'queued' AND s.queue_expires_at < @now AND t.held_at IS NULL AND t.frozen_until IS NULL
          AND (s.approval_from = 0 OR EXISTS (SELECT 1 FROM approvals a WHERE a.task_id = s.task_id AND a.number >= s.approval_from AND a.state IN ('approved', 'consumed')))
        """;

    private long _storedClock = long.MinValue / 2;
    private long _passStart;
    private readonly ReconcilerGate _gate = new(options.MaxPassGapMs, options.MaxClockDriftMs);

    protected override TimeSpan Interval => TimeSpan.FromMilliseconds(options.ReconcileMs);

    public override async Task RunOnceAsync(CancellationToken cancellationToken)
    {
        _passStart = Clock.GetTimestamp();
        var now = await database.ReadAsync(sql => sql.LeaseNowAsync(), cancellationToken);
        var elapsed = (long)(Clock.GetTimestamp() * 1000.0 / Clock.TimestampFrequency);
        var servedMs = _gate.Observe(elapsed, now, Clock.GetUtcNow().ToUnixTimeMilliseconds());
        await StoreClockAsync(now, cancellationToken);

        await EachAsync("SELECT id FROM steps WHERE state = 'running' AND lease_state = 'held' AND lease_expires_at < @now LIMIT @batch",
            new { now, batch = Batch }, MarkStaleAsync, cancellationToken);
        // If liveness cannot be read, nothing is released: the holder may be well and only we were away.
        await EachAsync("""
            SELECT id FROM steps WHERE state = 'running' AND lease_state = 'stale' AND lease_expires_at + lease_grace_ms < @now
              AND lease_ttl_ms + lease_grace_ms <= @servedMs LIMIT @batch
            """, new { now, servedMs, batch = Batch }, ReleaseAsync, cancellationToken);
        await EachAsync("SELECT id FROM steps WHERE state = 'running' AND deadline_at + @slack < @now AND @slack <= @servedMs LIMIT @batch",
            new { now, slack = options.DeadlineSlackSeconds * 1000L, servedMs, batch = Batch }, EndOverdueAsync, cancellationToken);
        await EachAsync($"SELECT s.id {Unclaimed} LIMIT @batch", new { now, batch = Batch }, EndForgottenAsync, cancellationToken);
        await EachAsync("""
            SELECT s.id FROM steps s JOIN instances i ON i.id = s.target_instance_id WHERE s.state = 'queued' AND i.removed_at IS NOT NULL LIMIT @batch
            """, new { batch = Batch },
            (tx, locked, step) => EndUnclaimedAsync(tx, locked, step, StepReason.WorkstationRemoved, "Its workstation was removed."), cancellationToken);
    }

    /// <summary>
    /// Keeps SQLite's lease clock from running backwards over a restart; see SqliteLeaseClock. Seldom, so that an idle laptop's disk may sleep: a crash costs
    /// the clock this much at most, which only makes leases last longer than their agents trust them.
    /// </summary>
    private async Task StoreClockAsync(long now, CancellationToken cancellationToken)
    {
        if (database.Provider.Name != "sqlite" || now - _storedClock < ClockStoreIntervalMs) return;
        await database.WriteAsync(tx => tx.ExecuteAsync("UPDATE lease_clock SET now = @now WHERE now < @now", new { now }), cancellationToken);
        _storedClock = now;
    }

    private async Task EachAsync(
        string candidates, object arguments, Func<WriteTransaction, LockedExecution, StepRow, Task<string?>> act, CancellationToken cancellationToken)
    {
        foreach (var id in await database.ReadAsync(sql => sql.ListAsync<string>(candidates, arguments), cancellationToken))
        {
            // A pass that takes too long would look like a gap to the next one, which would then release nothing, for ever: the rest waits for that one.
            if (Clock.GetElapsedTime(_passStart).TotalMilliseconds > options.MaxPassGapMs / 2.0) return;
            try
            {
                if (await UnderLockAsync(id, act, cancellationToken) is { } did) Count(did);
            }
            catch (Exception e) when (e is not OperationCanceledException || !cancellationToken.IsCancellationRequested)
            {
                // One step that can't be resolved, for whatever reason, must not keep those behind it from being so.
                Count("failed");
                LogUnresolved(logger, id, e);
            }
        }
    }

    /// <summary>Gives up one stale lease whose grace has passed. False when there is nothing, or nothing any more, to give up.</summary>
    internal async Task<bool> ReleaseStaleAsync(string stepId, CancellationToken cancellationToken) =>
        await UnderLockAsync(stepId, ReleaseAsync, cancellationToken) is not null;

    private Task<string?> UnderLockAsync(
        string stepId, Func<WriteTransaction, LockedExecution, StepRow, Task<string?>> act, CancellationToken cancellationToken) =>
        database.WriteAsync(async tx =>
        {
            var began = Clock.GetUtcNow();
            var locked = await LockedExecution.OfStepAsync(tx, stepId, Clock);
            var step = locked is null ? null : await locked.StepAsync(stepId);
            if (step is null) return null;
            var did = await act(tx, locked!, step);
            if (did is null) return null;
            await locked!.SaveAsync(wakeUps, metrics);
            tx.OnCommit(() => Spans.Reconciled(locked.Trace, stepId, did, began));
            return did;
        }, cancellationToken);

    private async Task<string?> MarkStaleAsync(WriteTransaction tx, LockedExecution locked, StepRow step)
    {
        var marked = await tx.ExecuteAsync("""
            UPDATE steps SET lease_state = 'stale' WHERE id = @id AND state = 'running' AND lease_state = 'held' AND lease_generation = @generation
              AND lease_expires_at < tanjiren_now()
            """, new { id = step.Id, generation = step.LeaseGeneration });
        if (marked == 0) return null;
        locked.AddEvent("stale", step.Id, step.LeaseGeneration, step.LeaseHolder);
        return "stale";
    }

    private async Task<string?> ReleaseAsync(WriteTransaction tx, LockedExecution locked, StepRow step)
    {
        // The candidate was read without the lock: its holder may have come back since.
        if (step.LeaseState != "stale" || step.LeaseExpiresAt + step.LeaseGraceMs >= await tx.LeaseNowAsync()) return null;
        var to = StepRules.AfterLoss(step.CancelRequestedAt is not null, WireNames.Parse<OnWorkerLost>(step.OnWorkerLost));
        var guard = " AND lease_state = 'stale' AND lease_expires_at + lease_grace_ms < tanjiren_now()";
        if (to == StepState.Queued)
        {
            if (await tx.ExecuteAsync(StepEnding.RequeueSql + guard,
                new { id = step.Id, instanceId = step.LeaseHolder, generation = step.LeaseGeneration, queueTimeoutMs = locked.QueueTimeoutMs }) == 0) return null;
            locked.Add(active: -1);
            locked.AddEvent("requeued", step.Id, step.LeaseGeneration, step.LeaseHolder, "workerLost");
            await gate.AskForAnotherStartAsync(tx, locked, step);
            await locked.WakeTargetsAsync(wakeUps, dispatcher);
            return "requeued";
        }
        var cancelled = to == StepState.Cancelled;
        if (!await StepEnding.EndLostAsync(tx, step, to, cancelled ? StepReason.Cancelled : StepReason.WorkerLost,
            $"Its workstation was silent for {(step.LeaseTtlMs + step.LeaseGraceMs) / 1000} s.", locked.Now, guard)) return null;
        await EndedAsync(tx, locked, step, to, cancelled ? "cancelled" : "workerLost");
        return cancelled ? "cancelledSilent" : "workerLost";
    }

    private async Task<string?> EndOverdueAsync(WriteTransaction tx, LockedExecution locked, StepRow step)
    {
        if (!await StepEnding.EndLostAsync(tx, step, StepState.Failed, StepReason.Timeout, $"It ran past its {step.TimeoutMs / 1000} s and its agent did not end it.",
            locked.Now, " AND deadline_at < tanjiren_now()")) return null;
        await EndedAsync(tx, locked, step, StepState.Failed, "timeout");
        tx.OnCommit(() => wakeUps.Notify(WakeUps.Work(step.LeaseHolder!)));
        return "overdue";
    }

    private async Task<string?> EndForgottenAsync(WriteTransaction tx, LockedExecution locked, StepRow step)
    {
        // The candidate was read without the lock: it may have been claimed and given back since, and then has time again.
        if (!await tx.FirstAsync<bool>($"SELECT EXISTS (SELECT 1 {Unclaimed} AND s.id = @Id)", new { step.Id, now = await tx.LeaseNowAsync() })) return null;
        if (await gate.FrozenUntilAsync(tx, locked, step) is not { } end)
            return await EndUnclaimedAsync(tx, locked, step, StepReason.QueueTimeout, "Nobody claimed it within queueTimeoutSeconds.");
        // A freeze opened while it waited, and nobody may claim it now. When that is over there is an hour for it, not the whole time: what nobody can run would never end
        // if its time were over in a freeze each week. A far end is looked at anew, it may have been a mistake.
        var frozenMs = end - locked.Now;
        var againMs = frozenMs > LookAgainMs ? LookAgainMs : frozenMs + Math.Min(locked.QueueTimeoutMs, AfterFreezeMs);
        await tx.ExecuteAsync("UPDATE steps SET queue_expires_at = tanjiren_now() + @againMs WHERE id = @Id AND state = 'queued'", new { step.Id, againMs });
        locked.AddEvent("frozen", step.Id);
        return "frozen";
    }

    private static async Task<string?> EndUnclaimedAsync(WriteTransaction tx, LockedExecution locked, StepRow step, StepReason reason, string detail)
    {
        if (await StepEnding.EndQueuedAsync(tx, locked, StepState.Failed, reason, detail, step.Id) == 0) return null;
        await StepEnding.StopRolloutAsync(tx, locked);
        return WireNames.Of(reason);
    }

    private async Task EndedAsync(WriteTransaction tx, LockedExecution locked, StepRow step, StepState to, string detail)
    {
        locked.Add(active: -1, open: -1, failed: to == StepState.Failed ? 1 : 0, cancelled: to == StepState.Cancelled ? 1 : 0);
        locked.AddEvent(WireNames.Of(to), step.Id, step.LeaseGeneration, step.LeaseHolder, detail);
        if (to == StepState.Failed) await StepEnding.StopRolloutAsync(tx, locked);
        await locked.WakeTargetsAsync(wakeUps, dispatcher);
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Could not resolve step {StepId}; it is tried again with the next pass")]
    private static partial void LogUnresolved(ILogger logger, string stepId, Exception exception);
}
