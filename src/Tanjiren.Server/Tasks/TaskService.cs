using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Governance;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Secrets;
using Tanjiren.Server.Tasks.Approvals;

namespace Tanjiren.Server.Tasks;

/// <summary>
/// Creates tasks: validates, plans, and writes task, execution, steps and audit row in one transaction; then wakes workers. A task that needs an approval is
/// planned: it has an execution, which numbers its events, and no steps.
/// </summary>
internal sealed class TaskService(
    Database database, TimeProvider clock, TaskRequestResolver requests, TargetResolver targets, TaskPlanner planner, StepWriter steps, SecretVault secrets, Idempotency idempotency, AuditLog audit, WakeUps wakeUps, RunMetrics metrics)
{
    public async Task<CreateTaskResult> CreateAsync(Caller caller, CreateTaskRequest request, IdempotencyKey? key, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        requests.Check(request, errors);
        errors.Require(request.Secrets is not { Count: > 0 } || secrets.CanKeep, "secrets", SecretVault.WhyNot);
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
            if ((unfit.Any ? unfit.ToProblem() : (await CreateInAsync(tx, caller, taskId, spec, origin, trace))?.Problem) is { } problem)
            {
                await idempotency.ReleaseAsync(tx, caller, key);
                return CreateTaskResult.Refused(problem);
            }
            return new CreateTaskResult(taskId, null, Repeated: false);
        }, cancellationToken);
    }

    /// <summary>
    /// A template of tasks that are made later, with its defaults filled in, as far as it can be judged without the database. One with a runbook stays as it is given: each
    /// task of it does what the runbook says then.
    /// </summary>
    public CreateTaskRequest Template(CreateTaskRequest request, FieldErrors errors) => requests.Check(request, errors);

    /// <summary>What a template asks for now; see <see cref="TaskRequestResolver.ResolveAsync"/>.</summary>
    public Task<(CreateTaskRequest Spec, TaskOrigin Origin)> ResolveAsync(WriteTransaction tx, string organizationId, CreateTaskRequest template, FieldErrors errors) =>
        requests.ResolveAsync(tx, organizationId, template, errors);

    /// <summary>Whether a task could be made of a template now, as <see cref="CreateInAsync"/> says it, and what its origin would be.</summary>
    public async Task<TaskOrigin> CheckAsync(WriteTransaction tx, string organizationId, CreateTaskRequest template, FieldErrors errors)
    {
        var (spec, origin) = await requests.ResolveAsync(tx, organizationId, template, errors);
        if (!errors.Any) await targets.ResolveAsync(tx, organizationId, spec, errors);
        return origin;
    }

    /// <summary>
    /// The same within a transaction, for the makers of tasks that are no requests: schedules, retries, runbooks. <paramref name="spec"/> has been through
    /// <see cref="TaskRequestRules.Normalize"/>. Null: it is made; else nothing has been written but, when the doctrine refused it, the audit row that says so.
    /// <paramref name="inheritFrom"/>: the task whose used approval it goes on with, if the doctrine lets it and it is the same action.
    /// </summary>
    public async Task<Unmade?> CreateInAsync(
        WriteTransaction tx, Caller caller, string taskId, CreateTaskRequest spec, TaskOrigin origin, TaskTrace trace, string? inheritFrom = null)
    {
        // A transaction that is run again starts with a clean list.
        var unmet = new FieldErrors();
        // Their values go into the vault and nowhere else: not into the spec, and so into nothing that is made of it.
        var given = new OpenedSecrets(spec.Secrets, caller.UserId);
        spec = spec with { Secrets = SecretRules.NamesOnly(spec.Secrets) };
        if (origin.RetryOfTaskId is { } earlier && (given = await secrets.OpenAsync(tx, earlier, spec)).Fault is { } fault)
            return new Unmade(Problem.Conflict(ErrorCode.StateConflict, fault, "Create another task and give its secrets again.", "secrets_lost"));
        var json = JsonSerializer.Serialize(spec, WireJson.Default.CreateTaskRequest);
        var plan = await planner.PlanAsync(tx, caller.OrganizationId, (spec, json), caller.Role, origin, unmet);
        if (plan is null) return new Unmade(unmet.ToProblem());
        if (plan.Refusal() is { } refusal)
        {
            await audit.AppendAsync(tx, caller, plan.Decision.Forbidden ? "task.forbidden" : "task.frozen", caller.OrganizationId, $"{spec.Intent}: {plan.Because()}");
            return new Unmade(refusal, plan.Decision);
        }
        var inherited = inheritFrom is null ? null : await ApprovalBook.InheritableAsync(tx, inheritFrom, plan);
        await InsertAsync(tx, caller, taskId, (spec, json), plan, inherited, origin, trace);
        await secrets.KeepAsync(tx, taskId, given);
        await audit.AppendAsync(tx, caller, "task.created", taskId, spec.Intent);
        return null;
    }

    private async Task InsertAsync(
        WriteTransaction tx, Caller caller, string taskId, (CreateTaskRequest Parsed, string Text) spec, TaskPlan plan, ApprovalRow? inherited, TaskOrigin origin, TaskTrace trace)
    {
        var now = clock.GetUtcNow().ToUnixTimeMilliseconds();
        var executionId = Ids.New(Ids.Execution, clock);
        var free = plan.Class == ApprovalClass.None || inherited is not null;
        await tx.ExecuteAsync("""
            INSERT INTO tasks (id, organization_id, intent, mode, state, approval_status, spec, priority, created_by, created_at, trace_parent, trace_state,
              schedule_id, schedule_tick_at, runbook_id, by_person, investigation_id, retry_of_task_id, root_task_id, attempt, approval_class, doctrine_version, action_hash, frozen_until)
            VALUES (@taskId, @organizationId, @intent, @mode, @state, 'not_required', @json, @priority, @userId, @now, @traceParent, @traceState,
              @ScheduleId, @ScheduleTickAt, @RunbookId, @byPerson, @InvestigationId, @RetryOfTaskId, @RootTaskId, @Attempt, @approvalClass, @doctrineVersion, @ActionHash, @frozenUntil);
            INSERT INTO executions (id, task_id, organization_id, max_parallel, stop_after_failures, active_steps, open_steps, failed_steps, cancelled_steps,
              event_seq, created_at)
            VALUES (@executionId, @taskId, @organizationId, @maxParallel, @stopAfterFailures, 0, @stepCount, 0, 0, 1, @now);
            INSERT INTO step_events (task_id, event_seq, at, kind) VALUES (@taskId, 1, @now, @state);
            """,
            new
            {
                taskId, executionId, organizationId = caller.OrganizationId, intent = spec.Parsed.Intent, mode = WireNames.Of(spec.Parsed.Mode!.Value), json = spec.Text, priority = spec.Parsed.Priority,
                userId = caller.UserId, now, maxParallel = spec.Parsed.MaxParallel, stopAfterFailures = spec.Parsed.StopAfterFailures,
                state = WireNames.Of(free ? TaskState.Queued : TaskState.Planned), stepCount = free ? StepWriter.CountOf(plan.Targets) : 0,
                traceParent = trace.Parent, traceState = trace.State,
                byPerson = origin.ByPerson ? 1 : 0, origin.ScheduleId, origin.ScheduleTickAt, origin.RunbookId, origin.InvestigationId, origin.RetryOfTaskId, origin.RootTaskId, origin.Attempt,
                approvalClass = WireNames.Of(plan.Class), doctrineVersion = plan.Decision.Version, plan.ActionHash, frozenUntil = free ? plan.FrozenUntil : null,
            });
        // Numbers of approvals start at 1.
        if (free) await steps.WriteAsync(tx, new StepOwner(taskId, executionId, caller.OrganizationId), spec.Parsed, plan.Targets, approvalFrom: inherited is null ? 0 : 1);
        if (plan.Class == ApprovalClass.None) return;
        var locked = (await LockedExecution.OfTaskAsync(tx, taskId, clock))!;
        if (inherited is null) await ApprovalBook.AskAsync(tx, locked, plan.Class, plan.Findings(spec.Parsed.ApprovalClass));
        else await audit.AppendAsync(tx, caller.OrganizationId, "server", "task.approval_inherited", taskId, await ApprovalBook.InheritAsync(tx, locked, inherited, plan.FrozenUntil), address: null);
        await locked.SaveAsync(wakeUps, metrics);
    }
}

/// <summary>Why a task was not made. <paramref name="Refused"/>: the doctrine's decision, when it was that.</summary>
internal sealed record Unmade(Problem Problem, DoctrineDecision? Refused = null);

/// <summary>The id of the task, or the problem. <see cref="Repeated"/>: an earlier request with the same idempotency key made it.</summary>
internal sealed record CreateTaskResult(string? TaskId, Problem? Problem, bool Repeated)
{
    public static CreateTaskResult Refused(Problem problem) => new(null, problem, false);
}
