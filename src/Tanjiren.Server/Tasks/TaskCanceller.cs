using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Tasks.Permissions;
using Tanjiren.Server.Tasks.Retries;

namespace Tanjiren.Server.Tasks;

/// <summary>
/// Cancel ends what is queued at once and asks the holders of what runs: only they can say whether the process ended before the first signal. A
/// silent holder is resolved by the reconciler after TTL and grace. Of a task that has failed, the pending retry is dropped.
/// </summary>
internal sealed class TaskCanceller(Database database, TimeProvider clock, WakeUps wakeUps, AuditLog audit, RunMetrics metrics)
{
    public Task<CancelResult> CancelAsync(Caller caller, string taskId, string? reason, CancellationToken cancellationToken) =>
        database.WriteAsync(async tx =>
        {
            var locked = await LockedExecution.OfTaskAsync(tx, taskId, clock);
            if (locked is null || locked.OrganizationId != caller.OrganizationId) return new CancelResult(CancelResultKind.NotFound, default);
            if (locked.TaskState == TaskState.Failed && await RetryService.DropInAsync(tx, locked, reason))
            {
                await audit.AppendAsync(tx, caller, "task.retry_cancelled", taskId, reason);
                tx.OnCommit(() => wakeUps.Notify(WakeUps.Schedules)); // nothing of its schedule is open any more
                await locked.SaveAsync(wakeUps, metrics);
                return new CancelResult(CancelResultKind.Applied, locked.TaskState);
            }
            if (locked.TaskState == TaskState.Cancelled || locked.CancelRequested && !TaskRules.IsTerminal(locked.TaskState))
                return new CancelResult(CancelResultKind.Applied, locked.TaskState);
            if (TaskRules.IsTerminal(locked.TaskState)) return new CancelResult(CancelResultKind.AlreadyEnded, locked.TaskState);

            await tx.ExecuteAsync("UPDATE tasks SET cancel_requested_at = @now, cancel_reason = @reason WHERE id = @taskId",
                new { taskId, now = locked.Now, reason });
            await StepEnding.EndQueuedAsync(tx, locked, StepState.Cancelled, StepReason.Cancelled, reason);
            var holders = await tx.ListAsync<string>("""
                UPDATE steps SET cancel_requested_at = @now WHERE task_id = @taskId AND state = 'running' RETURNING lease_holder
                """, new { taskId, now = locked.Now });
            locked.AddEvent("cancelRequested", detail: reason);
            await PermissionBook.WithdrawAllAsync(tx, locked, onlyOfEnded: false);
            if (locked.TaskState == TaskState.Planned) locked.EndPlanned(TaskState.Cancelled, "Cancelled before anybody approved it.");
            await audit.AppendAsync(tx, caller, "task.cancel", taskId, reason);
            await locked.SaveAsync(wakeUps, metrics);
            tx.OnCommit(() =>
            {
                foreach (var holder in holders) wakeUps.Notify(WakeUps.Work(holder));
            });
            return new CancelResult(CancelResultKind.Applied, locked.TaskState);
        }, cancellationToken);
}

internal enum CancelResultKind
{
    Applied,
    NotFound,
    AlreadyEnded,
}

internal sealed record CancelResult(CancelResultKind Kind, TaskState State);
