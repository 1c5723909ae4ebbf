using System.Net;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Tests.DeviceTrust.Rotations;

/// <summary>What machines and admins say when a key changes.</summary>
internal static class RotationCalls
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    /// <summary>A good request of this workstation for the key of <paramref name="next"/>; tests change one thing of it.</summary>
    public static RequestKeyRotation RequestFor(this DeviceClient device, DeviceClient next)
    {
        var payload = device.PayloadFor(next);
        return new RequestKeyRotation { Statement = KeyStatement.Sign(device.Key, payload), Acceptance = KeyStatement.Sign(next.Key, payload) };
    }

    public static byte[] PayloadFor(this DeviceClient device, DeviceClient next) =>
        KeyStatement.PayloadFor(device.InstanceId, next.PublicKey, device.ServerKey!.Thumbprint(), TimeProvider.System.GetUtcNow());

    public static Task<HttpResponseMessage> TryRequestKeyAsync(this DeviceClient device, RequestKeyRotation request) => device.PostAsync("key-rotations", request);

    public static async Task<KeyRotationBody> RequestKeyAsync(this DeviceClient device, DeviceClient next) =>
        await (await device.TryRequestKeyAsync(device.RequestFor(next))).BodyAsync<KeyRotationBody>();

    public static string Fingerprint(this DeviceClient device) => device.PublicKey.Thumbprint();

    /// <summary>What a person reads at the machine.</summary>
    public static string Last8(this DeviceClient device) => device.Fingerprint()[^8..];

    public static Task<HttpResponseMessage> TryApproveKeyAsync(this HttpClient admin, KeyRotationBody rotation, string fingerprint, string? instance = null) =>
        admin.PostJsonAsync($"/api/instances/{instance ?? rotation.InstanceId}/key-rotations/{rotation.Id}/approve", new ApproveKeyRotationRequest { Fingerprint = fingerprint });

    public static async Task<KeyRotationBody> ApproveKeyAsync(this HttpClient admin, KeyRotationBody rotation, DeviceClient next) =>
        await (await admin.TryApproveKeyAsync(rotation, next.Last8())).BodyAsync<KeyRotationBody>();

    public static Task<HttpResponseMessage> TryRejectKeyAsync(this HttpClient admin, KeyRotationBody rotation, string? reason = null) =>
        admin.PostJsonAsync($"/api/instances/{rotation.InstanceId}/key-rotations/{rotation.Id}/reject", new RejectKeyRotationRequest { Reason = reason });

    public static Task<KeyChainBody> KeysAsync(this HttpClient client, string instance) => client.GetBodyAsync<KeyChainBody>($"/api/instances/{instance}/keys");

    public static Task<HttpResponseMessage> TryRecoveryCodeAsync(this HttpClient admin, string instance) => admin.PostAsync($"/api/instances/{instance}/recovery-code", null, Cancelled);

    public static async Task<string> RecoveryCodeAsync(this HttpClient admin, string instance) => (await (await admin.TryRecoveryCodeAsync(instance)).BodyAsync<PairingCodeBody>()).Code;

    public static Task<HttpResponseMessage> TryRecoverAsync(this DeviceClient machine, string url, string code, string? statement = null) =>
        machine.SendAsync(HttpMethod.Post, url + "/api/device-trust/recover", new RecoverRequest { Code = code, HostName = "new disk", Statement = statement ?? machine.OwnStatement() }, withToken: false);

    public static async Task<RecoverResponse> RecoverAsync(this DeviceClient machine, string url, string code) => await (await machine.TryRecoverAsync(url, code)).BodyAsync<RecoverResponse>();

    public static string OwnStatement(this DeviceClient machine) => KeyStatement.Sign(machine.Key, KeyStatement.PayloadFor(null, machine.PublicKey, null, TimeProvider.System.GetUtcNow()));

    /// <summary>A token for its own key.</summary>
    public static async Task SignInAsync(this DeviceClient device) => device.AccessToken = (await (await device.RefreshAsync()).BodyAsync<DeviceTokenResponse>()).AccessToken;

    public static Task<HttpResponseMessage> TryBeatAsync(this DeviceClient device) => device.PostAsync("heartbeat", new HeartbeatRequest { MaxConcurrent = 1 });

    /// <summary>The key is refused wherever it is shown: with its token, and when it asks for another.</summary>
    public static async Task IsRefusedAsync(this DeviceClient device, ErrorCode code)
    {
        await device.TryBeatAsync().ProblemAsync(HttpStatusCode.Unauthorized, code);
        var refused = await device.RefreshAsync();
        refused.Headers.WwwAuthenticate.ToString().ShouldContain("invalid_token");
        await refused.ProblemAsync(HttpStatusCode.Unauthorized, code);
    }
}
