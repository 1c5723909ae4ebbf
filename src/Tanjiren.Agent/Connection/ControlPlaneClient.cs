using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Connection;

/// <summary>The workstation's routes (docs/concepts/agent.md), one method each.</summary>
internal sealed class ControlPlaneClient(DeviceTransport transport, string instanceId, AgentTimeouts timeouts)
{
    public bool Connected => transport.Connected;
    public string? ClockNotice => transport.ClockNotice;

    public Task<Reply<OpenSessionResponse>> OpenSessionAsync(OpenSessionRequest request, CancellationToken ct) =>
        PostAsync($"/api/instances/{instanceId}/sessions", request, WireJson.Default.OpenSessionRequest, WireJson.Default.OpenSessionResponse, timeouts.Request, ct);

    public Task<Reply<HeartbeatResponse>> HeartbeatAsync(string sessionId, HeartbeatRequest request, TimeSpan timeout, CancellationToken ct) =>
        PostAsync($"/api/instances/{instanceId}/heartbeat?session={sessionId}", request, WireJson.Default.HeartbeatRequest, WireJson.Default.HeartbeatResponse, timeout, ct);

    public Task<Reply<WorkResponse>> WorkAsync(string sessionId, int capacity, IEnumerable<string> cancelsSeen, CancellationToken ct)
    {
        var seen = string.Join(',', cancelsSeen);
        var path = $"/api/instances/{instanceId}/work?session={sessionId}&waitSeconds={(int)timeouts.LongPoll.TotalSeconds}&capacity={capacity}"
            + (seen.Length > 0 ? $"&cancelsSeen={seen}" : "");
        return transport.SendAsync(HttpMethod.Get, path, [], WireJson.Default.WorkResponse, timeouts.LongPoll + timeouts.LongPollSlack, ct);
    }

    public Task<Reply<ClaimResponse>> ClaimAsync(string sessionId, string stepId, ClaimRequest request, CancellationToken ct) =>
        PostAsync($"/api/steps/{stepId}/claim?session={sessionId}", request, WireJson.Default.ClaimRequest, WireJson.Default.ClaimResponse, timeouts.Request, ct);

    public Task<Reply<AppendLogsResponse>> AppendLogsAsync(string sessionId, string stepId, AppendLogsRequest request, CancellationToken ct) =>
        PostAsync($"/api/steps/{stepId}/logs?session={sessionId}", request, WireJson.Default.AppendLogsRequest, WireJson.Default.AppendLogsResponse, timeouts.LogRequest, ct);

    public Task<Reply<StepAnswerResponse>> AnswerAsync(string sessionId, string stepId, StepAnswerRequest request, CancellationToken ct) =>
        PostAsync($"/api/steps/{stepId}/answers?session={sessionId}", request, WireJson.Default.StepAnswerRequest, WireJson.Default.StepAnswerResponse, timeouts.Request, ct);

    public Task<Reply<StepTransitionResponse>> CompleteAsync(string sessionId, string stepId, CompleteRequest request, CancellationToken ct) =>
        PostAsync($"/api/steps/{stepId}/complete?session={sessionId}", request, WireJson.Default.CompleteRequest, WireJson.Default.StepTransitionResponse, timeouts.Request, ct);

    public Task<Reply<StepTransitionResponse>> ReleaseAsync(string sessionId, string stepId, ReleaseRequest request, CancellationToken ct) =>
        PostAsync($"/api/steps/{stepId}/release?session={sessionId}", request, WireJson.Default.ReleaseRequest, WireJson.Default.StepTransitionResponse, timeouts.Request, ct);

    public Task<Reply<PermissionStanding>> AskPermissionAsync(string sessionId, string stepId, AskPermissionRequest request, CancellationToken ct) =>
        PostAsync($"/api/steps/{stepId}/permissions?session={sessionId}", request, WireJson.Default.AskPermissionRequest, WireJson.Default.PermissionStanding, timeouts.Request, ct);

    public Task<Reply<PermissionStanding>> AwaitPermissionAsync(string sessionId, string stepId, string permissionId, CancellationToken ct) =>
        transport.SendAsync(HttpMethod.Get, $"/api/steps/{stepId}/permissions/{permissionId}?session={sessionId}&waitSeconds={(int)timeouts.LongPoll.TotalSeconds}", [],
            WireJson.Default.PermissionStanding, timeouts.LongPoll + timeouts.LongPollSlack, ct);

    public Task<Reply<PermissionStanding>> SettlePermissionAsync(string sessionId, string stepId, string permissionId, SettlePermissionRequest request, CancellationToken ct) =>
        PostAsync($"/api/steps/{stepId}/permissions/{permissionId}/settle?session={sessionId}", request, WireJson.Default.SettlePermissionRequest, WireJson.Default.PermissionStanding,
            timeouts.Request, ct);

    public Task<Reply<KeyRotationBody>> RequestKeyRotationAsync(RequestKeyRotation request, CancellationToken ct) =>
        PostAsync($"/api/instances/{instanceId}/key-rotations", request, WireJson.Default.RequestKeyRotation, WireJson.Default.KeyRotationBody, timeouts.Request, ct);

    public Task<Reply<WorkKeysBody>> WorkKeysAsync(CancellationToken ct) =>
        transport.SendAsync(HttpMethod.Get, "/api/device-trust/work-keys", [], WireJson.Default.WorkKeysBody, timeouts.Request, ct);

    /// <summary>By the present key of this workstation, with the fingerprint of that key.</summary>
    public (string Receipt, string KeyFingerprint) SignReceipt(ReceiptClaims claims) => transport.SignReceipt(Receipt.Payload(claims with { Iss = instanceId }));

    public string KeyFingerprint => transport.KeyFingerprint;

    private Task<Reply<TResponse>> PostAsync<TRequest, TResponse>(string path, TRequest request, JsonTypeInfo<TRequest> requestType,
        JsonTypeInfo<TResponse> responseType, TimeSpan timeout, CancellationToken ct) where TResponse : class =>
        transport.SendAsync(HttpMethod.Post, path, JsonSerializer.SerializeToUtf8Bytes(request, requestType), responseType, timeout, ct);
}
