using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Workstations.Sessions;

/// <summary>The routes that an agent lives by: open a session, beat, ask for work.</summary>
internal static class SessionEndpoints
{
    private const int MaxReports = 2000;

    public static IServiceCollection AddSessions(this IServiceCollection services) => services.AddSingleton<SessionStore>().AddSingleton<HeartbeatService>();

    public static void MapSessions(this IEndpointRouteBuilder routes)
    {
        var instance = routes.MapGroup("/api/instances/{instanceId}").WithTags("Sessions");
        instance.MapPost("/sessions", OpenAsync).RequireDevice(whenSignedOut: WhenSignedOut.HoldsAnyLease).AnswersProblems(404, 409, 415, 422).WithName("openSession");
        instance.MapPost("/heartbeat", HeartbeatAsync).RequireDevice(whenSignedOut: WhenSignedOut.HoldsLease).AnswersProblems(404, 409, 415, 422).WithName("heartbeat").WithMetadata(NotTraced.Instance);
        instance.MapGet("/work", WorkAsync).RequireDevice().AnswersProblems(404, 409, 422).WithName("getWork").WithMetadata(NotTraced.Instance);
    }

    private static async Task<Results<Ok<OpenSessionResponse>, Problem>> OpenAsync(
        OpenSessionRequest request, Device device, SessionStore sessions, TimeProvider clock, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        errors.Require(Ids.IsValid(request.SessionId, Ids.Session), "sessionId", "must be a session id (ses_…)");
        errors.Text(request.MachineId, 128, "machineId");
        errors.Text(request.BootId, 128, "bootId");
        errors.OptionalText(request.HostName, 256, "hostName");
        errors.OptionalText(request.AgentVersion, 64, "agentVersion");
        errors.Require(request.PreviousSessionIds is null or { Count: <= 5 }, "previousSessionIds", "has at most 5 elements");
        CheckSteps(request.Steps, report => Ids.IsValid(report.StepId, Ids.Step) && (report.ClaimId is null || Ids.IsValid(report.ClaimId, Ids.Claim)), "steps", errors);
        if (errors.Any) return errors.ToProblem();

        var result = await sessions.OpenAsync(device, request, cancellationToken);
        return result.Kind switch
        {
            OpenSessionKind.Opened => TypedResults.Ok(new OpenSessionResponse { SessionId = request.SessionId!, ServerTime = clock.GetUtcNow(), Leases = result.Leases }),
            OpenSessionKind.InUse => Problem.Conflict(ErrorCode.IdentityInUse,
                $"The machine '{result.OtherHost}' acts as this workstation; '{request.HostName}' can't as well.",
                $"Stop the agent on '{result.OtherHost}', or register '{request.HostName}' as a workstation of its own. A dead one gives way after its leases have run out.",
                result.OtherHost),
            OpenSessionKind.Ended => StepEndpoints.SessionEnded(),
            _ => Problem.NotFound("workstation", device.InstanceId),
        };
    }

    private static async Task<Results<Ok<HeartbeatResponse>, Problem>> HeartbeatAsync(
        HeartbeatRequest request, Device device, HeartbeatService heartbeats, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        errors.Range(request.ActiveTaskCount, 0, 100_000, "activeTaskCount");
        errors.Range(request.MaxConcurrent, 1, 1000, "maxConcurrent");
        errors.Range(request.WaitSeconds, 0, WireLimits.MaxWaitSeconds, "waitSeconds");
        CheckSteps(request.Leases, lease => Ids.IsValid(lease.StepId, Ids.Step), "leases", errors);
        errors.OptionalText(request.AgentVersion, 64, "agentVersion");
        var labels = request.Labels ?? new Dictionary<string, string>();
        errors.Require(labels.Count <= WireLimits.MaxLabels, "labels", $"has at most {WireLimits.MaxLabels} entries");
        foreach (var (key, value) in labels.Take(WireLimits.MaxLabels))
            errors.Require(key is { Length: > 0 and <= 64 } && value is { Length: <= 256 }, $"labels.{key}", "has a name of 1 to 64 and a value of at most 256 characters");
        var codingAgents = request.CodingAgents ?? [];
        errors.Require(codingAgents.Count <= WireLimits.MaxCodingAgents, "codingAgents", $"has at most {WireLimits.MaxCodingAgents} elements");
        for (var i = 0; i < codingAgents.Count && i < WireLimits.MaxCodingAgents; i++)
            errors.Require(CodingAgentName.IsValid(codingAgents[i]), $"codingAgents[{i}]", CodingAgentName.Rule);
        if (errors.Any) return errors.ToProblem();
        return await heartbeats.BeatAsync(device, request, cancellationToken) is { } response ? TypedResults.Ok(response) : StepEndpoints.SessionEnded();
    }

    private static void CheckSteps<T>(IReadOnlyList<T>? list, Func<T, bool> hasValidIds, string field, FieldErrors errors)
    {
        if (list is null) return;
        errors.Require(list.Count <= MaxReports, field, $"has at most {MaxReports} elements");
        for (var i = 0; i < list.Count && i < MaxReports; i++)
            errors.Require(list[i] is { } element && hasValidIds(element), $"{field}[{i}]", "must name its step (step_…) and claim (clm_…)");
    }

    private static async Task<Results<Ok<WorkResponse>, Problem>> WorkAsync(
        int? waitSeconds, int? capacity, string? cancelsSeen, Device device, HeartbeatService heartbeats, HttpContext context, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        errors.Range(waitSeconds, 0, WireLimits.MaxWaitSeconds, "waitSeconds");
        errors.Range(capacity, 0, 1000, "capacity");
        errors.Require(cancelsSeen is null or { Length: <= 64 * 1024 }, "cancelsSeen", "is too long");
        if (errors.Any) return errors.ToProblem();
        var seen = (cancelsSeen ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries).ToHashSet();
        var (standing, response) = await heartbeats.WorkAsync(device, waitSeconds ?? 25, capacity ?? 1, seen, cancellationToken);
        return standing switch
        {
            SessionStanding.Open => TypedResults.Ok(response),
            SessionStanding.SignedOut => SignedOutGate.Refuse(context),
            _ => StepEndpoints.SessionEnded(),
        };
    }
}
