using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Organizations;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Tasks.Approvals;

/// <summary>
/// Answers. One transaction each, under the task's lock: of two that answer at once the second finds the first one's answer. Null: it is done, or was done before by the
/// same person; else the problem.
/// </summary>
internal sealed class ApprovalService(
    Database database, TimeProvider clock, TaskPlanner planner, StepWriter steps, AuditLog audit, WakeUps wakeUps, AnyDispatcher dispatcher, RunMetrics metrics)
{
    public Task<Problem?> ApproveAsync(Caller caller, string taskId, string? approvalId, string? reason, CancellationToken cancellationToken) =>
        database.WriteAsync(async tx =>
        {
            var (problem, locked, approval) = await OpenAsync(tx, caller, taskId, approvalId, ApprovalState.Approved);
            if (locked is null || approval is null) return problem;
            var own = await ApprovalBook.IsOwnAsync(tx, locked, caller.UserId);
            var unmet = new FieldErrors();
            var plan = await planner.PlanAsync(tx, locked.OrganizationId, (locked.ParsedSpec, locked.Spec), locked.ActorRole, locked.Origin, unmet);
            switch (ApprovalRules.Judge(approval.ParsedClass, own, await MemberRow.CountAsync(tx, caller.OrganizationId), reason is not null, plan?.OwnAllows(approval.ParsedClass) == true))
            {
                case ApproverVerdict.OwnAction:
                    return Problem.Of(403, ErrorCode.OwnApproval, "Nobody approves a production mutation of their own.", "Ask another admin or the owner.", approval.State);
                case ApproverVerdict.ReasonMissing:
                    var errors = new FieldErrors();
                    errors.Add("reason", "is required: you approve your own production mutation");
                    return errors.ToProblem();
            }

            var frozenUntil = plan?.FrozenUntil;
            if (locked.TaskState == TaskState.Planned)
            {
                if (plan is null)
                    return Problem.Conflict(ErrorCode.StateConflict, $"It could not run any more: {string.Join("; ", unmet.ToProblem().Value.Errors!.SelectMany(e => e.Value))}.",
                        "Change its targets (`jobs update`), or reject it.", approval.State);
                if (plan.Refusal() is { } refusal)
                {
                    await audit.AppendAsync(tx, caller, plan.Decision.Forbidden ? "task.forbidden" : "task.frozen", taskId, plan.Because());
                    return refusal;
                }
                if (plan.ActionHash != approval.ActionHash || plan.Class > approval.ParsedClass) return await AskAgainAsync(tx, caller, locked, approval, plan);
                locked.Freeze(frozenUntil);
                await QueueAsync(tx, locked, plan, approval.Number);
            }
            else if (plan is not null)
            {
                // By the same freezes, of now and of the snapshot, that the claims of its steps are judged by; here one that refuses holds back as well.
                var atClaim = await planner.DecideAtClaimAsync(tx, locked.Subject, [.. plan.Targets.Tags.SelectMany(tags => tags)]);
                frozenUntil = atClaim.FrozenUntil?.ToUnixTimeMilliseconds();
            }
            var startBy = ApprovalRules.StartBy(locked.Now, frozenUntil);
            if (!await ApprovalBook.AnswerAsync(tx, approval, ApprovalState.Approved, caller.UserId, reason, own, locked.Now, startBy))
                throw new InvalidOperationException($"The approval {approval.Id} was answered beside the lock of its task.");
            locked.SetApproval(ApprovalStatus.Approved);
            locked.AddEvent("approved", detail: approval.Id);
            if (locked.TaskState == TaskState.Executing)
            {
                await locked.RestartQueueTimeAsync(await ApprovalBook.UsedAsync(tx, taskId) + 1);
                await locked.WakeTargetsAsync(wakeUps, dispatcher);
            }
            await audit.AppendAsync(tx, caller, own ? "task.self_approved" : "task.approved", taskId, Detail(approval, reason));
            await locked.SaveAsync(wakeUps, metrics);
            return null;
        }, cancellationToken);

    public Task<Problem?> RejectAsync(Caller caller, string taskId, string? approvalId, string reason, CancellationToken cancellationToken) =>
        database.WriteAsync(async tx =>
        {
            var (problem, locked, approval) = await OpenAsync(tx, caller, taskId, approvalId, ApprovalState.Rejected);
            if (locked is null || approval is null) return problem;
            if (!await ApprovalBook.AnswerAsync(tx, approval, ApprovalState.Rejected, caller.UserId, reason, selfApproved: false, locked.Now, approval.ExpiresAt))
                throw new InvalidOperationException($"The approval {approval.Id} was answered beside the lock of its task.");
            locked.SetApproval(ApprovalStatus.Rejected);
            locked.AddEvent("rejected", detail: approval.Id);
            await EndUnapprovedAsync(tx, locked, $"Rejected by {caller.Email}: {reason}");
            await audit.AppendAsync(tx, caller, "task.rejected", taskId, Detail(approval, reason));
            await locked.SaveAsync(wakeUps, metrics);
            return null;
        }, cancellationToken);

    /// <summary>What becomes of a task that will not get this approval: planned, it fails; while it executes, the steps that waited for it fail.</summary>
    internal static async Task EndUnapprovedAsync(WriteTransaction tx, LockedExecution locked, string why)
    {
        if (locked.TaskState == TaskState.Planned)
        {
            locked.EndPlanned(TaskState.Failed, why);
            return;
        }
        await StepEnding.EndQueuedAsync(tx, locked, StepState.Failed, StepReason.NotApproved, why, approvalFrom: await ApprovalBook.UsedAsync(tx, locked.TaskId) + 1);
        await StepEnding.StopRolloutAsync(tx, locked);
    }

    /// <summary>The pending approval, with everything locked that the answer depends on. Neither problem nor approval: this person has answered so before.</summary>
    private async Task<(Problem? Problem, LockedExecution? Locked, ApprovalRow? Pending)> OpenAsync(
        WriteTransaction tx, Caller caller, string taskId, string? approvalId, ApprovalState answer)
    {
        // The role that counts is that of now: it may have been taken away since the request was admitted.
        var (actor, _) = await MemberRow.LockAsync(tx, caller.OrganizationId, caller.UserId, caller.UserId);
        if (MembershipRules.Manage(actor?.ParsedRole) is { } why) return (MemberEndpoints.NotAllowed(why), null, null);
        var locked = await LockedExecution.OfTaskAsync(tx, taskId, clock);
        if (locked is null || locked.OrganizationId != caller.OrganizationId) return (Problem.NotFound("task", taskId), null, null);
        if (await ApprovalBook.NewestAsync(tx, taskId) is not { } newest)
            return (Conflict("The task needs no approval.", "not_required"), null, null);
        if (approvalId is not null && approvalId != newest.Id)
            return (Conflict($"The task was changed since: it asks for another approval now ({newest.Id}).", newest.State), null, null);
        // While the task is held after a restore the question does not run out: its owner must be able to answer what they are asked.
        if (newest.ParsedState == ApprovalState.Pending)
            return newest.ExpiresAt > locked.Now || locked.Held ? (null, locked, newest) : (Conflict("Its time is over: nobody answered within seven days.", "expired"), null, null);
        var said = newest.ParsedState == ApprovalState.Consumed ? ApprovalState.Approved : newest.ParsedState;
        if (newest.DecidedBy == caller.UserId && said == answer) return (null, null, null);
        return (Conflict($"The approval is {newest.State} already.", newest.State), null, null);
    }

    /// <summary>What would run is not what was asked about: the doctrine has a new version, or machines came and went. It is not approved unseen.</summary>
    private async Task<Problem> AskAgainAsync(WriteTransaction tx, Caller caller, LockedExecution locked, ApprovalRow approval, TaskPlan plan)
    {
        await ApprovalBook.MoveAsync(tx, approval, ApprovalState.Withdrawn, locked.Now);
        locked.SetPlan(plan.Class, plan.Decision.Version, plan.ActionHash);
        if (plan.Class == ApprovalClass.None)
        {
            locked.SetApproval(ApprovalStatus.NotRequired);
            locked.Freeze(plan.FrozenUntil);
            await QueueAsync(tx, locked, plan, approvalFrom: 0);
        }
        else
        {
            await ApprovalBook.AskAsync(tx, locked, plan.Class, plan.Findings(locked.ParsedSpec.ApprovalClass));
        }
        await audit.AppendAsync(tx, caller, "task.asked_again", locked.TaskId, $"{approval.Class} {approval.Id} {approval.ActionHash}: now {WireNames.Of(plan.Class)} {plan.ActionHash}");
        await locked.SaveAsync(wakeUps, metrics);
        return plan.Class == ApprovalClass.None
            ? Conflict("The doctrine or its targets have changed since it was asked for: it needs no approval any more and is queued.", "not_required")
            : Conflict("The doctrine or its targets have changed since it was asked for; it asks again.", "pending");
    }

    private async Task QueueAsync(WriteTransaction tx, LockedExecution locked, TaskPlan plan, int approvalFrom)
    {
        locked.MoveTask(TaskState.Queued);
        locked.AddEvent("queued");
        locked.Add(open: StepWriter.CountOf(plan.Targets));
        await steps.WriteAsync(tx, locked.Owner, locked.ParsedSpec, plan.Targets, approvalFrom);
    }

    private static Problem Conflict(string detail, string state) => Problem.Conflict(ErrorCode.StateConflict, detail, "Look at the task again (`jobs show`).", state);

    private static string Detail(ApprovalRow approval, string? reason) => $"{approval.Class} {approval.Id} {approval.ActionHash}{(reason is null ? "" : ": " + reason)}";
}
