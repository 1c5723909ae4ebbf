using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Records;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Investigations;

/// <summary>Investigations. Their tasks are listed at <c>/api/tasks?investigation=</c>, their artifacts by <see cref="Artifacts.ArtifactEndpoints"/>.</summary>
internal static class InvestigationEndpoints
{
    public static void MapInvestigations(this IEndpointRouteBuilder routes)
    {
        var investigations = routes.MapGroup("/api/investigations").WithTags("Investigations");
        investigations.MapPost("", CreateAsync).WithName("createInvestigation").WithMetadata(IdempotencyKeyTaken.Instance)
            .WithSummary("Opens an investigation. Takes Idempotency-Key.").RequireRole(Role.Member).AnswersProblems(400, 404, 408, 413, 415, 422);
        investigations.MapGet("", ListAsync).WithName("listInvestigations").WithSummary("Investigations, newest first; ?status= for the open or closed ones.")
            .RequireRole(Role.Viewer).AnswersProblems(400, 422);
        investigations.MapGet("/{id}", ShowAsync).WithName("getInvestigation").WithSummary("One investigation.").RequireRole(Role.Viewer).AnswersProblems(404);
        investigations.MapPatch("/{id}", UpdateAsync).WithName("updateInvestigation").WithSummary("Changes, closes or reopens it; absent fields stay, empty text clears.")
            .RequireRole(Role.Member).AnswersProblems(400, 404, 409, 408, 413, 415, 422);
        investigations.MapDelete("/{id}", DeleteAsync).WithName("deleteInvestigation").WithSummary("Deletes one that nothing belongs to; an admin, or who made it.")
            .RequireRole(Role.Member).AnswersProblems(404, 409);
    }

    private static async Task<Results<Created<InvestigationBody>, Ok<InvestigationBody>, Problem>> CreateAsync(
        CreateInvestigationRequest request, HttpContext context, Caller caller, InvestigationService service, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        errors.Text(request.Title, WireLimits.MaxTitleLength, "title");
        CheckTexts(errors, request.Objective, request.Hypothesis, request.Findings);
        var key = Idempotency.Read(context, request, errors);
        if (errors.Any) return errors.ToProblem();
        var made = await service.CreateAsync(caller, request, key, cancellationToken);
        if (made.Problem is not null) return made.Problem;
        var body = made.Row!.ToBody();
        return made.Repeated ? TypedResults.Ok(body) : TypedResults.Created("/api/investigations/" + body.Id, body);
    }

    private static async Task<Results<Ok<Page<InvestigationBody>>, Problem>> ListAsync(
        string? status, int? limit, string? cursor, Caller caller, Database database, InvestigationDirectory directory, CancellationToken cancellationToken)
    {
        if (Paging.Read(limit, cursor, out var page) is { } problem) return problem;
        var errors = new FieldErrors();
        errors.Require(status is null || WireNames.IsKnown<InvestigationStatus>(status), "status", "must be open or closed");
        if (errors.Any) return errors.ToProblem();
        var rows = await database.ReadAsync(sql => directory.PageAsync(sql, caller.OrganizationId, status, page.After, page.Fetch), cancellationToken);
        return TypedResults.Ok(page.ToPage(rows, row => row.ToBody(), row => row.Id));
    }

    private static async Task<Results<Ok<InvestigationBody>, Problem>> ShowAsync(
        string id, Caller caller, Database database, InvestigationDirectory directory, CancellationToken cancellationToken)
    {
        var row = await database.ReadAsync(sql => directory.FindAsync(sql, caller.OrganizationId, id), cancellationToken);
        return row is null ? InvestigationService.Missing(id) : TypedResults.Ok(row.ToBody());
    }

    private static async Task<Results<Ok<InvestigationBody>, Problem>> UpdateAsync(
        string id, UpdateInvestigationRequest request, Caller caller, InvestigationService service, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        RecordRules.CheckVersion(errors, request.Version);
        if (request.Title is not null) errors.Text(request.Title, WireLimits.MaxTitleLength, "title");
        CheckTexts(errors, request.Objective, request.Hypothesis, request.Findings);
        if (errors.Any) return errors.ToProblem();
        var changed = await service.UpdateAsync(caller, id, request, cancellationToken);
        return changed.Problem is null ? TypedResults.Ok(changed.Row!.ToBody()) : changed.Problem;
    }

    private static async Task<Results<NoContent, Problem>> DeleteAsync(string id, Caller caller, InvestigationService service, CancellationToken cancellationToken) =>
        await service.DeleteAsync(caller, id, cancellationToken) is { } problem ? problem : TypedResults.NoContent();

    private static void CheckTexts(FieldErrors errors, string? objective, string? hypothesis, string? findings)
    {
        RecordRules.CheckProse(errors, objective, "objective");
        RecordRules.CheckProse(errors, hypothesis, "hypothesis");
        RecordRules.CheckProse(errors, findings, "findings");
    }
}
