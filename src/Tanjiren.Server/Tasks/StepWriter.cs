using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;

namespace Tanjiren.Server.Tasks;

/// <summary>Writes the steps of a task that becomes queued, and wakes those who may claim them after the commit.</summary>
internal sealed class StepWriter(TimeProvider clock, WakeUps wakeUps, AnyDispatcher dispatcher)
{
    /// <summary>The number of steps that <see cref="WriteAsync"/> makes of these targets.</summary>
    public static int CountOf(ResolvedTargets targets) => Math.Max(1, targets.Instances.Count);

    /// <param name="tx">It has made the execution, or locked it.</param>
    /// <param name="task">Whose steps they are.</param>
    /// <param name="spec">With every default filled in.</param>
    /// <param name="targets">Where they run.</param>
    /// <param name="approvalFrom">The number of the approval that they need; 0: none.</param>
    public async Task WriteAsync(WriteTransaction tx, StepOwner task, CreateTaskRequest spec, ResolvedTargets targets, int approvalFrom)
    {
        var now = clock.GetUtcNow().ToUnixTimeMilliseconds();
        var selectorId = targets.Selector is null ? null : await SelectorIdAsync(tx, task.OrganizationId, targets.Selector);
        for (var ordinal = 0; ordinal < CountOf(targets); ordinal++)
        {
            var stepId = Ids.New(Ids.Step, clock);
            var target = targets.Selector is null ? targets.Instances[ordinal] : null;
            await tx.ExecuteAsync("""
                INSERT INTO steps (id, execution_id, task_id, organization_id, ordinal, target_instance_id, selector_id, priority, state, queue_expires_at,
                  on_worker_lost, lease_state, lease_grace_ms, timeout_ms, created_at, approval_from)
                VALUES (@stepId, @ExecutionId, @TaskId, @OrganizationId, @ordinal, @target, @selectorId, @priority, 'queued', tanjiren_now() + @queueTimeoutMs,
                  @onWorkerLost, 'free', @graceMs, @timeoutMs, @now, @approvalFrom)
                """,
                new
                {
                    stepId, task.ExecutionId, task.TaskId, task.OrganizationId, ordinal, target, selectorId, priority = spec.Priority, now, approvalFrom,
                    queueTimeoutMs = spec.QueueTimeoutSeconds!.Value * 1000L, onWorkerLost = WireNames.Of(spec.OnWorkerLost!.Value),
                    graceMs = spec.LeaseGraceSeconds!.Value * 1000L, timeoutMs = spec.TimeoutSeconds!.Value * 1000L,
                });
            if (target is not null) tx.OnCommit(() => wakeUps.Notify(WakeUps.Work(target)));
            else tx.OnCommit(() => dispatcher.Dispatch(stepId));
        }
    }

    private async Task<string> SelectorIdAsync(WriteTransaction tx, string organizationId, TargetSelector selector)
    {
        var arguments = new { id = Ids.New("sel_", clock), organizationId, canonical = selector.ToCanonical() };
        while (true)
        {
            // Held until the commit: TaskPurge, which finds no step that refers to it, would delete it under the step that is about to.
            if (await tx.FirstAsync<string>("SELECT id FROM selectors WHERE organization_id = @organizationId AND canonical = @canonical" + tx.ForShare, arguments) is { } known) return known;
            // Two first uses at once: the loser waits for the winner's commit, does nothing, and then finds it.
            await tx.ExecuteAsync("INSERT INTO selectors (id, organization_id, canonical) VALUES (@id, @organizationId, @canonical) ON CONFLICT DO NOTHING", arguments);
        }
    }
}

/// <summary>Ids that every step carries.</summary>
internal sealed record StepOwner(string TaskId, string ExecutionId, string OrganizationId);
