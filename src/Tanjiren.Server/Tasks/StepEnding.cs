using Tanjiren.Protocol;
using Tanjiren.Server.Data;

namespace Tanjiren.Server.Tasks;

/// <summary>Endings that need no holder: of steps still queued, and of leases that ran out. All under the execution's lock.</summary>
internal static class StepEnding
{
    /// <summary>
    /// Running to queued, generation + 1: the lease that was is worth nothing from here on. Guarded by holder and generation, so of two that give
    /// up the same lease (its holder and the reconciler) one does nothing. Its queue time begins again: what it waited before its start is no reason to give it up after.
    /// </summary>
    public const string RequeueSql = """
        UPDATE steps SET state = 'queued', lease_state = 'released', lease_holder = NULL, lease_session = NULL, lease_expires_at = NULL, deadline_at = NULL,
          claim_id = NULL, lease_generation = lease_generation + 1, queue_expires_at = tanjiren_now() + @queueTimeoutMs
        WHERE id = @id AND state = 'running' AND lease_holder = @instanceId AND lease_generation = @generation
        """;

    /// <summary>Ends a running step whose holder no longer counts; <paramref name="guard"/> repeats in the statement why it does not.</summary>
    public static async Task<bool> EndLostAsync(
        WriteTransaction tx, StepRow step, StepState to, StepReason reason, string detail, long now, string guard) =>
        await tx.ExecuteAsync("""
            UPDATE steps SET state = @state, outcome = @outcome, reason = @reason, detail = @detail, ended_at = @now, lease_state = 'released',
              lease_holder = NULL, lease_session = NULL, lease_expires_at = NULL, lease_generation = lease_generation + 1
            WHERE id = @id AND state = 'running' AND lease_holder = @holder AND lease_generation = @generation
            """ + guard,
            new
            {
                id = step.Id, holder = step.LeaseHolder, generation = step.LeaseGeneration, state = WireNames.Of(to),
                outcome = to == StepState.Cancelled ? "CANCELLED" : "FAILED", reason = WireNames.Of(reason), detail, now,
            }) == 1;

    /// <summary>
    /// Ends every queued step of the execution, or one of them, or those that wait for this approval or a later one. The generation rises, so a claim that is on its
    /// way is refused.
    /// </summary>
    public static async Task<int> EndQueuedAsync(
        WriteTransaction tx, LockedExecution locked, StepState to, StepReason reason, string? detail, string? stepId = null, int approvalFrom = 0)
    {
        var ended = await tx.ListAsync<string>("""
            UPDATE steps SET state = @state, outcome = @outcome, reason = @reason, detail = @detail, ended_at = @now, lease_state = 'released',
              lease_generation = lease_generation + 1
            WHERE task_id = @taskId AND state = 'queued' AND (@stepId IS NULL OR id = @stepId) AND approval_from >= @approvalFrom
            RETURNING id
            """,
            new
            {
                taskId = locked.TaskId, stepId, approvalFrom, state = WireNames.Of(to), outcome = to == StepState.Cancelled ? "CANCELLED" : "FAILED",
                reason = WireNames.Of(reason), detail, now = locked.Now,
            });
        foreach (var id in ended) locked.AddEvent(WireNames.Of(to), id, detail: WireNames.Of(reason));
        var byOperator = to == StepState.Cancelled && reason == StepReason.Cancelled;
        locked.Add(open: -ended.Count, failed: to == StepState.Failed ? ended.Count : 0, cancelled: byOperator ? ended.Count : 0);
        return ended.Count;
    }

    /// <summary>After a failure: cancels what is still queued once <c>stopAfterFailures</c> is reached.</summary>
    public static async Task StopRolloutAsync(WriteTransaction tx, LockedExecution locked)
    {
        if (locked.StopAfterFailures is not { } limit || locked.FailedSteps < limit) return;
        await EndQueuedAsync(tx, locked, StepState.Cancelled, StepReason.RolloutStopped, $"{locked.FailedSteps} steps had failed (stopAfterFailures {limit}).");
    }
}
