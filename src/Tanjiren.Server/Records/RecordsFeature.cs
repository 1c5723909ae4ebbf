using Tanjiren.Server.Artifacts;
using Tanjiren.Server.Investigations;
using Tanjiren.Server.Prompts;
using Tanjiren.Server.Runbooks;

namespace Tanjiren.Server.Records;

/// <summary>What people keep: investigations, runbooks, prompts, artifacts.</summary>
internal static class RecordsFeature
{
    public static IServiceCollection AddRecords(this IServiceCollection services) => services
        .AddSingleton<RecordMaker>()
        .AddSingleton<InvestigationDirectory>().AddSingleton<InvestigationService>()
        .AddSingleton<RunbookDirectory>().AddSingleton<RunbookService>()
        .AddSingleton<PromptService>()
        .AddSingleton<ArtifactStore>();

    public static void MapRecords(this IEndpointRouteBuilder routes)
    {
        routes.MapInvestigations();
        routes.MapRunbooks();
        routes.MapPrompts();
        routes.MapArtifacts();
    }
}
