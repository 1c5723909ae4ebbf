using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.DeviceTrust.Rotations;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Organizations;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Workstations;

namespace Tanjiren.Server.DeviceTrust;

/// <summary>How a workstation gets its key bound, and its access tokens.</summary>
internal static class PairingEndpoints
{
    private const int MaxBodyBytes = 16 * 1024;
    private const int MaxHostNameLength = 255;

    public static IServiceCollection AddDeviceTrust(this IServiceCollection services) => services
        .AddFeatureOptions<DeviceTrustOptions>("DeviceTrust")
        .AddSingleton<ServerSecrets>()
        .AddSingleton<AccessTokens>()
        .AddSingleton<ProofNonces>()
        .AddSingleton<ProofKeys>()
        .AddSingleton<UsedProofs>()
        .AddSingleton<DPoPVerifier>()
        .AddSingleton<PairingCodes>()
        .AddSingleton<PairingLimits>()
        .AddKeyRotations();

    public static void MapDeviceTrust(this IEndpointRouteBuilder routes)
    {
        routes.MapPost("/api/instances/{id}/pairing-code", CreateCodeAsync).WithName("createPairingCode").WithTags("Device trust")
            .WithSummary("A one-time code that binds the key of the agent that sends it.").RequireRole(Role.Admin).AnswersProblems(404, 409);
        routes.MapKeyRotations();
        var trust = routes.MapGroup("/api/device-trust").WithTags("Device trust");
        trust.MapPost("/pair", PairAsync).WithName("pair").WithSummary("Binds the key that signed the proof to the workstation of the code.")
            .RequireProof(MaxBodyBytes).AnswersProblems(409, 415, 422, 429);
        trust.MapPost("/token", TokenAsync).WithName("issueDeviceToken").WithSummary("A fresh access token, by proof of the bound key.")
            .RequireProof(MaxBodyBytes).AnswersProblems(422);
    }

    private static async Task<Results<Created<PairingCodeBody>, Problem>> CreateCodeAsync(string id, Caller caller, PairingCodes codes, HttpContext context, CancellationToken cancellationToken)
    {
        var (row, code, why) = await codes.CreateAsync(caller, id, CodeKind.Pairing, cancellationToken);
        if (why is not null) return MemberEndpoints.NotAllowed(why);
        if (row is null) return InstanceEndpoints.Missing(id);
        if (code is null)
            return Problem.Conflict(ErrorCode.AlreadyPaired, $"'{row.Name}' has a bound key already: {row.ActiveJkt}.",
                "If that machine has lost its key: tanvrit-compute workstations recover NAME. If another machine takes its place, remove the workstation and create it anew.", "paired");
        NoStore(context);
        return TypedResults.Created((string?)null, code);
    }

    private static async Task<Results<Ok<PairResponse>, Problem>> PairAsync(
        PairRequest request, ProvenKey key, HttpContext context, PairingCodes codes, AccessTokens tokens, ServerSecrets secrets,
        PairingLimits limits, Counters counters, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        var code = errors.Text(request.Code, 64, "code");
        var hostName = request.HostName is null ? null : errors.Text(request.HostName, MaxHostNameLength, "hostName");
        if (errors.Any) return errors.ToProblem();

        var address = context.Connection.RemoteIpAddress;
        if (limits.Take(address, CredentialSecret.HashOf(PairingCodes.Normalize(code))) is { } limited) return limited;
        var (result, workstation) = await codes.PairAsync(code, key, hostName, address?.ToString(), cancellationToken);
        counters.Add(result is PairResult.Applied or PairResult.AlreadyDone ? Counted.Pairings : Counted.PairingsRefused);
        switch (result)
        {
            case PairResult.InvalidCode:
                return Problem.Of(422, ErrorCode.InvalidPairingCode, "The pairing code does not work: it is wrong, used or expired.",
                    "Ask an admin for a new one: tanvrit-compute workstations pair-code NAME.");
            case PairResult.WorkstationHasKey:
                return Problem.Conflict(ErrorCode.AlreadyPaired, $"'{workstation!.Name}' has a bound key already.", "If that is lost, ask an admin for a recovery code: tanvrit-compute workstations recover NAME.", "paired");
            case PairResult.KeyIsBound:
                return Problem.Conflict(ErrorCode.AlreadyPaired, "This key was bound to a workstation before; a key is bound once.",
                    "Delete the agent's key.pem, so that it makes a new one, and pair with a new code.", "key_bound");
        }
        NoStore(context);
        return TypedResults.Ok(new PairResponse
        {
            InstanceId = workstation!.Id, InstanceName = workstation.Name, OrganizationId = workstation.OrganizationId, OrganizationName = workstation.OrganizationName,
            KeyFingerprint = key.Thumbprint, AccessToken = tokens.Issue(workstation.Id, workstation.OrganizationId, key.Thumbprint),
            ExpiresInSeconds = tokens.LifetimeSeconds, ServerKeys = secrets.PublicKeys,
        });
    }

    private static async Task<Results<Ok<DeviceTokenResponse>, Problem>> TokenAsync(
        string? instance, ProvenKey key, HttpContext context, Database database, AccessTokens tokens, CancellationToken cancellationToken)
    {
        if (!Ids.IsValid(instance, Ids.Instance))
        {
            var errors = new FieldErrors();
            errors.Add("instance", "must be the id of the workstation (ws_…)");
            return errors.ToProblem();
        }
        var bound = await database.ReadAsync(session => session.FirstAsync<BoundKey>("""
            SELECT i.organization_id, (SELECT r.approval FROM key_rotations r WHERE r.instance_id = k.instance_id AND r.new_jkt = k.jkt AND r.state = 'approved') AS approval
            FROM instance_keys k JOIN instances i ON i.id = k.instance_id
            WHERE k.jkt = @Thumbprint AND k.instance_id = @instance AND k.revoked_at IS NULL AND i.removed_at IS NULL
            """, new { key.Thumbprint, instance }), cancellationToken);
        if (bound is null) return (await database.ReadAsync(session => DPoPVerifier.GoneAsync(session, instance!, key.Thumbprint), cancellationToken)).Challenge(context);
        NoStore(context);
        return TypedResults.Ok(new DeviceTokenResponse
        {
            AccessToken = tokens.Issue(instance!, bound.OrganizationId, key.Thumbprint), ExpiresInSeconds = tokens.LifetimeSeconds, Approval = bound.Approval,
        });
    }

    private static void NoStore(HttpContext context) => context.Response.Headers.CacheControl = "no-store";

    private sealed record BoundKey
    {
        public string OrganizationId { get; init; } = "";
        public string? Approval { get; init; }
    }
}
