using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;

namespace Tanjiren.Server.Tasks.Approvals;

/// <summary>
/// Time's part: approvals that nobody gave or used in time, and freezes that have ended. Any number of servers may run it; each task is looked at again under its lock.
/// A claim does not wait for this loop: an approval that ran out starts nothing, and a freeze that is over holds nothing back, from that very moment.
/// </summary>
internal sealed partial class ApprovalLoop(
    Database database, TimeProvider clock, ApprovalGate gate, TaskPlanner planner, WakeUps wakeUps, AnyDispatcher dispatcher, RunMetrics metrics, ILogger<ApprovalLoop> logger)
    : PeriodicLoop("approvals", clock, logger)
{
    private const int Batch = 200;

    /// <summary>Until when this process has woken machines that were kept from a step. What it slept through comes with their next poll.</summary>
    private long _wokenUntil = clock.GetUtcNow().ToUnixTimeMilliseconds();

    protected override TimeSpan Interval => TimeSpan.FromSeconds(5);

    public override async Task RunOnceAsync(CancellationToken cancellationToken)
    {
        var now = Clock.GetUtcNow().ToUnixTimeMilliseconds();
        // Of a task that is held after a restore nobody need answer in time (or those would fill each batch); what had been given for it is void all the same.
        await EachAsync("""
            SELECT a.task_id FROM approvals a JOIN tasks t ON t.id = a.task_id
            WHERE a.state IN ('pending', 'approved') AND a.expires_at <= @now AND (a.state = 'approved' OR t.held_at IS NULL) ORDER BY a.expires_at LIMIT @batch
            """, now, ExpireAsync, cancellationToken);
        await EachAsync("SELECT id FROM tasks WHERE frozen_until <= @now ORDER BY frozen_until LIMIT @batch", now, ThawAsync, cancellationToken);
        // A freeze that was written on a task is that of the version which was in force then. Not one of a task with an approval: that was given for just this version.
        await EachAsync("""
            SELECT id FROM tasks t WHERE frozen_until > @now AND state = 'queued' AND approval_status = 'not_required'
              AND doctrine_version < (SELECT max(d.version) FROM doctrine_versions d WHERE d.organization_id = t.organization_id) ORDER BY frozen_until LIMIT @batch
            """, now, JudgeAnewAsync, cancellationToken);
        await WakeKeptAsync(now, cancellationToken);
    }

    private async Task EachAsync(string candidates, long now, Func<WriteTransaction, LockedExecution, Task<string?>> act, CancellationToken cancellationToken)
    {
        foreach (var taskId in await database.ReadAsync(sql => sql.ListAsync<string>(candidates, new { now, batch = Batch }), cancellationToken))
        {
            try
            {
                var did = await database.WriteAsync(async tx =>
                {
                    if (await LockedExecution.OfTaskAsync(tx, taskId, Clock) is not { } locked || await act(tx, locked) is not { } what) return null;
                    await locked.SaveAsync(wakeUps, metrics);
                    return what;
                }, cancellationToken);
                if (did is not null) Count(did);
            }
            catch (Exception e) when (e is not OperationCanceledException || !cancellationToken.IsCancellationRequested)
            {
                // One task that can't be resolved, for whatever reason, must not keep those behind it from being so.
                Count("failed");
                LogUnresolved(logger, taskId, e);
            }
        }
    }

    private async Task<string?> ExpireAsync(WriteTransaction tx, LockedExecution locked)
    {
        // The candidate was read without the lock: it may have been answered, used or asked for again since, or be another approval than the one that was read.
        if (await ApprovalBook.OpenAsync(tx, locked.TaskId) is not { } open || open.ExpiresAt > locked.Now) return null;
        if (locked.Held && open.ParsedState == ApprovalState.Pending) return null;
        await ApprovalBook.ExpireAsync(tx, locked, open);
        if (open.ParsedState == ApprovalState.Pending)
        {
            locked.SetApproval(ApprovalStatus.Expired);
            await ApprovalService.EndUnapprovedAsync(tx, locked, $"Nobody answered within {ApprovalRules.AnswerWithin.TotalDays:0} days.");
            return "unanswered";
        }
        if (locked.TaskState == TaskState.Queued)
        {
            await gate.BackToPlannedAsync(tx, locked, open.ParsedClass, open.ParseFindings());
            return "unused";
        }
        var used = await ApprovalBook.UsedAsync(tx, locked.TaskId);
        if (await ApprovalBook.IsAwaitedAsync(tx, locked.TaskId, used)) await ApprovalBook.AskAsync(tx, locked, open.ParsedClass, open.ParseFindings());
        else locked.SetApproval(used > 0 ? ApprovalStatus.Consumed : ApprovalStatus.Expired); // what it was for has ended meanwhile
        return "unused";
    }

    private async Task<string?> ThawAsync(WriteTransaction tx, LockedExecution locked)
    {
        if (await tx.ExecuteAsync("UPDATE tasks SET frozen_until = NULL WHERE id = @taskId AND frozen_until <= @now", new { taskId = locked.TaskId, now = locked.Now }) == 0) return null;
        locked.AddEvent("thawed");
        await locked.RestartQueueTimeAsync();
        await locked.WakeTargetsAsync(wakeUps, dispatcher);
        return "thawed";
    }

    /// <summary>
    /// By a doctrine that was corrected since: the freeze ends with its rule, or goes on as the new one says, and what that asks for is asked for now: at a claim the freeze of the
    /// snapshot would still come first. What it forbids is told at the claim, like any other change.
    /// </summary>
    private async Task<string?> JudgeAnewAsync(WriteTransaction tx, LockedExecution locked)
    {
        if (locked.TaskState != TaskState.Queued || locked.ApprovalStatus != ApprovalStatus.NotRequired) return null;
        var plan = await planner.TryPlanAsync(tx, locked);
        if (plan?.Decision.Version <= locked.DoctrineVersion) return null; // another server did it
        if (plan?.Class > ApprovalClass.None && plan.Refusal() is null)
        {
            await gate.BackToPlannedAsync(tx, locked, plan.Class, plan.Findings(locked.ParsedSpec.ApprovalClass));
            return "askedAnew";
        }
        if (plan is not null && plan.Refusal() is null)
        {
            locked.SetPlan(plan.Class, plan.Decision.Version, plan.ActionHash);
            if (plan.FrozenUntil > locked.Now)
            {
                locked.Freeze(plan.FrozenUntil);
                return "frozenAnew";
            }
        }
        locked.Freeze(null);
        await StepHolds.ReleaseAsync(tx, locked);
        locked.AddEvent("thawed");
        await locked.RestartQueueTimeAsync();
        await locked.WakeTargetsAsync(wakeUps, dispatcher);
        return "thawed";
    }

    /// <summary>Each machine whose time away from a step is over. A hint like any other: who misses it finds the step with its next poll.</summary>
    private async Task WakeKeptAsync(long now, CancellationToken cancellationToken)
    {
        var kept = await database.ReadAsync(sql => sql.ListAsync<string>("""
            SELECT DISTINCT h.instance_id FROM step_holds h JOIN steps s ON s.id = h.step_id WHERE h.held_until > @from AND h.held_until <= @now AND s.state = 'queued'
            """, new { from = _wokenUntil, now }), cancellationToken);
        _wokenUntil = now;
        foreach (var instanceId in kept) wakeUps.Notify(WakeUps.Work(instanceId));
        Count("woken", kept.Count);
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Could not resolve the approval or freeze of task {TaskId}; it is tried again with the next pass")]
    private static partial void LogUnresolved(ILogger logger, string taskId, Exception exception);
}
