using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Tasks.Permissions;

/// <summary>Workstations' routes for what the coding agent of a step asks.</summary>
internal static class StepPermissionEndpoints
{
    public static void MapStepPermissionEndpoints(this IEndpointRouteBuilder routes)
    {
        var permissions = routes.MapGroup("/api/steps/{id}/permissions").WithTags("Steps");
        // Who is signed out finishes what it holds, questions included.
        permissions.MapPost("", AskAsync).RequireDevice(whenSignedOut: WhenSignedOut.HoldsLease).AnswersProblems(404, 409, 415, 422).WithName("askPermission");
        permissions.MapGet("/{permissionId}", WaitAsync).RequireDevice(whenSignedOut: WhenSignedOut.HoldsLease).AnswersProblems(404, 409, 422).WithName("awaitPermission")
            .WithMetadata(NotTraced.Instance);
        permissions.MapPost("/{permissionId}/settle", SettleAsync).RequireDevice(whenSignedOut: WhenSignedOut.OwesOutput).AnswersProblems(404, 409, 415, 422).WithName("settlePermission");
    }

    private static async Task<Results<Ok<PermissionStanding>, Problem>> AskAsync(string id, AskPermissionRequest request, Device device, StepPermissions permissions, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        if (AskedPermission.Read(request, errors) is not { } asked) return errors.ToProblem();
        return Answer(id, asked.Id, await permissions.AskAsync(device, id, asked, cancellationToken));
    }

    private static async Task<Results<Ok<PermissionStanding>, Problem>> WaitAsync(
        string id, string permissionId, int? waitSeconds, Device device, StepPermissions permissions, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        errors.Range(waitSeconds, 0, WireLimits.MaxWaitSeconds, "waitSeconds");
        if (errors.Any) return errors.ToProblem();
        return Answer(id, permissionId, await permissions.WaitAsync(device, id, permissionId, waitSeconds ?? 25, cancellationToken));
    }

    private static async Task<Results<Ok<PermissionStanding>, Problem>> SettleAsync(
        string id, string permissionId, SettlePermissionRequest request, Device device, StepPermissions permissions, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        errors.Require(request.Told is not null, "told", "is required: allow, deny, cancelled or withdrawn");
        if (errors.Any) return errors.ToProblem();
        return Answer(id, permissionId, await permissions.SettleAsync(device, id, permissionId, request.Told!.Value, cancellationToken));
    }

    private static Results<Ok<PermissionStanding>, Problem> Answer(string stepId, string permissionId, PermissionMove move) => move.Kind switch
    {
        PermissionMoveKind.Answered => TypedResults.Ok(move.Standing!),
        PermissionMoveKind.NotFound => Problem.NotFound("step or permission", $"{stepId}/{permissionId}"),
        PermissionMoveKind.SessionEnded => StepEndpoints.SessionEnded(),
        PermissionMoveKind.LeaseLost => Problem.Conflict(ErrorCode.LeaseLost, "The lease is no longer held by this session under this generation.", "Kill the process tree; its output is still taken.", move.State),
        PermissionMoveKind.NotAsking => Problem.Conflict(ErrorCode.StateConflict, "The step runs a command, which asks nothing.", "Only the coding agent of a prompt asks.", move.State),
        PermissionMoveKind.IdTaken => Problem.Conflict(ErrorCode.StateConflict, "Another question has this id.", "Each id names one question for ever; never reuse one."),
        _ => Problem.Conflict(ErrorCode.StateConflict,
            $"The step has asked {PermissionRules.MaxOfStep} questions, or has {PermissionRules.MaxPendingOfStep} that wait; no more are taken.", "Deny it.", move.State),
    };
}
