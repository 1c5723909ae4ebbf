using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Records;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Runbooks;

/// <summary>Runbooks. Each is named by id or by name; a task is made from one by <c>POST /api/tasks</c> with <c>runbookId</c>.</summary>
internal static class RunbookEndpoints
{
    public static void MapRunbooks(this IEndpointRouteBuilder routes)
    {
        var runbooks = routes.MapGroup("/api/runbooks").WithTags("Runbooks");
        runbooks.MapPost("", CreateAsync).WithName("createRunbook").WithMetadata(IdempotencyKeyTaken.Instance)
            .WithSummary("Makes a runbook, a draft unless it says otherwise. Takes Idempotency-Key.").RequireRole(Role.Member).AnswersProblems(400, 404, 409, 408, 413, 415, 422);
        runbooks.MapGet("", ListAsync).WithName("listRunbooks").WithSummary("Runbooks, oldest first; ?status= for the drafts, the active or the archived ones.")
            .RequireRole(Role.Viewer).AnswersProblems(400, 422);
        runbooks.MapGet("/{id}", ShowAsync).WithName("getRunbook").WithSummary("One runbook.").RequireRole(Role.Viewer).AnswersProblems(404);
        runbooks.MapPatch("/{id}", UpdateAsync).WithName("updateRunbook").WithSummary("Changes, activates or archives it; absent fields stay, empty ones are cleared.")
            .RequireRole(Role.Member).AnswersProblems(400, 404, 409, 408, 413, 415, 422);
        runbooks.MapDelete("/{id}", DeleteAsync).WithName("deleteRunbook").WithSummary("Deletes a runbook; an admin, or who made it. Its tasks keep its id.")
            .RequireRole(Role.Member).AnswersProblems(404);
    }

    private static async Task<Results<Created<RunbookBody>, Ok<RunbookBody>, Problem>> CreateAsync(
        CreateRunbookRequest request, HttpContext context, Caller caller, RunbookService service, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        var fields = RunbookRules.Normalize(request, errors);
        if (errors.Any) return errors.ToProblem();
        var key = Idempotency.Read(context, request, errors);
        if (errors.Any) return errors.ToProblem();
        var made = await service.CreateAsync(caller, fields, key, cancellationToken);
        if (made.Problem is not null) return made.Problem;
        var body = made.Row!.ToBody();
        return made.Repeated ? TypedResults.Ok(body) : TypedResults.Created("/api/runbooks/" + body.Id, body);
    }

    private static async Task<Results<Ok<Page<RunbookBody>>, Problem>> ListAsync(
        string? status, int? limit, string? cursor, Caller caller, Database database, RunbookDirectory directory, CancellationToken cancellationToken)
    {
        if (Paging.Read(limit, cursor, out var page) is { } problem) return problem;
        var errors = new FieldErrors();
        errors.Require(status is null || WireNames.IsKnown<RunbookStatus>(status), "status", "must be draft, active or archived");
        if (errors.Any) return errors.ToProblem();
        var rows = await database.ReadAsync(sql => directory.PageAsync(sql, caller.OrganizationId, status, page.After, page.Fetch), cancellationToken);
        return TypedResults.Ok(page.ToPage(rows, row => row.ToBody(), row => row.Id));
    }

    private static async Task<Results<Ok<RunbookBody>, Problem>> ShowAsync(string id, Caller caller, Database database, RunbookDirectory directory, CancellationToken cancellationToken)
    {
        var row = await database.ReadAsync(sql => directory.FindAsync(sql, caller.OrganizationId, id), cancellationToken);
        return row is null ? RunbookService.Missing(id) : TypedResults.Ok(row.ToBody());
    }

    private static async Task<Results<Ok<RunbookBody>, Problem>> UpdateAsync(
        string id, UpdateRunbookRequest request, Caller caller, RunbookService service, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        RecordRules.CheckVersion(errors, request.Version);
        if (errors.Any) return errors.ToProblem();
        var changed = await service.UpdateAsync(caller, id, request, cancellationToken);
        return changed.Problem is null ? TypedResults.Ok(changed.Row!.ToBody()) : changed.Problem;
    }

    private static async Task<Results<NoContent, Problem>> DeleteAsync(string id, Caller caller, RunbookService service, CancellationToken cancellationToken) =>
        await service.DeleteAsync(caller, id, cancellationToken) is { } problem ? problem : TypedResults.NoContent();
}
