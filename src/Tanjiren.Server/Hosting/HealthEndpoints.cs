using System.Data.Common;
using System.Reflection;
using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Hosting;

/// <summary>For probes and operators.</summary>
internal static class HealthEndpoints
{
    public static void MapHealth(this IEndpointRouteBuilder routes)
    {
        routes.MapGet("/healthz", () => TypedResults.Text("alive")).WithMetadata(NotTraced.Instance).WithName("healthz").WithTags("Health")
            .WithSummary("The process serves; says nothing about its database.").Produces<string>(200, "text/plain");
        routes.MapGet("/readyz", ReadyAsync).WithMetadata(NotTraced.Instance).WithName("readyz").WithTags("Health")
            .WithSummary("The database answers and is migrated.").Produces<string>(200, "text/plain").AnswersProblems(503);
        routes.MapGet("/api/status", Status).WithName("getStatus").WithTags("Health")
            .WithSummary("The server and each of its loops.").RequireRole(Role.Viewer);
    }

    private static async Task<Results<ContentHttpResult, Problem>> ReadyAsync(Database database, CancellationToken cancellationToken)
    {
        try
        {
            // The table exists only once a migration has run; the server does not listen before its own has.
            await database.ReadAsync(session => session.FirstAsync<long>("SELECT count(*) FROM schema_migrations"), cancellationToken);
            return TypedResults.Text("ready");
        }
        catch (DbException)
        {
            return ErrorAnswers.Unavailable("The database does not answer.");
        }
    }

    private static Ok<StatusBody> Status(Caller _, IEnumerable<ILoop> loops, Counters counters, Database database, TimeProvider clock) =>
        TypedResults.Ok(new StatusBody
        {
            Version = typeof(HealthEndpoints).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown",
            Database = database.Provider.Name,
            ServerTime = clock.GetUtcNow(),
            Loops = [.. loops.Select(loop => loop.Record.Status()), Requests(counters)],
        });

    /// <summary>What requests did, in the shape of a loop, so that one table shows everything that works here.</summary>
    private static LoopStatus Requests(Counters counters) => new() { Name = "requests", Runs = 0, Errors = 0, Counters = counters.Snapshot() };
}
