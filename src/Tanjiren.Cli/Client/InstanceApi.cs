using Tanjiren.Protocol;

namespace Tanjiren.Cli.Client;

/// <summary>The workstation routes. Each takes an id or a name.</summary>
internal sealed class InstanceApi(ApiClient api)
{
    public Task<InstanceBody> CreateAsync(CreateInstanceRequest request, CancellationToken cancellation) =>
        api.SendAsync(HttpMethod.Post, "/api/instances", request, WireJson.Default.CreateInstanceRequest, WireJson.Default.InstanceBody, cancellation,
            Guid.NewGuid().ToString("N"));

    public Task<InstanceBody> GetAsync(string id, CancellationToken cancellation) =>
        api.GetAsync(Path(id), WireJson.Default.InstanceBody, cancellation);

    /// <summary>Of an id: itself, also when the workstation has been removed since.</summary>
    public async Task<string> IdOfAsync(string idOrName, CancellationToken cancellation) =>
        Ids.IsValid(idOrName, Ids.Instance) ? idOrName : (await GetAsync(idOrName, cancellation)).Id;

    public Task<Page<InstanceBody>> ListAsync(int limit, string? cursor, CancellationToken cancellation) =>
        api.GetAsync("/api/instances" + Query.Of(("limit", limit.ToString()), ("cursor", cursor)), WireJson.Default.PageInstanceBody, cancellation);

    public Task<InstanceBody> UpdateAsync(string id, UpdateInstanceRequest request, CancellationToken cancellation) =>
        api.SendAsync(HttpMethod.Patch, Path(id), request, WireJson.Default.UpdateInstanceRequest, WireJson.Default.InstanceBody, cancellation);

    public Task<PairingCodeBody> PairingCodeAsync(string id, CancellationToken cancellation) =>
        api.PostAsync(Path(id) + "/pairing-code", WireJson.Default.PairingCodeBody, cancellation);

    public Task<InstanceBody> DrainAsync(string id, CancellationToken cancellation) =>
        api.PostAsync(Path(id) + "/drain", WireJson.Default.InstanceBody, cancellation);

    public Task<InstanceBody> UndrainAsync(string id, CancellationToken cancellation) =>
        api.PostAsync(Path(id) + "/undrain", WireJson.Default.InstanceBody, cancellation);

    /// <summary>Puts a workstation that registered its machine under this credential.</summary>
    public Task<InstanceBody> RegisterAgainAsync(string id, CancellationToken cancellation) =>
        api.PostAsync(Path(id) + "/registration", WireJson.Default.InstanceBody, cancellation);

    public Task<KeyChainBody> KeysAsync(string id, CancellationToken cancellation) => api.GetAsync(Path(id) + "/keys", WireJson.Default.KeyChainBody, cancellation);

    public Task<PairingCodeBody> RecoveryCodeAsync(string id, CancellationToken cancellation) =>
        api.PostAsync(Path(id) + "/recovery-code", WireJson.Default.PairingCodeBody, cancellation);

    public Task<KeyRotationBody> ApproveKeyAsync(string id, string rotationId, string fingerprint, CancellationToken cancellation) =>
        api.SendAsync(HttpMethod.Post, $"{Path(id)}/key-rotations/{Uri.EscapeDataString(rotationId)}/approve", new ApproveKeyRotationRequest { Fingerprint = fingerprint },
            WireJson.Default.ApproveKeyRotationRequest, WireJson.Default.KeyRotationBody, cancellation);

    public Task<KeyRotationBody> RejectKeyAsync(string id, string rotationId, string? reason, CancellationToken cancellation) =>
        api.SendAsync(HttpMethod.Post, $"{Path(id)}/key-rotations/{Uri.EscapeDataString(rotationId)}/reject", new RejectKeyRotationRequest { Reason = reason },
            WireJson.Default.RejectKeyRotationRequest, WireJson.Default.KeyRotationBody, cancellation);

    public Task RemoveAsync(string id, CancellationToken cancellation) => api.DeleteAsync(Path(id), cancellation);

    private static string Path(string id) => "/api/instances/" + Uri.EscapeDataString(id);
}
