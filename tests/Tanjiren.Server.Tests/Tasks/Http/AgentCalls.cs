using System.Text;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Tests.Tasks.Http;

/// <summary>What an agent says over the wire, for tests that play one.</summary>
internal static class AgentCalls
{
    /// <summary>A paired workstation with an open session and one heartbeat: ready for work.</summary>
    public static async Task<DeviceClient> NewAgentAsync(
        this ServerFixture server, string name, string[]? tags = null, int maxConcurrent = 10, HttpClient? admin = null, IReadOnlyDictionary<string, string>? labels = null,
        string? machineId = null)
    {
        var agent = await server.NewDeviceAsync(name, tags, admin, machineId);
        var session = Ids.New(Ids.Session, TimeProvider.System);
        (await agent.PostAsync("sessions", new OpenSessionRequest { SessionId = session, MachineId = "machine of " + name, BootId = "boot", HostName = name }))
            .EnsureSuccessStatusCode();
        agent.SessionId = session;
        await agent.BeatAsync(maxConcurrent, labels: labels);
        return agent;
    }

    public static async Task<HeartbeatResponse> BeatAsync(
        this DeviceClient agent, int maxConcurrent = 10, int waitSeconds = 0, IReadOnlyDictionary<string, string>? labels = null) =>
        await (await agent.PostAsync("heartbeat", new HeartbeatRequest { MaxConcurrent = maxConcurrent, WaitSeconds = waitSeconds, Labels = labels })).BodyAsync<HeartbeatResponse>();

    public static async Task<WorkResponse> WorkAsync(this DeviceClient agent, int waitSeconds, int capacity = 1, string cancelsSeen = "") =>
        await (await agent.GetAsync("work", $"waitSeconds={waitSeconds}&capacity={capacity}&cancelsSeen={cancelsSeen}")).BodyAsync<WorkResponse>();

    public static Task<HttpResponseMessage> TryClaimAsync(this DeviceClient agent, string stepId, string? claimId = null, long expectedGeneration = 0) =>
        agent.PostAsync($"/api/steps/{stepId}/claim", new ClaimRequest { ClaimId = claimId ?? NewClaimId(), ExpectedGeneration = expectedGeneration });

    public static async Task<ClaimResponse> ClaimAsync(this DeviceClient agent, string stepId) => await (await agent.TryClaimAsync(stepId)).BodyAsync<ClaimResponse>();

    public static Task<HttpResponseMessage> TryAppendAsync(this DeviceClient agent, string stepId, long generation, params LogChunk[] chunks) =>
        agent.PostAsync($"/api/steps/{stepId}/logs", new AppendLogsRequest { LeaseGeneration = generation, Chunks = chunks });

    public static async Task AppendAsync(this DeviceClient agent, string stepId, params LogChunk[] chunks) =>
        (await (await agent.TryAppendAsync(stepId, 1, chunks)).BodyAsync<AppendLogsResponse>()).StoredSeq.ShouldBe(chunks[^1].Seq);

    public static Task<HttpResponseMessage> TryCompleteAsync(this DeviceClient agent, string stepId, CompleteRequest result) =>
        agent.PostAsync($"/api/steps/{stepId}/complete", result);

    public static async Task CompleteAsync(this DeviceClient agent, string stepId, long finalLogSeq = 0) =>
        (await (await agent.TryCompleteAsync(stepId, Result(stepId, r => r with { FinalLogSeq = finalLogSeq }))).BodyAsync<StepTransitionResponse>())
            .Result.ShouldBe(TransitionResult.Applied);

    public static Task<HttpResponseMessage> TryReleaseAsync(this DeviceClient agent, string stepId, long generation) =>
        agent.PostAsync($"/api/steps/{stepId}/release", new ReleaseRequest { LeaseGeneration = generation, Reason = "never started" });

    /// <summary>A success under generation 1, changed by the test, with the digest of what then stands there.</summary>
    public static CompleteRequest Result(string stepId, Func<CompleteRequest, CompleteRequest>? change = null)
    {
        var result = Engine.Result(stepId, 1);
        return change is null ? result : Signed(stepId, change(result));
    }

    public static LogChunk Chunk(long seq, string text) => Chunk(seq, Encoding.UTF8.GetBytes(text));

    public static LogChunk Chunk(long seq, byte[] data) => new() { Seq = seq, Stream = LogStream.Stdout, At = DateTimeOffset.UnixEpoch.AddDays(1), Data = data };

    public static string NewClaimId() => Ids.New(Ids.Claim, TimeProvider.System);

    private static CompleteRequest Signed(string stepId, CompleteRequest result) => result with { ResultDigest = ResultDigest.Compute(stepId, result) };
}
