using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Webhooks;

namespace Tanjiren.Server.Tasks.Approvals;

/// <summary>
/// The approvals of one task, in a transaction that has locked it. Numbered: a step that may have run needs one of a higher number than the one that it ran under,
/// while its neighbours go on under theirs.
/// </summary>
internal static class ApprovalBook
{
    /// <summary>The one that is pending or approved; the database allows one.</summary>
    public static Task<ApprovalRow?> OpenAsync(SqlSession sql, string taskId) =>
        sql.FirstAsync<ApprovalRow>("SELECT * FROM approvals WHERE task_id = @taskId AND state IN ('pending', 'approved')", new { taskId });

    public static Task<ApprovalRow?> NewestAsync(SqlSession sql, string taskId) =>
        sql.FirstAsync<ApprovalRow>("SELECT * FROM approvals WHERE task_id = @taskId ORDER BY number DESC LIMIT 1", new { taskId });

    /// <summary>
    /// The one under which a step may start: given and in time, or used already; for exactly what the task is now, and of at least this class. It is the first from the
    /// number that the step waits for: what was withdrawn or ran out went on in the next, with all that it named, but what was asked for after a used one was asked for
    /// other steps. A step that waits for none was named to nobody.
    /// </summary>
    public static async Task<ApprovalRow?> CoveringAsync(SqlSession sql, StartSubject task, int approvalFrom, ApprovalClass needed)
    {
        if (approvalFrom == 0) return null;
        var first = await sql.FirstAsync<ApprovalRow>("""
            SELECT * FROM approvals WHERE task_id = @TaskId AND number >= @approvalFrom AND action_hash = @ActionHash AND (state = 'consumed' OR state = 'approved' AND expires_at > @Now)
            ORDER BY number LIMIT 1
            """, new { task.TaskId, approvalFrom, task.ActionHash, task.Now });
        return first?.ParsedClass >= needed ? first : null;
    }

    /// <summary>Asks for an approval of what the task is now. None may be open. Returns its number.</summary>
    public static async Task<int> AskAsync(WriteTransaction tx, LockedExecution locked, ApprovalClass wanted, IReadOnlyList<ApprovalFindingBody> findings)
    {
        var (id, expiresAt) = (Ids.New(Ids.Approval, TaskMapping.Instant(locked.Now)), ApprovalRules.AnswerBy(locked.Now));
        var number = await tx.FirstAsync<int>("""
            INSERT INTO approvals (id, organization_id, task_id, number, class, state, action_hash, doctrine_version, findings, requested_by, requested_at, expires_at)
            VALUES (@id, @organizationId, @taskId, (SELECT coalesce(max(number), 0) + 1 FROM approvals WHERE task_id = @taskId), @wanted, 'pending', @actionHash,
              @doctrineVersion, @findings, @actorId, @now, @expiresAt)
            RETURNING number
            """,
            new
            {
                id, organizationId = locked.OrganizationId, taskId = locked.TaskId, wanted = WireNames.Of(wanted), actionHash = locked.ActionHash, doctrineVersion = locked.DoctrineVersion,
                findings = JsonSerializer.Serialize(findings, WireJson.Default.IReadOnlyListApprovalFindingBody), actorId = locked.ActorId, now = locked.Now, expiresAt,
            });
        await WebhookOutbox.TellAsync(tx, WebhookEvents.ApprovalPending, new ApprovalNews(locked.OrganizationId, id, locked.TaskId, wanted, locked.ActorId, expiresAt), locked.Now);
        locked.SetApproval(ApprovalStatus.Pending);
        locked.AddEvent("approvalRequested", detail: id);
        return number;
    }

    /// <summary>
    /// The used approval of an attempt that the next one goes on with: every rule that wants one says <c>inherit</c>, it is of the class that is wanted, it was given
    /// for exactly this, under this version of the doctrine, and nothing was asked for after it, which may have been refused. Null: the attempt asks for its own.
    /// </summary>
    public static async Task<ApprovalRow?> InheritableAsync(SqlSession sql, string taskId, TaskPlan plan) =>
        await NewestAsync(sql, taskId) is { ParsedState: ApprovalState.Consumed } used && used.ActionHash == plan.ActionHash && plan.Inherits(used.ParsedClass)
            && used.ParsedClass >= plan.Class ? used : null;

    /// <summary>The first approval of a task is the one that another was given; it lasts as if it had been given now. Returns what happened, for the audit log.</summary>
    public static async Task<string> InheritAsync(WriteTransaction tx, LockedExecution locked, ApprovalRow from, long? frozenUntil)
    {
        var id = Ids.New(Ids.Approval, TaskMapping.Instant(locked.Now));
        await tx.ExecuteAsync("""
            INSERT INTO approvals (id, organization_id, task_id, number, class, state, action_hash, doctrine_version, findings, requested_by, requested_at, expires_at,
              decided_by, decided_at, reason, self_approved, inherited_from)
            VALUES (@id, @organizationId, @taskId, 1, @Class, 'approved', @actionHash, @doctrineVersion, @Findings, @actorId, @now, @expiresAt, @DecidedBy, @DecidedAt, @Reason,
              @SelfApproved, @inheritedFrom)
            """,
            new
            {
                id, organizationId = locked.OrganizationId, taskId = locked.TaskId, from.Class, actionHash = locked.ActionHash, doctrineVersion = locked.DoctrineVersion, from.Findings,
                actorId = locked.ActorId, now = locked.Now, expiresAt = ApprovalRules.StartBy(locked.Now, frozenUntil), from.DecidedBy, from.DecidedAt, from.Reason, from.SelfApproved,
                inheritedFrom = from.Id,
            });
        locked.SetApproval(ApprovalStatus.Approved);
        locked.AddEvent("approved", detail: id);
        return $"{from.Class} {id} {locked.ActionHash}: from {from.Id} of {from.TaskId}";
    }

    /// <summary>False when it is not in the state that <paramref name="approval"/> was read in, and nothing has changed.</summary>
    public static async Task<bool> MoveAsync(WriteTransaction tx, ApprovalRow approval, ApprovalState to, long now)
    {
        if (!ApprovalRules.MayMove(approval.ParsedState, to)) throw new InvalidOperationException($"An approval can't move from {approval.State} to {to}.");
        var moved = await tx.ExecuteAsync("""
            UPDATE approvals SET state = @to, consumed_at = CASE WHEN @to = 'consumed' THEN @now ELSE consumed_at END WHERE id = @id AND state = @state
            """, new { id = approval.Id, state = approval.State, to = WireNames.Of(to), now }) == 1;
        if (moved && to == ApprovalState.Expired) await WebhookOutbox.TellAsync(tx, WebhookEvents.ApprovalExpired, approval.ToNews(approval.ExpiresAt, approval.DecidedBy), now);
        return moved;
    }

    /// <summary>A person's answer. False when it is answered already.</summary>
    public static async Task<bool> AnswerAsync(
        WriteTransaction tx, ApprovalRow pending, ApprovalState to, string userId, string? reason, bool selfApproved, long now, long expiresAt)
    {
        var answered = await tx.ExecuteAsync("""
            UPDATE approvals SET state = @to, decided_by = @userId, decided_at = @now, reason = @reason, self_approved = @self, expires_at = @expiresAt
            WHERE id = @id AND state = 'pending'
            """, new { id = pending.Id, to = WireNames.Of(to), userId, now, reason, self = selfApproved ? 1 : 0, expiresAt }) == 1;
        if (answered) await WebhookOutbox.TellAsync(tx, to == ApprovalState.Approved ? WebhookEvents.ApprovalApproved : WebhookEvents.ApprovalRejected, pending.ToNews(expiresAt, userId), now);
        return answered;
    }

    /// <summary>
    /// Whether this person made, changed or asked for the task, or any that it is an attempt of: what somebody else changed or tried again after them still has their part in it.
    /// </summary>
    public static async Task<bool> IsOwnAsync(SqlSession sql, LockedExecution locked, string userId) =>
        userId == locked.CreatedBy || userId == locked.ActorId || await sql.FirstAsync<bool>("""
            SELECT EXISTS (SELECT 1 FROM tasks t WHERE (t.id = @taskId OR t.id = @rootId OR t.root_task_id = @rootId) AND (t.created_by = @userId OR t.changed_by = @userId
              OR EXISTS (SELECT 1 FROM approvals a WHERE a.task_id = t.id AND a.requested_by = @userId)
              OR EXISTS (SELECT 1 FROM step_events v WHERE v.task_id = t.id AND v.kind = 'changed' AND v.detail = @userId)))
            """, new { taskId = locked.TaskId, rootId = locked.Origin.RootTaskId ?? locked.TaskId, userId });

    /// <summary>Takes back what was asked or given: the task is not what it was for any more.</summary>
    public static async Task WithdrawAsync(WriteTransaction tx, LockedExecution locked)
    {
        if (await OpenAsync(tx, locked.TaskId) is { } open) await MoveAsync(tx, open, ApprovalState.Withdrawn, locked.Now);
    }

    /// <summary>Whoever is asked has the whole time again, from now on.</summary>
    public static Task AskLongerAsync(WriteTransaction tx, string taskId, long now) => tx.ExecuteAsync(
        "UPDATE approvals SET expires_at = @expiresAt WHERE task_id = @taskId AND state = 'pending'", new { taskId, expiresAt = ApprovalRules.AnswerBy(now) });

    /// <summary>It was not answered, or not used, in time.</summary>
    public static async Task ExpireAsync(WriteTransaction tx, LockedExecution locked, ApprovalRow open)
    {
        await MoveAsync(tx, open, ApprovalState.Expired, locked.Now);
        locked.AddEvent("approvalExpired", detail: open.Id);
    }

    /// <summary>The number of the newest that was used, 0 when none was: steps that need a higher one wait, the others go on.</summary>
    public static Task<int> UsedAsync(SqlSession sql, string taskId) =>
        sql.FirstAsync<int>("SELECT coalesce(max(number), 0) FROM approvals WHERE task_id = @taskId AND state = 'consumed'", new { taskId });

    /// <summary>The highest class of those that were used and that the step can have run under.</summary>
    public static async Task<ApprovalClass> RanUnderAsync(SqlSession sql, StepRow step) =>
        (await sql.ListAsync<string>("SELECT class FROM approvals WHERE task_id = @TaskId AND number >= @ApprovalFrom AND state = 'consumed'", new { step.TaskId, step.ApprovalFrom }))
            .Select(WireNames.Parse<ApprovalClass>).DefaultIfEmpty(ApprovalClass.ProductionMutation).Max();

    /// <summary>Whether a queued step waits for an approval of a higher number.</summary>
    public static Task<bool> IsAwaitedAsync(SqlSession sql, string taskId, int used) => sql.FirstAsync<bool>(
        "SELECT EXISTS (SELECT 1 FROM steps WHERE task_id = @taskId AND state = 'queued' AND approval_from > @used)", new { taskId, used });
}
