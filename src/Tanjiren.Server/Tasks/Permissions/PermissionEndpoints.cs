using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Tasks.Permissions;

/// <summary>People's routes for what coding agents ask. As they come, questions are told by <c>GET /api/approvals/events</c>.</summary>
internal static class PermissionEndpoints
{
    public static void MapPermissionEndpoints(this IEndpointRouteBuilder routes)
    {
        var permissions = routes.MapGroup("/api/permissions").WithTags("Permissions");
        permissions.MapGet("", ListAsync).WithName("listPermissions").WithSummary("What coding agents ask whether they may, and what became of it; oldest first.")
            .RequireRole(Role.Viewer).AnswersProblems(400, 422);
        permissions.MapGet("/{id}", GetAsync).WithName("getPermission").RequireRole(Role.Viewer).AnswersProblems(404);
        permissions.MapPost("/{id}/answer", AnswerAsync).WithName("answerPermission").WithSummary("Allows or denies it, by a verdict or by one of its options.")
            .RequireRole(Role.Member).AnswersProblems(400, 404, 409, 408, 413, 415, 422);
    }

    private static async Task<Results<Ok<Page<PermissionBody>>, Problem>> ListAsync(
        string? state, string? task, int? limit, string? cursor, Caller caller, PermissionStore store, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        errors.Require(state is null || WireNames.IsKnown<PermissionState>(state), "state", "must be pending, answered, expired or withdrawn");
        errors.Require(task is null || Ids.IsValid(task, Ids.Task), "task", "must be the id of a task (task_…)");
        if (errors.Any) return errors.ToProblem();
        if (Paging.Read(limit, cursor, out var page) is { } problem) return problem;
        var rows = await store.PageAsync(caller.OrganizationId, state, task, page.After, page.Fetch, cancellationToken);
        return TypedResults.Ok(page.ToPage(rows, row => row.ToBody(), row => row.Id));
    }

    private static async Task<Results<Ok<PermissionBody>, Problem>> GetAsync(string id, Caller caller, PermissionStore store, CancellationToken cancellationToken) =>
        await store.FindAsync(caller.OrganizationId, id, cancellationToken) is { } row ? TypedResults.Ok(row.ToBody()) : Problem.NotFound("permission", id);

    private static async Task<Results<Ok<PermissionBody>, Problem>> AnswerAsync(
        string id, AnswerPermissionRequest request, Caller caller, PermissionService service, PermissionStore store, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        var reason = request.Reason is null ? null : errors.Text(request.Reason, WireLimits.MaxIntentLength, "reason");
        if (errors.Any) return errors.ToProblem();
        if (await service.AnswerAsync(caller, id, request, reason, cancellationToken) is { } problem) return problem;
        return TypedResults.Ok((await store.FindAsync(caller.OrganizationId, id, cancellationToken))!.ToBody());
    }
}
