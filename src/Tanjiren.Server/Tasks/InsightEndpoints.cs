using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Tasks.Explain;
using Tanjiren.Server.Tasks.Overview;

namespace Tanjiren.Server.Tasks;

/// <summary>Routes that say how it goes: why a task waits, and how the organization does.</summary>
internal static class InsightEndpoints
{
    public static IServiceCollection AddInsights(this IServiceCollection services) => services.AddSingleton<TaskExplainer>().AddSingleton<RuntimeOverview>();

    public static void MapInsightEndpoints(this IEndpointRouteBuilder routes)
    {
        var tasks = routes.MapGroup("/api/tasks").WithTags("Tasks");
        tasks.MapGet("/{id}/explain", ExplainAsync).RequireRole(Role.Viewer).AnswersProblems(404).WithName("explainTask")
            .WithSummary("Why it is waiting: for every step one sentence, by the rules of the claim, with the nearest workstations.");
        tasks.MapGet("/runtime-overview", OverviewAsync).RequireRole(Role.Viewer).WithName("getRuntimeOverview")
            .WithSummary("How the organization does now: open tasks, throughput of the last hour, age of the queue, workers.");
    }

    private static async Task<Results<Ok<TaskExplanationBody>, Problem>> ExplainAsync(string id, Caller caller, TaskExplainer explainer, CancellationToken cancellationToken) =>
        await explainer.ExplainAsync(caller.OrganizationId, id, cancellationToken) is { } explanation ? TypedResults.Ok(explanation) : Problem.NotFound("task", id);

    private static async Task<Ok<RuntimeOverviewBody>> OverviewAsync(Caller caller, RuntimeOverview overview, CancellationToken cancellationToken) =>
        TypedResults.Ok(await overview.LookAsync(caller.OrganizationId, cancellationToken));
}
