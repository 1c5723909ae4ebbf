using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Organizations;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Secrets;
using Tanjiren.Server.Tasks.Approvals;

namespace Tanjiren.Server.Tasks;

/// <summary>
/// Changes a task of which nothing was claimed yet. Its steps are written anew, so a claim that is on its way finds nothing of what it was offered, and every
/// approval ends: a person approved what it was. Null: done; else the problem, and nothing has changed.
/// </summary>
internal sealed class TaskEditor(
    Database database, TimeProvider clock, LeaseOptions options, TaskPlanner planner, StepWriter steps, AuditLog audit, WakeUps wakeUps, RunMetrics metrics)
{
    public Task<Problem?> UpdateAsync(Caller caller, string taskId, UpdateTaskRequest change, CancellationToken cancellationToken) =>
        database.WriteAsync(async tx =>
        {
            // The role that counts is that of now, and the membership comes first: everybody who locks both does so in this order.
            var (actor, _) = await MemberRow.LockAsync(tx, caller.OrganizationId, caller.UserId, caller.UserId);
            if (MembershipRules.Work(actor?.ParsedRole) is { } why) return MemberEndpoints.NotAllowed(why);
            var locked = await LockedExecution.OfTaskAsync(tx, taskId, clock);
            if (locked is null || locked.OrganizationId != caller.OrganizationId) return Problem.NotFound("task", taskId);
            if (locked.TaskState is not (TaskState.Planned or TaskState.Queued))
                return Problem.Conflict(ErrorCode.StateConflict, $"The task is {WireNames.Of(locked.TaskState)}: only what nobody has claimed can be changed.",
                    "Cancel it and create another.", WireNames.Of(locked.TaskState));

            if (await SecretVault.AreOthersAsync(tx, taskId, locked.ParsedSpec, caller.UserId))
                return Problem.Of(403, ErrorCode.Forbidden, "Only who gave the secrets of a task changes it: what it runs is given them.", "Cancel it, and create another with secrets of your own.");

            var errors = new FieldErrors();
            var spec = TaskRequestRules.Merge(locked.ParsedSpec, change, options.GraceSeconds, errors);
            if (errors.Any) return errors.ToProblem();
            var json = JsonSerializer.Serialize(spec, WireJson.Default.CreateTaskRequest);
            if (json == locked.Spec) return null; // says what it says already: nobody has to be asked again
            var plan = await planner.PlanAsync(tx, caller.OrganizationId, (spec, json), actor!.ParsedRole, locked.Origin with { ByPerson = true }, errors);
            if (plan is null) return errors.ToProblem();
            if (plan.Refusal() is { } refusal)
            {
                await audit.AppendAsync(tx, caller, plan.Decision.Forbidden ? "task.forbidden" : "task.frozen", taskId, $"{spec.Intent}: {plan.Because()}");
                return refusal;
            }

            await ApprovalBook.WithdrawAsync(tx, locked);
            if (locked.TaskState == TaskState.Queued) await locked.RemoveStepsAsync();
            await tx.ExecuteAsync("""
                UPDATE tasks SET intent = @intent, spec = @json, priority = @priority, changed_by = @userId WHERE id = @taskId;
                UPDATE executions SET max_parallel = @maxParallel, stop_after_failures = @stopAfterFailures WHERE task_id = @taskId;
                """,
                new { taskId, intent = spec.Intent, json, priority = spec.Priority, userId = caller.UserId, maxParallel = spec.MaxParallel, stopAfterFailures = spec.StopAfterFailures });
            locked.Changed(spec, json, caller.UserId);
            locked.SetPlan(plan.Class, plan.Decision.Version, plan.ActionHash);
            locked.AddEvent("changed", detail: caller.UserId);
            await WriteAsync(tx, locked, plan);
            await audit.AppendAsync(tx, caller, "task.updated", taskId, string.Join(", ", TaskRequestRules.Given(change)));
            await locked.SaveAsync(wakeUps, metrics);
            return null;
        }, cancellationToken);

    private async Task WriteAsync(WriteTransaction tx, LockedExecution locked, TaskPlan plan)
    {
        if (plan.Class == ApprovalClass.None)
        {
            if (locked.TaskState == TaskState.Planned) locked.MoveTask(TaskState.Queued);
            locked.SetApproval(ApprovalStatus.NotRequired);
            locked.Freeze(plan.FrozenUntil);
            locked.Add(open: StepWriter.CountOf(plan.Targets));
            await steps.WriteAsync(tx, locked.Owner, locked.ParsedSpec, plan.Targets, approvalFrom: 0);
            return;
        }
        if (locked.TaskState == TaskState.Queued) locked.MoveTask(TaskState.Planned);
        locked.Freeze(null); // counted when it is approved
        await ApprovalBook.AskAsync(tx, locked, plan.Class, plan.Findings(locked.ParsedSpec.ApprovalClass));
    }
}
