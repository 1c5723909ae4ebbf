using Tanjiren.Protocol;
using Tanjiren.Server.Data;

namespace Tanjiren.Server.Tasks.Permissions;

/// <summary>
/// The statements that move a question, each guarded by <c>state = 'pending'</c>, in a transaction that has locked its task. Of two that end one at the same moment
/// (two people, an answer and its expiry) the second changes nothing.
/// </summary>
internal static class PermissionBook
{
    public static Task InsertAsync(WriteTransaction tx, PermissionRow row) => tx.ExecuteAsync("""
        INSERT INTO permissions (id, organization_id, task_id, step_id, generation, instance_id, coding_agent, tool_call_id, tool_kind, title, paths, arguments, arguments_cut,
          options, digest, state, asked_at, expires_at, ended_at, verdict, option_id, rule, reason)
        VALUES (@Id, @OrganizationId, @TaskId, @StepId, @Generation, @InstanceId, @CodingAgent, @ToolCallId, @ToolKind, @Title, @Paths, @Arguments, @ArgumentsCut,
          @Options, @Digest, @State, @AskedAt, @ExpiresAt, @EndedAt, @Verdict, @OptionId, @Rule, @Reason)
        """, row);

    /// <summary>Whatever organization it is of.</summary>
    public static Task<PermissionRow?> FindAsync(SqlSession sql, string id) => sql.FirstAsync<PermissionRow>("""
        SELECT p.*, u.email AS answered_by_email FROM permissions p LEFT JOIN users u ON u.id = p.answered_by WHERE p.id = @id
        """, new { id });

    /// <summary>How many questions a step has asked, and how many of them wait.</summary>
    public static async Task<(long All, long Pending)> CountAsync(SqlSession sql, string stepId)
    {
        var states = await sql.ListAsync<string>("SELECT state FROM permissions WHERE step_id = @stepId", new { stepId });
        return (states.Count, states.Count(s => s == "pending"));
    }

    /// <summary>A person's answer. False: it is not pending any more.</summary>
    public static async Task<bool> AnswerAsync(WriteTransaction tx, LockedExecution locked, PermissionRow pending, PermissionChoice choice, string userId, string? reason)
    {
        var answered = await tx.ExecuteAsync("""
            UPDATE permissions SET state = 'answered', verdict = @verdict, option_id = @OptionId, answered_by = @userId, reason = @reason, ended_at = @now
            WHERE id = @id AND state = 'pending' AND expires_at > @now
            """, new { id = pending.Id, verdict = WireNames.Of(choice.Verdict), choice.OptionId, userId, reason, now = locked.Now }) == 1;
        if (answered) Tell(locked, PermissionEvents.Answered, pending);
        return answered;
    }

    /// <summary>Nobody answered in time. False: somebody did, or its time is not over.</summary>
    public static async Task<bool> ExpireAsync(WriteTransaction tx, LockedExecution locked, PermissionRow pending)
    {
        var denied = PermissionRules.OnceOf(pending.ParseOptions(), PermissionVerdict.Deny)?.Id;
        var expired = await tx.ExecuteAsync("""
            UPDATE permissions SET state = 'expired', verdict = 'deny', option_id = @denied, ended_at = @now WHERE id = @id AND state = 'pending' AND expires_at <= @now
            """, new { id = pending.Id, denied, now = locked.Now }) == 1;
        if (expired) Tell(locked, PermissionEvents.Expired, pending);
        return expired;
    }

    /// <summary>One of them: its coding agent was told something else meanwhile. False: it is not pending any more.</summary>
    public static async Task<bool> WithdrawAsync(WriteTransaction tx, LockedExecution locked, PermissionRow pending)
    {
        var withdrawn = await tx.ExecuteAsync("UPDATE permissions SET state = 'withdrawn', ended_at = @now WHERE id = @id AND state = 'pending'",
            new { id = pending.Id, now = locked.Now }) == 1;
        if (withdrawn) Tell(locked, PermissionEvents.Withdrawn, pending);
        return withdrawn;
    }

    /// <summary>All that wait for an answer of this task; <paramref name="onlyOfEnded"/>: those whose step their machine holds no longer.</summary>
    public static async Task WithdrawAllAsync(WriteTransaction tx, LockedExecution locked, bool onlyOfEnded)
    {
        var ended = await tx.ListAsync<PermissionRow>("""
            UPDATE permissions SET state = 'withdrawn', ended_at = @now WHERE task_id = @taskId AND state = 'pending'
              AND (@all OR NOT EXISTS (SELECT 1 FROM steps s WHERE s.id = permissions.step_id AND s.state = 'running' AND s.lease_generation = permissions.generation))
            RETURNING id, step_id, generation, instance_id
            """, new { taskId = locked.TaskId, now = locked.Now, all = !onlyOfEnded });
        foreach (var row in ended) Tell(locked, PermissionEvents.Withdrawn, row);
    }

    /// <summary>What the coding agent was told, once; of two that say so the first.</summary>
    public static Task SettleAsync(WriteTransaction tx, PermissionRow row, PermissionTold told) =>
        tx.ExecuteAsync("UPDATE permissions SET told = @told WHERE id = @id AND told IS NULL", new { id = row.Id, told = WireNames.Of(told) });

    /// <summary>Its event, in the task's order; and after the commit whoever waits for it or watches the inbox looks.</summary>
    public static void Tell(LockedExecution locked, string kind, PermissionRow row)
    {
        locked.AddEvent(kind, row.StepId, row.Generation, row.InstanceId, row.Id);
        locked.PermissionMoved(row.Id);
    }
}
