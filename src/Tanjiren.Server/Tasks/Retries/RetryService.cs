using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Organizations;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Schedules;

namespace Tanjiren.Server.Tasks.Retries;

/// <summary>What came of a pending retry; the loop counts each by its name.</summary>
internal enum RetryOutcome
{
    /// <summary>Another server, or a person, was first.</summary>
    Nothing,
    Made,
    /// <summary>A freeze refuses it; it is due again when that ends.</summary>
    Frozen,
    /// <summary>The attempt can not be made; the failed task's events say why.</summary>
    Dropped,
}

/// <summary>
/// Makes the attempt after one that failed or was cancelled: a new task of the same request. Under the lock of the old one's execution, so the loops of several servers and
/// people make one between them; the unique index on <c>retry_of_task_id</c> would stop a second all the same.
/// </summary>
internal sealed class RetryService(
    Database database, TaskService tasks, Idempotency idempotency, AuditLog audit, WakeUps wakeUps, RunMetrics metrics, TimeProvider clock)
{
    /// <summary>
    /// Makes the attempt of a pending retry that is due, in the name of the failed task's actor with the role that they have now. It stays due while the overlap rule of its
    /// schedule makes it wait for another task, and when this server can't read the doctrine, which another one may.
    /// </summary>
    /// <exception cref="InvalidOperationException">This server can't read the doctrine.</exception>
    public Task<RetryOutcome> MakeDueAsync(string taskId, CancellationToken cancellationToken) => database.WriteAsync(async tx =>
    {
        var locked = await LockedExecution.OfTaskAsync(tx, taskId, clock);
        if (locked is null || !await tx.FirstAsync<bool>("SELECT EXISTS (SELECT 1 FROM retries WHERE task_id = @taskId AND due_at <= @now)", new { taskId, now = locked.Now })) return RetryOutcome.Nothing;
        if (await ExclusiveScheduleAsync(tx, locked) is { } schedule && await ScheduleRow.IsOpenAsync(tx, schedule.Id)) return RetryOutcome.Nothing;

        var failed = (await tx.FirstAsync<TaskRow>("SELECT * FROM tasks WHERE id = @taskId", new { taskId }))!;
        var actor = await ActingMember.FindAsync(tx, failed.OrganizationId, locked.ActorId);
        var unmade = actor is null ? null : await MakeInAsync(tx, locked, failed, actor, Ids.New(Ids.Task, clock), byPerson: locked.Origin.ByPerson, inherits: true);
        if (unmade?.Refused is { Unreadable: true }) throw new InvalidOperationException($"The attempt after {taskId} waits: {unmade.Problem.Value.Detail}");
        if (unmade?.Refused is { Forbidden: false, FrozenUntil: { } until }) return await PutOffAsync(tx, locked, until);

        var why = actor is null ? $"{locked.ActorId}, in whose name it ran, may run no tasks here any more." : unmade?.Problem.Value.Detail;
        await tx.ExecuteAsync("DELETE FROM retries WHERE task_id = @taskId", new { taskId });
        if (why is not null)
        {
            locked.AddEvent("retryDropped", detail: why);
            await audit.AppendAsync(tx, failed.OrganizationId, "server", "task.retry_dropped", taskId, why, address: null);
            // With the last attempt the schedule that made the first has nothing open any more.
            tx.OnCommit(() => wakeUps.Notify(WakeUps.Schedules));
        }
        await locked.SaveAsync(wakeUps, metrics);
        return why is null ? RetryOutcome.Made : RetryOutcome.Dropped;
    }, cancellationToken);

    /// <summary>An attempt at once, in the name of who asks for it. One that is pending is brought forward by that.</summary>
    public async Task<CreateTaskResult> RetryAsync(Caller caller, string taskId, string? reason, IdempotencyKey? key, CancellationToken cancellationToken) =>
        await database.WriteAsync(async tx =>
        {
            var attemptId = Ids.New(Ids.Task, clock);
            var reservation = await idempotency.ReserveAsync(tx, caller, key, attemptId);
            if (reservation.Reused) return CreateTaskResult.Refused(Idempotency.Reused());
            if (reservation.RepeatOf is { } earlier) return new CreateTaskResult(earlier, null, Repeated: true);

            var locked = await LockedExecution.OfTaskAsync(tx, taskId, clock);
            var problem = locked is null || locked.OrganizationId != caller.OrganizationId ? Problem.NotFound("task", taskId)
                : locked.TaskState is not (TaskState.Failed or TaskState.Cancelled) ? NotOver(locked.TaskState)
                : locked.Held ? HeldAfterRestore(taskId)
                : await tx.FirstAsync<string>("SELECT id FROM tasks WHERE retry_of_task_id = @taskId", new { taskId }) is { } existing ? Retried(taskId, existing)
                : await ExclusiveScheduleAsync(tx, locked) is { } schedule && await ScheduleRow.IsBusyAsync(tx, schedule.Id, retryOf: taskId) ? ScheduleService.Busy(schedule)
                : (await MakeInAsync(tx, locked, (await tx.FirstAsync<TaskRow>("SELECT * FROM tasks WHERE id = @taskId", new { taskId }))!, caller, attemptId, byPerson: true, inherits: false))?.Problem;
            if (problem is not null)
            {
                await idempotency.ReleaseAsync(tx, caller, key);
                return CreateTaskResult.Refused(problem);
            }
            await tx.ExecuteAsync("DELETE FROM retries WHERE task_id = @taskId", new { taskId });
            await audit.AppendAsync(tx, caller, "task.retry", taskId, reason is null ? attemptId : $"{attemptId}: {reason}");
            await locked!.SaveAsync(wakeUps, metrics);
            return new CreateTaskResult(attemptId, null, Repeated: false);
        }, cancellationToken);

    /// <summary>Drops the pending retry of a task whose execution is locked, if there is one.</summary>
    public static async Task<bool> DropInAsync(WriteTransaction tx, LockedExecution locked, string? reason)
    {
        if (await tx.ExecuteAsync("DELETE FROM retries WHERE task_id = @TaskId", new { locked.TaskId }) == 0) return false;
        locked.AddEvent("retryDropped", detail: reason ?? "cancelled");
        return true;
    }

    /// <summary>
    /// The schedule of the task, held, if it lets no two tasks of it run at once. Whoever makes a task of it holds it; the task comes first, for a tick locks none but its own.
    /// </summary>
    private static async Task<ScheduleRow?> ExclusiveScheduleAsync(WriteTransaction tx, LockedExecution locked)
    {
        if (locked.Origin.ScheduleId is not { } id) return null;
        var row = await ScheduleRow.LockAsync(tx, "id = @id", new { id });
        return row?.OverlapRule == OverlapRule.Allow ? null : row;
    }

    /// <summary>What a freeze refuses is not lost with it. The first time the failed task's events say so.</summary>
    private async Task<RetryOutcome> PutOffAsync(WriteTransaction tx, LockedExecution locked, DateTimeOffset until)
    {
        await tx.ExecuteAsync("UPDATE retries SET due_at = @dueAt WHERE task_id = @TaskId", new { locked.TaskId, dueAt = until.ToUnixTimeMilliseconds() });
        if (!await tx.FirstAsync<bool>("SELECT EXISTS (SELECT 1 FROM step_events WHERE task_id = @TaskId AND kind = 'retryFrozen')", new { locked.TaskId })) locked.AddEvent("retryFrozen");
        await locked.SaveAsync(wakeUps, metrics);
        return RetryOutcome.Frozen;
    }

    /// <summary><paramref name="inherits"/>: the doctrine may let it go on with the approval of the attempt before. What a person asks for is asked about.</summary>
    private async Task<Unmade?> MakeInAsync(WriteTransaction tx, LockedExecution locked, TaskRow old, Caller actor, string attemptId, bool byPerson, bool inherits)
    {
        // Anew, as for any other task: the request may be older than this version of the rules.
        var errors = new FieldErrors();
        var spec = tasks.Template(old.ParseSpec(), errors);
        if (errors.Any) return new Unmade(errors.ToProblem());
        // Of the same schedule, so that its overlap rule knows of it; not of the same tick, of which there is one task.
        var origin = new TaskOrigin
        {
            ScheduleId = old.ScheduleId, RunbookId = old.RunbookId, InvestigationId = old.InvestigationId,
            RetryOfTaskId = old.Id, RootTaskId = old.RootTaskId ?? old.Id, Attempt = old.Attempt + 1, ByPerson = byPerson,
        };
        if (await tasks.CreateInAsync(tx, actor, attemptId, spec, origin, old.Trace, inherits ? old.Id : null) is { } unmade) return unmade;
        locked.AddEvent("retried", detail: attemptId);
        return null;
    }

    private static Problem NotOver(TaskState state) => Problem.Conflict(ErrorCode.StateConflict, $"The task is {WireNames.Of(state)}; only one that failed or was cancelled is retried.",
        state == TaskState.Completed ? "Create another task to run it again." : "Wait for its end, or cancel it first.", WireNames.Of(state));

    private static Problem HeldAfterRestore(string taskId) => Problem.Conflict(ErrorCode.StateConflict,
        $"Task {taskId} is held since the server was restored from a backup: the attempt after it may have run since.", "The owner resumes with POST /api/tasks/resume.", "held_after_restore");

    private static Problem Retried(string taskId, string attemptId) => Problem.Conflict(ErrorCode.StateConflict, $"Task {taskId} has been retried already: {attemptId} is the attempt after it.",
        $"See GET /api/tasks/{attemptId}; retry that one when it has failed.", "retried");
}
