using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Organizations;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Workstations;

namespace Tanjiren.Server.DeviceTrust.Rotations;

/// <summary>How a workstation comes by another key: asked for by the machine, answered by an admin, and shown as a chain.</summary>
internal static class KeyRotationEndpoints
{
    private const int MaxBodyBytes = 16 * 1024;
    private const int MaxHostNameLength = 255;

    public static IServiceCollection AddKeyRotations(this IServiceCollection services) => services
        .AddSingleton<KeyRecords>()
        .AddSingleton<KeyRotationService>()
        .AddSingleton<KeyRotationAnswers>();

    public static void MapKeyRotations(this IEndpointRouteBuilder routes)
    {
        routes.MapPost("/api/instances/{instanceId}/key-rotations", RequestAsync).WithName("requestKeyRotation").WithTags("Device trust")
            .WithSummary("Asks for another key, with a statement that the present one has signed over it.").RequireDevice(MaxBodyBytes).AnswersProblems(404, 409, 415, 422, 429);
        routes.MapPost("/api/device-trust/recover", RecoverAsync).WithName("recover").WithTags("Device trust")
            .WithSummary("Asks, with an admin's recovery code, that the key that signed the proof takes the place of a lost one.").RequireProof(MaxBodyBytes).AnswersProblems(409, 415, 422, 429);
        var instance = routes.MapGroup("/api/instances/{id}").WithTags("Device trust");
        instance.MapGet("/keys", ShowAsync).WithName("getInstanceKeys").WithSummary("Its chain of keys, to be verified offline, and what waits for an admin.")
            .RequireRole(Role.Viewer).AnswersProblems(404, 409);
        instance.MapPost("/recovery-code", CreateCodeAsync).WithName("createRecoveryCode").WithSummary("A one-time code with which a machine asks for a new key in place of a lost one.")
            .RequireRole(Role.Admin).AnswersProblems(404, 409);
        instance.MapPost("/key-rotations/{rotationId}/approve", ApproveAsync).WithName("approveKeyRotation")
            .WithSummary("Puts the new key in place of the old one; takes the last 8 characters of the fingerprint that the machine shows.")
            .RequireRole(Role.Admin).AnswersProblems(400, 404, 409, 408, 413, 415, 422);
        instance.MapPost("/key-rotations/{rotationId}/reject", RejectAsync).WithName("rejectKeyRotation").WithSummary("Refuses it: the old key goes on.")
            .RequireRole(Role.Admin).AnswersProblems(400, 404, 409, 408, 413, 415, 422);
    }

    private static async Task<Results<Ok<KeyRotationBody>, Problem>> RequestAsync(
        RequestKeyRotation request, Device device, HttpContext context, KeyRotationService service, CancellationToken cancellationToken)
    {
        var (refusal, problem, row) = await service.RequestAsync(device, request, context.Connection.RemoteIpAddress?.ToString(), cancellationToken);
        if (refusal is not null) return refusal.Challenge(context);
        return problem is not null ? problem : TypedResults.Ok(row!.ToBody(now: null));
    }

    private static async Task<Results<Ok<RecoverResponse>, Problem>> RecoverAsync(
        RecoverRequest request, ProvenKey key, HttpContext context, KeyRotationService service, PairingLimits limits, ServerSecrets secrets, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        var code = errors.Text(request.Code, 64, "code");
        var hostName = request.HostName is null ? null : errors.Text(request.HostName, MaxHostNameLength, "hostName");
        var statement = KeyRotationRules.JudgeRecovery(request.Statement, key.Thumbprint, errors);
        if (errors.Any) return errors.ToProblem();

        var hash = CredentialSecret.HashOf(PairingCodes.Normalize(code));
        var address = context.Connection.RemoteIpAddress;
        // Who has redeemed it waits for the answer by asking: that guesses at nothing.
        if (!await service.IsRecoveryUnderWayAsync(hash, key.Thumbprint, cancellationToken) && limits.Take(address, hash) is { } limited) return limited;
        var (problem, row, workstation) = await service.RecoverAsync(hash, key, statement!, request.Statement!, hostName, address?.ToString(), cancellationToken);
        if (problem is not null) return problem;
        if (row is null || workstation is null)
            return Problem.Of(422, ErrorCode.InvalidPairingCode, "The recovery code does not work: it is wrong, used or expired.", "Ask an admin for a new one: tanvrit-compute workstations recover NAME.");
        context.Response.Headers.CacheControl = "no-store";
        return TypedResults.Ok(new RecoverResponse
        {
            Rotation = row.ToBody(now: null), InstanceId = workstation.Id, InstanceName = workstation.Name, OrganizationId = workstation.OrganizationId,
            OrganizationName = workstation.OrganizationName, KeyFingerprint = key.Thumbprint, ServerKeys = secrets.PublicKeys,
        });
    }

    private static async Task<Results<Ok<KeyChainBody>, Problem>> ShowAsync(string id, Caller caller, KeyRecords records, CancellationToken cancellationToken)
    {
        var (row, chain) = await records.ChainAsync(caller.OrganizationId, id, cancellationToken);
        if (row is null) return InstanceEndpoints.Missing(id);
        return chain is not null ? TypedResults.Ok(chain)
            : Problem.Conflict(ErrorCode.StateConflict, $"'{row.Name}' has no key yet.", "Pair it first: tanvrit-compute workstations pair-code NAME.", "unpaired");
    }

    private static async Task<Results<Created<PairingCodeBody>, Problem>> CreateCodeAsync(string id, Caller caller, PairingCodes codes, HttpContext context, CancellationToken cancellationToken)
    {
        var (row, code, why) = await codes.CreateAsync(caller, id, CodeKind.Recovery, cancellationToken);
        if (why is not null) return MemberEndpoints.NotAllowed(why);
        if (row is null) return InstanceEndpoints.Missing(id);
        if (code is null)
            return Problem.Conflict(ErrorCode.StateConflict, $"'{row.Name}' has no key that could be lost.", "Pair it: tanvrit-compute workstations pair-code NAME.", "unpaired");
        context.Response.Headers.CacheControl = "no-store";
        return TypedResults.Created((string?)null, code);
    }

    private static async Task<Results<Ok<KeyRotationBody>, Problem>> ApproveAsync(
        string id, string rotationId, ApproveKeyRotationRequest request, Caller caller, KeyRotationAnswers answers, TimeProvider clock, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        CheckId(rotationId, errors);
        var fingerprint = errors.Text(request.Fingerprint, KeyFingerprint.Length, "fingerprint");
        errors.Require(fingerprint.Length is 0 or >= KeyFingerprint.TypedLength, "fingerprint", $"has {fingerprint.Length} characters; give the last {KeyFingerprint.TypedLength} of it at least");
        if (errors.Any) return errors.ToProblem();
        var (problem, row) = await answers.ApproveAsync(caller, id, rotationId, fingerprint, cancellationToken);
        return problem is not null ? problem : TypedResults.Ok(row!.ToBody(clock.GetUtcNow()));
    }

    private static async Task<Results<Ok<KeyRotationBody>, Problem>> RejectAsync(
        string id, string rotationId, RejectKeyRotationRequest? request, Caller caller, KeyRotationAnswers answers, TimeProvider clock, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        CheckId(rotationId, errors);
        var reason = request?.Reason is null ? null : errors.Text(request.Reason, WireLimits.MaxIntentLength, "reason");
        if (errors.Any) return errors.ToProblem();
        var (problem, row) = await answers.RejectAsync(caller, id, rotationId, reason, cancellationToken);
        return problem is not null ? problem : TypedResults.Ok(row!.ToBody(clock.GetUtcNow()));
    }

    // What is no id need not reach a statement: PostgreSQL refuses some characters.
    private static void CheckId(string rotationId, FieldErrors errors) =>
        errors.Require(Ids.IsValid(rotationId, Ids.KeyRotation), "rotationId", "must be the id of a request for another key (rot_…)");
}
