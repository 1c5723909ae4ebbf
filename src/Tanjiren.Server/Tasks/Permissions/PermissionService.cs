using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Organizations;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Tasks.Approvals;

namespace Tanjiren.Server.Tasks.Permissions;

/// <summary>
/// People's answers. One transaction each, under the task's lock: of two that answer at once the second finds the first one's answer. Null: it is done, or was done before by
/// the same person; else the problem.
/// </summary>
internal sealed class PermissionService(Database database, TimeProvider clock, TaskPlanner planner, AuditLog audit, WakeUps wakeUps, RunMetrics metrics)
{
    public Task<Problem?> AnswerAsync(Caller caller, string permissionId, AnswerPermissionRequest request, string? reason, CancellationToken cancellationToken) =>
        database.WriteAsync(async tx =>
        {
            // The role that counts is that of now: it may have been taken away since the request was admitted.
            var (actor, _) = await MemberRow.LockAsync(tx, caller.OrganizationId, caller.UserId, caller.UserId);
            if (MembershipRules.Work(actor?.ParsedRole) is { } why) return MemberEndpoints.NotAllowed(why);
            if (await PermissionStore.FindAsync(tx, caller.OrganizationId, permissionId) is not { } found || await LockedExecution.OfTaskAsync(tx, found.TaskId, clock) is not { } locked)
                return Problem.NotFound("permission", permissionId);
            // Again, now that nobody else can move it.
            var row = (await PermissionStore.FindAsync(tx, caller.OrganizationId, permissionId))!;
            var (choice, field, wrong) = PermissionRules.Choose(row.ParseOptions(), request.Verdict, request.OptionId);
            if (choice is null) return Invalid(field, wrong);
            if (!row.IsPending) return row.AnsweredBy == caller.UserId && row.ParsedVerdict == choice.Verdict && row.OptionId == choice.OptionId ? null : Ended(row);
            if (row.ExpiresAt <= locked.Now) return Conflict($"Its time is over: nobody answered within {(row.ExpiresAt - row.AskedAt) / 1000} s, so it was denied.", PermissionState.Expired);
            if (await RefuseAsync(tx, caller, locked, actor!.ParsedRole, choice.Verdict, reason) is { } refusal) return refusal;

            if (!await PermissionBook.AnswerAsync(tx, locked, row, choice, caller.UserId, reason))
                throw new InvalidOperationException($"The permission {row.Id} was answered beside the lock of its task.");
            await audit.AppendAsync(tx, caller, choice.Verdict == PermissionVerdict.Allow ? "permission.allowed" : "permission.denied", row.TaskId, Detail(row, choice, reason));
            await locked.SaveAsync(wakeUps, metrics);
            return null;
        }, cancellationToken);

    private async Task<Problem?> RefuseAsync(WriteTransaction tx, Caller caller, LockedExecution locked, Role role, PermissionVerdict verdict, string? reason)
    {
        var least = PermissionRules.RoleFor(locked.ApprovalClass, verdict);
        if (role < least)
            return MemberEndpoints.NotAllowed($"To allow something in a task of the class {WireNames.Of(locked.ApprovalClass)} needs the role {WireNames.Of(least)}; you have the role {WireNames.Of(role)}.");
        if (verdict == PermissionVerdict.Deny || locked.ApprovalClass != ApprovalClass.ProductionMutation) return null;
        var own = await ApprovalBook.IsOwnAsync(tx, locked, caller.UserId);
        var ownAllowed = own && (await planner.TryPlanAsync(tx, locked))?.OwnAllows(locked.ApprovalClass) == true;
        return PermissionRules.Judge(locked.ApprovalClass, verdict, own, await MemberRow.CountAsync(tx, caller.OrganizationId), reason is not null, ownAllowed) switch
        {
            ApproverVerdict.OwnAction => Problem.Of(403, ErrorCode.OwnApproval, "Nobody allows anything in a production mutation of their own.", "Ask another admin or the owner; you may deny it."),
            ApproverVerdict.ReasonMissing => Invalid("reason", "is required: it is a production mutation of your own"),
            _ => null,
        };
    }

    private static Problem Ended(PermissionRow row) => row.ParsedState switch
    {
        PermissionState.Answered => Conflict($"It was answered already: {WireNames.Of(row.ParsedVerdict!.Value)}, {row.ToStanding(0).Because}.", PermissionState.Answered),
        PermissionState.Expired => Conflict("Its time is over: nobody answered, so it was denied.", PermissionState.Expired),
        _ => Conflict("It is not asked any more: its step has ended, its task is being cancelled, or the coding agent took it back.", PermissionState.Withdrawn),
    };

    private static Problem Conflict(string detail, PermissionState state) => Problem.Conflict(ErrorCode.StateConflict, detail, "Look what waits now (`jobs approvals`).", WireNames.Of(state));

    private static Problem Invalid(string field, string why)
    {
        var errors = new FieldErrors();
        errors.Add(field, why);
        return errors.ToProblem();
    }

    private static string Detail(PermissionRow row, PermissionChoice choice, string? reason) =>
        $"{row.Id} {row.ToolKind} of {row.StepId}{(choice.OptionId is null ? "" : $" by option {choice.OptionId}")}: {row.Title}{(reason is null ? "" : $" ({reason})")}";
}
