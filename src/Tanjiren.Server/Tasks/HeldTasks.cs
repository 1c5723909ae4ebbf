using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Tasks.Approvals;

namespace Tanjiren.Server.Tasks;

/// <summary>What came of a resume.</summary>
/// <param name="Tasks">So many go on.</param>
/// <param name="NotBefore">None does before this instant: somewhere one of them may still run. Null: nothing stands in the way.</param>
internal sealed record ResumeResult(int Tasks, DateTimeOffset? NotBefore = null);

/// <summary>
/// Tasks after a restore. Their steps may have run since the backup without this database knowing it, and so may the attempt after a failed one: none starts by
/// itself. Every open task, and every failed one whose next attempt is pending, is held until its organization's owner, who can know, resumes. Tasks that are made
/// afterwards are not held.
/// </summary>
internal sealed class HeldTasks(Database database, TimeProvider clock, WakeUps wakeUps, AnyDispatcher dispatcher, RunMetrics metrics, AuditLog audit, ApprovalGate gate,
    LeaseOptions options)
{
    /// <summary>
    /// Far above any generation that was given out between the backup and the restore: what an agent brings back from that time can't fit by chance.
    /// </summary>
    public const long GenerationLeap = 1L << 32;

    /// <summary>
    /// Ends every lease as its task's <c>onWorkerLost</c> says (nobody here can know how the step went on), makes every generation leap, and holds every task
    /// that is open then or has an attempt to come. An approval that was given and not used is void: what it was given for may have run since. Answers how many
    /// tasks are held. For a database that no server serves.
    /// </summary>
    public async Task<int> HoldAllAsync(CancellationToken cancellationToken)
    {
        foreach (var stepId in await database.ReadAsync(sql => sql.ListAsync<string>("SELECT id FROM steps WHERE state = 'running' ORDER BY id"), cancellationToken))
            await database.WriteAsync(tx => LoseAsync(tx, stepId), cancellationToken);
        return await database.WriteAsync(async tx =>
        {
            var now = clock.GetUtcNow().ToUnixTimeMilliseconds();
            await tx.ExecuteAsync("UPDATE steps SET lease_generation = lease_generation + @GenerationLeap", new { GenerationLeap });
            // Every agent opens a new session, and hears there that it holds nothing.
            await tx.ExecuteAsync("UPDATE instance_sessions SET ended_at = @now WHERE ended_at IS NULL", new { now });
            await tx.ExecuteAsync("UPDATE approvals SET expires_at = @now WHERE state = 'approved'", new { now });
            return await tx.ExecuteAsync("""
                UPDATE tasks SET held_at = @now WHERE state NOT IN ('completed', 'failed', 'cancelled') OR id IN (SELECT task_id FROM retries)
                """, new { now });
        }, cancellationToken);
    }

    /// <summary>
    /// Lets the held tasks of the caller's organization go on, each with its whole queue timeout before it, and its whole time for an answer. Refused until no agent can still run one of them: what it was given
    /// after the backup this database does not know, and an agent that is cut off trusts its lease for TTL and grace after its last renewal, which was before the restore.
    /// </summary>
    public Task<ResumeResult> ResumeAsync(Caller caller, CancellationToken cancellationToken) => database.WriteAsync(async tx =>
    {
        var were = await tx.ListAsync<TaskRow>("SELECT * FROM tasks WHERE organization_id = @OrganizationId AND held_at IS NOT NULL ORDER BY id" + tx.ForUpdate, new { caller.OrganizationId });
        // Some may have been cancelled meanwhile, and so may the attempts to come of those that had failed.
        var retried = await tx.ListAsync<string>("SELECT task_id FROM retries WHERE organization_id = @OrganizationId", new { caller.OrganizationId });
        var held = were.Where(task => task.EndedAt is null || retried.Contains(task.Id)).ToList();
        if (held.Count > 0 && await SafeAtAsync(tx, caller.OrganizationId, held) is var safeAt && safeAt > clock.GetUtcNow()) return new ResumeResult(0, safeAt);
        await tx.ExecuteAsync("UPDATE tasks SET held_at = NULL WHERE organization_id = @OrganizationId AND held_at IS NOT NULL", new { caller.OrganizationId });
        if (held.Count == 0) return new ResumeResult(0);
        tx.OnCommit(() => wakeUps.Notify(WakeUps.Retries));
        foreach (var task in held)
        {
            await ApprovalBook.AskLongerAsync(tx, task.Id, clock.GetUtcNow().ToUnixTimeMilliseconds());
            var steps = await tx.ListAsync<QueuedStep>("""
                UPDATE steps SET queue_expires_at = tanjiren_now() + @queueTimeoutMs WHERE task_id = @Id AND state = 'queued' RETURNING id, target_instance_id
                """, new { task.Id, queueTimeoutMs = task.ParseSpec().QueueTimeoutSeconds!.Value * 1000L });
            tx.OnCommit(() => Wake(steps));
        }
        await audit.AppendAsync(tx, caller, "tasks.resumed", caller.OrganizationId, $"{held.Count} tasks, held since a restore");
        return new ResumeResult(held.Count);
    }, cancellationToken);

    /// <summary>When the last lease has ended that may have been given on one of these tasks before the restore: by its own grace, and the longest TTL that is known here.</summary>
    private async Task<DateTimeOffset> SafeAtAsync(WriteTransaction tx, string organizationId, List<TaskRow> held)
    {
        var ttlMs = Math.Max(options.TtlMs, await tx.FirstAsync<long?>(
            "SELECT max(lease_ttl_ms) FROM steps WHERE task_id IN (SELECT id FROM tasks WHERE organization_id = @organizationId)", new { organizationId }) ?? 0);
        return TaskMapping.Instant(held.Max(task => task.HeldAt!.Value + ttlMs + task.ParseSpec().LeaseGraceSeconds!.Value * 1000L));
    }

    private void Wake(IReadOnlyList<QueuedStep> steps)
    {
        foreach (var step in steps)
        {
            if (step.TargetInstanceId is { } target) wakeUps.Notify(WakeUps.Work(target));
            else dispatcher.Dispatch(step.Id);
        }
    }

    private async Task LoseAsync(WriteTransaction tx, string stepId)
    {
        var locked = await LockedExecution.OfStepAsync(tx, stepId, clock);
        if (locked is null || await locked.StepAsync(stepId) is not { State: "running" } step) return;
        var to = StepRules.AfterLoss(step.CancelRequestedAt is not null, WireNames.Parse<OnWorkerLost>(step.OnWorkerLost));
        if (to == StepState.Queued)
        {
            await tx.ExecuteAsync(StepEnding.RequeueSql, new { id = step.Id, instanceId = step.LeaseHolder, generation = step.LeaseGeneration, queueTimeoutMs = locked.QueueTimeoutMs });
            locked.Add(active: -1);
            locked.AddEvent("requeued", step.Id, step.LeaseGeneration, step.LeaseHolder, "restored");
            await gate.AskForAnotherStartAsync(tx, locked, step);
        }
        else
        {
            await StepEnding.EndLostAsync(tx, step, to, to == StepState.Cancelled ? StepReason.Cancelled : StepReason.WorkerLost,
                "The server was restored from a backup in which it ran; how it ended is not known.", locked.Now, guard: "");
            locked.Add(active: -1, open: -1, failed: to == StepState.Failed ? 1 : 0, cancelled: to == StepState.Cancelled ? 1 : 0);
            locked.AddEvent(WireNames.Of(to), step.Id, step.LeaseGeneration, step.LeaseHolder, "restored");
            if (to == StepState.Failed) await StepEnding.StopRolloutAsync(tx, locked);
        }
        await locked.SaveAsync(wakeUps, metrics);
    }

    private sealed record QueuedStep
    {
        public string Id { get; init; } = "";
        public string? TargetInstanceId { get; init; }
    }
}
