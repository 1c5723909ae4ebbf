using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

/// <summary>What a workstation can be given, computed from the last heartbeat and the relay connection, never stored (W-06).</summary>
[JsonConverter(typeof(SnakeCaseEnum<InstanceStatus>))]
public enum InstanceStatus
{
    /// <summary>No heartbeat in the last two minutes: receives no tasks.</summary>
    Offline,
    /// <summary>A recent heartbeat, no relay: receives non-interactive tasks.</summary>
    Online,
    /// <summary>A recent heartbeat and a live relay: receives everything.</summary>
    RelayOnline,
}

/// <summary><c>POST /api/instances</c>: registers a workstation; it stays offline until it is paired (W-02).</summary>
public sealed record CreateInstanceRequest
{
    /// <summary>Unique in the organization, 1-100 characters.</summary>
    public string? Name { get; init; }
    public IReadOnlyList<string>? Tags { get; init; }

    /// <summary>
    /// An opaque id of the machine (at most 128 characters). A second registration of the same machine in the same organization answers
    /// 200 with the first one's workstation, so <c>agent run</c> can be repeated; it then stands on the credential of the second.
    /// </summary>
    public string? MachineId { get; init; }
}

/// <summary><c>PATCH /api/instances/{id}</c>: absent fields stay.</summary>
public sealed record UpdateInstanceRequest
{
    public string? Name { get; init; }
    /// <summary>Replaces all tags. Lower case letters, digits, <c>. _ - : /</c>, at most 64 characters each, at most 50.</summary>
    public IReadOnlyList<string>? Tags { get; init; }
    /// <summary>Adds to the tags it has; one atomic change, so two people tagging at once lose nothing.</summary>
    public IReadOnlyList<string>? AddTags { get; init; }
    public IReadOnlyList<string>? RemoveTags { get; init; }
    /// <summary>What its worker is called, 1-100 characters; empty: "&lt;workstation&gt; agent" again.</summary>
    public string? WorkerName { get; init; }
}

public sealed record InstanceBody
{
    public required string Id { get; init; }
    public required string Name { get; init; }
    public required InstanceStatus Status { get; init; }
    public required IReadOnlyList<string> Tags { get; init; }
    /// <summary>What the agent announced about its machine: os, arch, cpuCount, memoryMb, hostname …</summary>
    public required IReadOnlyDictionary<string, string> Labels { get; init; }
    public required bool Draining { get; init; }
    public required bool Paired { get; init; }
    /// <summary>The sign-in that it was registered with has ended: it finishes what it runs and takes nothing more, until it is registered again.</summary>
    public bool SignedOut { get; init; }
    /// <summary>RFC 7638 thumbprint of the bound key.</summary>
    public string? KeyFingerprint { get; init; }
    public string? AgentVersion { get; init; }
    public int? MaxConcurrent { get; init; }
    public int ActiveSteps { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset? LastHeartbeatAt { get; init; }
}

/// <summary><c>POST /api/instances/{id}/pairing-code</c>: single use, ten minutes (D-03).</summary>
public sealed record PairingCodeBody
{
    public required string InstanceId { get; init; }
    /// <summary>50 bits in groups, for example <c>k7m2q-9xw4t</c>; case and dashes do not matter.</summary>
    public required string Code { get; init; }
    public required DateTimeOffset ExpiresAt { get; init; }
}

/// <summary>What a workstation can do right now: one per workstation, computed at query time (W-09).</summary>
public sealed record WorkerBody
{
    /// <summary><c>worker:{instanceId}</c>.</summary>
    public required string Id { get; init; }
    public required string InstanceId { get; init; }
    /// <summary>"&lt;workstation&gt; agent", unless the workstation's <c>workerName</c> says otherwise.</summary>
    public required string DisplayName { get; init; }
    public required WorkerStatus Status { get; init; }
    /// <summary>
    /// W-10, from 0 to 100: offline -60, busy -15, no bound key -20, each active step beyond two -5 (at most -20), no heartbeat in the last ten minutes -15. Of two
    /// that are ready, the healthier is asked first.
    /// </summary>
    public required int HealthScore { get; init; }
    public required WorkerCapacity Capacity { get; init; }
    /// <summary>Labels as <c>key=value</c>, tags as <c>tag:name</c>, coding agents as <c>agent:name</c>.</summary>
    public required IReadOnlyList<string> Capabilities { get; init; }
    public required WorkerReadiness Readiness { get; init; }
    public DateTimeOffset? LastHeartbeatAt { get; init; }
}

[JsonConverter(typeof(CamelCaseEnum<WorkerStatus>))]
public enum WorkerStatus
{
    Offline,
    Ready,
    /// <summary>Runs something; takes more up to its capacity.</summary>
    Busy,
}

public sealed record WorkerCapacity
{
    public required int MaxConcurrent { get; init; }
    public required int Active { get; init; }
}

public sealed record WorkerReadiness
{
    public required bool Ready { get; init; }
    /// <summary>What blocks it: <c>offline</c>, <c>untrusted</c>, <c>signed_out</c>, <c>at_capacity</c>, <c>draining</c>.</summary>
    public required IReadOnlyList<string> Reasons { get; init; }
}
