using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Assignments;

/// <summary>Signed work: what a claim was granted, and what became of it (docs/concepts/signed-work.md).</summary>
internal static class AssignmentsFeature
{
    public static IServiceCollection AddAssignments(this IServiceCollection services) => services
        .AddFeatureOptions<AssignmentOptions>("Assignments")
        .AddSingleton<WorkKeys>()
        .AddSingleton<AssignmentSigner>()
        .AddSingleton<ReceiptJudge>()
        .AddSingleton<StepReceipts>();

    public static void MapAssignments(this IEndpointRouteBuilder routes)
    {
        routes.MapGet("/api/device-trust/work-keys", KeysAsync).WithName("getWorkKeys").WithTags("Device trust")
            .WithSummary("The keys that sign assignments, each announced by the one before it.").RequireDevice();
        routes.MapGet("/api/tasks/{id}/steps/{stepId}/receipt", ReceiptAsync).WithName("getStepReceipt").WithTags("Tasks")
            .WithSummary("What its workstation signed when it ended, with all that it takes to verify it offline.").RequireRole(Role.Viewer).AnswersProblems(404);
    }

    private static async Task<Ok<WorkKeysBody>> KeysAsync(WorkKeys keys, CancellationToken cancellationToken) =>
        TypedResults.Ok((await keys.NewestAsync(cancellationToken)).ToBody());

    private static async Task<Results<Ok<StepReceiptBody>, Problem>> ReceiptAsync(string id, string stepId, Caller caller, StepReceipts receipts, CancellationToken cancellationToken) =>
        await receipts.FindAsync(caller.OrganizationId, id, stepId, cancellationToken) is { } receipt ? TypedResults.Ok(receipt) : Problem.NotFound("step", stepId);
}
