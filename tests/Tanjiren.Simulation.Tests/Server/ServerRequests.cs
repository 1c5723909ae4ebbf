using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Agent.Connection;
using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Workstations.Sessions;
using StepClaimer = Tanjiren.Server.Tasks.StepClaimer;

namespace Tanjiren.Simulation.Tests.Server;

/// <summary>A workstation's routes: what the endpoints do between the wire and the services, answered in the words that the agent tells apart.</summary>
internal sealed class ServerRequests(IServiceProvider services)
{
    private static CancellationToken Token => CancellationToken.None;

    public async Task<Reply<OpenSessionResponse>> OpenAsync(Device device, OpenSessionRequest request)
    {
        var result = await Get<SessionStore>().OpenAsync(device, request, Token);
        return result.Kind switch
        {
            OpenSessionKind.Opened => Ok(new OpenSessionResponse { SessionId = request.SessionId!, ServerTime = Get<TimeProvider>().GetUtcNow(), Leases = result.Leases }),
            OpenSessionKind.InUse => Refused<OpenSessionResponse>(ReplyKind.IdentityInUse),
            OpenSessionKind.Ended => Refused<OpenSessionResponse>(ReplyKind.SessionEnded),
            _ => Refused<OpenSessionResponse>(ReplyKind.NotFound),
        };
    }

    public async Task<Reply<HeartbeatResponse>> BeatAsync(Device device, HeartbeatRequest request) =>
        await Get<HeartbeatService>().BeatAsync(device, request, Token) is { } response ? Ok(response) : Refused<HeartbeatResponse>(ReplyKind.SessionEnded);

    public async Task<Reply<WorkResponse>> WorkAsync(Device device, int capacity, IReadOnlySet<string> cancelsSeen)
    {
        var (standing, response) = await Get<HeartbeatService>().WorkAsync(device, 0, capacity, cancelsSeen, Token);
        return standing == SessionStanding.Open ? Ok(response!) : Refused<WorkResponse>(ReplyKind.SessionEnded);
    }

    /// <summary>With the refusal's own name, for the ledger.</summary>
    public async Task<(Reply<ClaimResponse> Reply, string Result)> ClaimAsync(Device device, string stepId, ClaimRequest request)
    {
        var result = await Get<StepClaimer>().ClaimAsync(device, stepId, request.ClaimId!, request.ExpectedGeneration!.Value, Token);
        var reply = result.Refusal switch
        {
            null => Ok(result.Response!),
            ClaimRefusal.NotFound => Refused<ClaimResponse>(ReplyKind.NotFound),
            ClaimRefusal.SessionEnded => Refused<ClaimResponse>(ReplyKind.SessionEnded),
            ClaimRefusal.Lost => Refused<ClaimResponse>(ReplyKind.LeaseLost),
            _ => Refused<ClaimResponse>(ReplyKind.NotClaimable),
        };
        return (reply, result.Refusal is { } refusal ? NameOf(refusal) : result.Repeated ? "repeated" : "granted");
    }

    public async Task<(Reply<StepTransitionResponse> Reply, string Result)> CompleteAsync(Device device, string stepId, CompleteRequest request) =>
        Answer(await Get<StepResolver>().CompleteAsync(device, stepId, request, Token));

    public async Task<(Reply<StepTransitionResponse> Reply, string Result)> ReleaseAsync(Device device, string stepId, ReleaseRequest request) =>
        Answer(await Get<StepResolver>().ReleaseAsync(device, stepId, request.LeaseGeneration!.Value, request.Reason, Token));

    private static (Reply<StepTransitionResponse>, string) Answer(StepMove move) => (move.Kind switch
    {
        StepMoveKind.Applied => Ok(new StepTransitionResponse { Result = TransitionResult.Applied, State = WireNames.Parse<StepState>(move.State) }),
        StepMoveKind.AlreadyDone => Ok(new StepTransitionResponse { Result = TransitionResult.AlreadyDone, State = WireNames.Parse<StepState>(move.State) }),
        StepMoveKind.NotFound => Refused<StepTransitionResponse>(ReplyKind.NotFound),
        StepMoveKind.SessionEnded => Refused<StepTransitionResponse>(ReplyKind.SessionEnded),
        StepMoveKind.ResultConflict => Refused<StepTransitionResponse>(ReplyKind.ResultConflict),
        _ => Refused<StepTransitionResponse>(ReplyKind.LeaseLost),
    }, NameOf(move.Kind));

    private static string NameOf<TEnum>(TEnum value) where TEnum : struct, Enum
    {
        var name = value.ToString();
        return char.ToLowerInvariant(name[0]) + name[1..];
    }

    private T Get<T>() where T : notnull => services.GetRequiredService<T>();

    private static Reply<T> Ok<T>(T value) where T : class => new(ReplyKind.Ok, value, null, null);

    private static Reply<T> Refused<T>(ReplyKind kind) where T : class => new(kind, null, null, null);
}
