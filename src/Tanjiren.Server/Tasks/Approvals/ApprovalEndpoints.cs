using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Tasks.Approvals;

/// <summary>The inbox, and the two answers.</summary>
internal static class ApprovalEndpoints
{
    public static void MapApprovalEndpoints(this IEndpointRouteBuilder routes)
    {
        routes.MapGet("/api/approvals", ListAsync).WithTags("Approvals").WithName("listApprovals").WithSummary("What waits for an answer, and what became of it; oldest first.")
            .RequireRole(Role.Viewer).AnswersProblems(400, 422);
        routes.MapGet("/api/approvals/events", EventsAsync).WithTags("Approvals").WithName("streamApprovalEvents")
            .WithSummary("What waits for an answer now, and then each that is asked, answered, withdrawn or expired.").RequireRole(Role.Viewer).Produces<string>(200, "text/event-stream");
        var tasks = routes.MapGroup("/api/tasks/{id}").WithTags("Approvals");
        tasks.MapPost("/approve", ApproveAsync).WithName("approveTask").WithSummary("Lets a planned task start within 15 minutes.")
            .RequireRole(Role.Admin).AnswersProblems(400, 404, 409, 408, 413, 415, 422);
        tasks.MapPost("/reject", RejectAsync).WithName("rejectTask").WithSummary("Refuses it; a planned task fails.")
            .RequireRole(Role.Admin).AnswersProblems(400, 404, 409, 408, 413, 415, 422);
    }

    private static async Task<Results<Ok<Page<ApprovalBody>>, Problem>> ListAsync(
        string? state, int? limit, string? cursor, Caller caller, ApprovalStore store, CancellationToken cancellationToken)
    {
        if (state is not null && !WireNames.IsKnown<ApprovalState>(state))
        {
            var errors = new FieldErrors();
            errors.Add("state", "must be pending, approved, consumed, rejected, expired or withdrawn");
            return errors.ToProblem();
        }
        if (Paging.Read(limit, cursor, out var page) is { } problem) return problem;
        var rows = await store.PageAsync(caller.OrganizationId, state, page.After, page.Fetch, cancellationToken);
        return TypedResults.Ok(page.ToPage(rows, row => row.ToBody(), row => row.Id));
    }

    private static async Task<EmptyHttpResult> EventsAsync(Caller caller, ApprovalStream stream, CallerCheck check, HttpContext context)
    {
        try
        {
            await stream.WriteAsync(context, caller, () => check.IsStillAllowedAsync(caller, context));
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            // The reader left; the next connection begins with what waits then.
        }
        return TypedResults.Empty;
    }

    private static async Task<Results<Ok<TaskBody>, Problem>> ApproveAsync(
        string id, AnswerApprovalRequest? request, Caller caller, ApprovalService service, TaskStore store, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        var reason = request?.Reason is null ? null : errors.Text(request.Reason, WireLimits.MaxIntentLength, "reason");
        CheckId(request, errors);
        if (errors.Any) return errors.ToProblem();
        if (await service.ApproveAsync(caller, id, request?.ApprovalId, reason, cancellationToken) is { } problem) return problem;
        return TypedResults.Ok((await store.FindAsync(caller.OrganizationId, id, cancellationToken))!);
    }

    private static async Task<Results<Ok<TaskBody>, Problem>> RejectAsync(
        string id, AnswerApprovalRequest request, Caller caller, ApprovalService service, TaskStore store, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        var reason = errors.Text(request.Reason, WireLimits.MaxIntentLength, "reason");
        CheckId(request, errors);
        if (errors.Any) return errors.ToProblem();
        if (await service.RejectAsync(caller, id, request.ApprovalId, reason, cancellationToken) is { } problem) return problem;
        return TypedResults.Ok((await store.FindAsync(caller.OrganizationId, id, cancellationToken))!);
    }

    private static void CheckId(AnswerApprovalRequest? request, FieldErrors errors) =>
        errors.Require(request?.ApprovalId is null || Ids.IsValid(request.ApprovalId, Ids.Approval), "approvalId", "must be the id of an approval (apr_…)");
}
