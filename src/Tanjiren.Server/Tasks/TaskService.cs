using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Workstations;

namespace Tanjiren.Server.Tasks;

/// <summary>Creates tasks: validates, resolves the targets, and writes task, execution, steps and audit row in one transaction; then wakes workers.</summary>
internal sealed class TaskService(
    Database database, TimeProvider clock, TaskRequestResolver requests, InstanceDirectory directory, Idempotency idempotency, AuditLog audit, WakeUps wakeUps,
    AnyDispatcher dispatcher)
{
    public async Task<CreateTaskResult> CreateAsync(Caller caller, CreateTaskRequest request, IdempotencyKey? key, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        requests.Check(request, errors);
        if (errors.Any) return CreateTaskResult.Refused(errors.ToProblem());
        var trace = TaskTrace.OfRequest();

        return await database.WriteAsync(async tx =>
        {
            var taskId = Ids.New(Ids.Task, clock);
            var reservation = await idempotency.ReserveAsync(tx, caller, key, taskId);
            if (reservation.Reused) return CreateTaskResult.Refused(Idempotency.Reused());
            if (reservation.RepeatOf is { } earlier) return new CreateTaskResult(earlier, null, Repeated: true);

            var unfit = new FieldErrors();
            var (spec, origin) = await requests.ResolveAsync(tx, caller.OrganizationId, request, unfit);
            if ((unfit.Any ? unfit.ToProblem() : await CreateInAsync(tx, caller, taskId, spec, origin, trace)) is { } problem)
            {
                await idempotency.ReleaseAsync(tx, caller, key);
                return CreateTaskResult.Refused(problem);
            }
            return new CreateTaskResult(taskId, null, Repeated: false);
        }, cancellationToken);
    }

    /// <summary>
    /// The same within a transaction, for the makers of tasks that are no requests: schedules, retries, runbooks. <paramref name="spec"/> has been through
    /// <see cref="TaskRequestRules.Normalize"/>. Null: it is made; else nothing has been written.
    /// </summary>
    public async Task<Problem?> CreateInAsync(WriteTransaction tx, Caller caller, string taskId, CreateTaskRequest spec, TaskOrigin origin, TaskTrace trace)
    {
        // A transaction that is run again starts with a clean list.
        var unmet = new FieldErrors();
        var targets = await ResolveAsync(tx, caller.OrganizationId, spec, unmet);
        if (unmet.Any) return unmet.ToProblem();
        await InsertAsync(tx, caller, taskId, spec, targets, origin, trace);
        await audit.AppendAsync(tx, caller, "task.created", taskId, spec.Intent);
        return null;
    }

    /// <summary>For <c>all</c>: the workstations, one step each. For <c>any</c>: one step with a selector.</summary>
    private async Task<ResolvedTargets> ResolveAsync(WriteTransaction tx, string organizationId, CreateTaskRequest spec, FieldErrors errors)
    {
        var named = new List<string>();
        var names = spec.Targets!.Workstations ?? [];
        // Named ones are looked up alone: a thousand others must not make each of their tasks slower.
        var machines = names.Count == 0 ? await directory.ListAsync(tx, organizationId) : await directory.NamedAsync(tx, organizationId, names);
        for (var i = 0; i < names.Count; i++)
        {
            var machine = machines.FirstOrDefault(m => m.Id == names[i] || m.Name == names[i]);
            if (machine is null) errors.Add($"targets.workstations[{i}]", $"there is no workstation '{names[i]}' in this organization");
            else named.Add(machine.Id);
        }
        if (errors.Any) return ResolvedTargets.None;

        var selector = TargetSelector.Create(names.Count == 0 ? null : named, spec.Targets, spec.Resources);
        // Steps stand in the order in which the machines were named, or registered.
        var matching = machines.Where(m => selector.Matches(m.Id, m.Tags, m.Labels)).Select(m => m.Id).OrderBy(named.IndexOf).ToList();
        if (matching.Count == 0) errors.Add("targets", "no workstation of this organization matches; `workstations list` shows their tags and labels");
        if (spec.Targets.Placement == Placement.Any) return new ResolvedTargets([], selector);
        if (matching.Count > WireLimits.MaxTargets) errors.Add("targets", $"matches {matching.Count} workstations; at most {WireLimits.MaxTargets} are allowed");
        // A machine that was named must not be left out silently because a tag or label condition excludes it.
        foreach (var id in named.Except(matching)) errors.Add("targets", $"workstation '{id}' does not satisfy the other conditions");
        return new ResolvedTargets(matching, null);
    }

    private async Task InsertAsync(WriteTransaction tx, Caller caller, string taskId, CreateTaskRequest spec, ResolvedTargets targets, TaskOrigin origin, TaskTrace trace)
    {
        var now = clock.GetUtcNow().ToUnixTimeMilliseconds();
        var executionId = Ids.New(Ids.Execution, clock);
        var stepCount = Math.Max(1, targets.Instances.Count);
        await tx.ExecuteAsync("""
            INSERT INTO tasks (id, organization_id, intent, mode, state, approval_status, spec, priority, created_by, created_at, trace_parent, trace_state,
              schedule_id, schedule_tick_at, runbook_id, investigation_id, retry_of_task_id, root_task_id, attempt)
            VALUES (@taskId, @organizationId, @intent, 'command', 'queued', 'not_required', @json, @priority, @userId, @now, @traceParent, @traceState,
              @ScheduleId, @ScheduleTickAt, @RunbookId, @InvestigationId, @RetryOfTaskId, @RootTaskId, @Attempt);
            INSERT INTO executions (id, task_id, organization_id, max_parallel, stop_after_failures, active_steps, open_steps, failed_steps, cancelled_steps,
              event_seq, created_at)
            VALUES (@executionId, @taskId, @organizationId, @maxParallel, @stopAfterFailures, 0, @stepCount, 0, 0, 1, @now);
            INSERT INTO step_events (task_id, event_seq, at, kind) VALUES (@taskId, 1, @now, 'queued');
            """,
            new
            {
                taskId, executionId, organizationId = caller.OrganizationId, intent = spec.Intent, json = JsonSerializer.Serialize(spec, WireJson.Default.CreateTaskRequest), priority = spec.Priority,
                userId = caller.UserId, now, maxParallel = spec.MaxParallel, stopAfterFailures = spec.StopAfterFailures, stepCount,
                traceParent = trace.Parent, traceState = trace.State,
                origin.ScheduleId, origin.ScheduleTickAt, origin.RunbookId, origin.InvestigationId, origin.RetryOfTaskId, origin.RootTaskId, origin.Attempt,
            });

        var selectorId = targets.Selector is null ? null : await SelectorIdAsync(tx, caller.OrganizationId, targets.Selector);
        for (var ordinal = 0; ordinal < stepCount; ordinal++)
        {
            var stepId = Ids.New(Ids.Step, clock);
            var target = targets.Selector is null ? targets.Instances[ordinal] : null;
            await tx.ExecuteAsync("""
                INSERT INTO steps (id, execution_id, task_id, organization_id, ordinal, target_instance_id, selector_id, priority, state, queue_expires_at,
                  on_worker_lost, lease_state, lease_grace_ms, timeout_ms, created_at)
                VALUES (@stepId, @executionId, @taskId, @organizationId, @ordinal, @target, @selectorId, @priority, 'queued', tanjiren_now() + @queueTimeoutMs,
                  @onWorkerLost, 'free', @graceMs, @timeoutMs, @now)
                """,
                new
                {
                    stepId, executionId, taskId, organizationId = caller.OrganizationId, ordinal, target, selectorId, priority = spec.Priority, now,
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
        const string find = "SELECT id FROM selectors WHERE organization_id = @organizationId AND canonical = @canonical";
        if (await tx.FirstAsync<string>(find, arguments) is { } known) return known;
        // Two first uses at once: the loser waits for the winner's commit, does nothing, and then reads it.
        await tx.ExecuteAsync("INSERT INTO selectors (id, organization_id, canonical) VALUES (@id, @organizationId, @canonical) ON CONFLICT DO NOTHING", arguments);
        return (await tx.FirstAsync<string>(find, arguments))!;
    }

    private sealed record ResolvedTargets(IReadOnlyList<string> Instances, TargetSelector? Selector)
    {
        public static readonly ResolvedTargets None = new([], null);
    }
}

/// <summary>The id of the task, or the problem. <see cref="Repeated"/>: an earlier request with the same idempotency key made it.</summary>
internal sealed record CreateTaskResult(string? TaskId, Problem? Problem, bool Repeated)
{
    public static CreateTaskResult Refused(Problem problem) => new(null, problem, false);
}
