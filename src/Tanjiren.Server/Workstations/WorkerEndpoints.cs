using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Workstations;

/// <summary>The workers: one per workstation, named <c>worker:{instanceId}</c>; the id or name of the workstation is taken as well.</summary>
internal static class WorkerEndpoints
{
    public static void MapWorkers(IEndpointRouteBuilder routes)
    {
        var workers = routes.MapGroup("/api/workers").WithTags("Workstations");
        workers.MapGet("", ListAsync).WithName("listWorkers").WithSummary("What each workstation can do right now; ?tag= for those that have it.")
            .RequireRole(Role.Viewer).AnswersProblems(400, 422);
        workers.MapGet("/{id}", ShowAsync).WithName("getWorker").WithSummary("What one workstation can do right now.").RequireRole(Role.Viewer).AnswersProblems(404);
    }

    private static async Task<Results<Ok<Page<WorkerBody>>, Problem>> ListAsync(
        int? limit, string? cursor, string? tag, Caller caller, Database database, InstanceDirectory directory, WorkstationOptions options, TimeProvider clock, CancellationToken cancellationToken)
    {
        if (InstanceEndpoints.CheckPage(limit, cursor, tag, out var page) is { } problem) return problem;
        var rows = await database.ReadAsync(session => directory.PageAsync(session, caller.OrganizationId, tag, page.After, page.Fetch), cancellationToken);
        return TypedResults.Ok(page.ToPage(rows, row => WorkerProjection.Of(row, clock.GetUtcNow(), options), row => row.Id));
    }

    private static async Task<Results<Ok<WorkerBody>, Problem>> ShowAsync(
        string id, Caller caller, Database database, InstanceDirectory directory, WorkstationOptions options, TimeProvider clock, CancellationToken cancellationToken)
    {
        var instance = id.StartsWith(Ids.Worker, StringComparison.Ordinal) ? id[Ids.Worker.Length..] : id;
        var row = await database.ReadAsync(session => directory.FindAsync(session, caller.OrganizationId, instance), cancellationToken);
        return row is null ? Problem.NotFound("worker", id) : TypedResults.Ok(WorkerProjection.Of(row, clock.GetUtcNow(), options));
    }
}
