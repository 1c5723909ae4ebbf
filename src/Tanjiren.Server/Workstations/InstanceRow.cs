using System.Text.Json;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Workstations;

/// <summary>A workstation as it is stored, with what is computed from other rows in the same statement: the bound key and the running steps.</summary>
internal sealed record InstanceRow
{
    private IReadOnlyList<string>? _tags;
    private IReadOnlyDictionary<string, string>? _labels;
    private IReadOnlyList<string>? _codingAgents;

    public string Id { get; init; } = "";
    public string OrganizationId { get; init; } = "";
    public string Name { get; init; } = "";
    /// <summary>What its worker is called, if somebody chose; else its name and "agent".</summary>
    public string? WorkerName { get; init; }
    public string? MachineId { get; init; }
    public string TagsJson { get; init; } = "[]";
    public string LabelsJson { get; init; } = "{}";
    public string CodingAgentsJson { get; init; } = "[]";
    /// <summary>By an admin.</summary>
    public long Draining { get; init; }
    /// <summary>By the agent, while it stops.</summary>
    public long AgentDraining { get; init; }
    public string? AgentVersion { get; init; }
    public long MaxConcurrent { get; init; } = 1;
    public long? LastHeartbeatAt { get; init; }
    public long CreatedAt { get; init; }
    /// <summary>Thumbprint of the active key; null: not paired.</summary>
    public string? ActiveJkt { get; init; }
    public long ActiveSteps { get; init; }
    /// <summary>The OAuth grant that it was registered with; null: paired by code, or registered with a personal access token.</summary>
    public string? GrantId { get; init; }
    /// <summary>When that grant was revoked.</summary>
    public long? SignedOutAt { get; init; }

    /// <summary>Sorted.</summary>
    public IReadOnlyList<string> Tags => _tags ??= TagRules.Parse(TagsJson);

    /// <summary>As announced: os, arch, cpuCount …</summary>
    public IReadOnlyDictionary<string, string> Labels => _labels ??= JsonSerializer.Deserialize<Dictionary<string, string>>(LabelsJson) ?? [];

    /// <summary>As announced, sorted.</summary>
    public IReadOnlyList<string> CodingAgents => _codingAgents ??= JsonSerializer.Deserialize<string[]>(CodingAgentsJson) ?? [];

    public bool IsDraining => Draining != 0 || AgentDraining != 0;

    public bool IsSignedOut => SignedOutAt is not null;

    public bool IsPaired => ActiveJkt is not null;

    /// <summary>As the rules of workers see it.</summary>
    public WorkerState AsWorker(DateTimeOffset now, WorkstationOptions options) => new()
    {
        Online = Status(now, options) != InstanceStatus.Offline,
        Trusted = IsPaired,
        SignedOut = IsSignedOut,
        Draining = IsDraining,
        Active = ActiveSteps,
        MaxConcurrent = MaxConcurrent,
        Silent = LastHeartbeatAt is { } at ? now - DateTimeOffset.FromUnixTimeMilliseconds(at) : null,
    };

    /// <summary>W-06: computed, never stored. There is no relay yet, so nothing is <c>relay_online</c>.</summary>
    public InstanceStatus Status(DateTimeOffset now, WorkstationOptions options) =>
        IsOnline(LastHeartbeatAt, now.ToUnixTimeMilliseconds(), options) ? InstanceStatus.Online : InstanceStatus.Offline;

    /// <summary>All in Unix milliseconds.</summary>
    public static bool IsOnline(long? lastHeartbeatAt, long now, WorkstationOptions options) => lastHeartbeatAt is { } at && now - at < options.OfflineAfterSeconds * 1000L;

    public InstanceBody ToBody(DateTimeOffset now, WorkstationOptions options) => new()
    {
        Id = Id,
        Name = Name,
        Status = Status(now, options),
        Tags = Tags,
        Labels = Labels,
        Draining = IsDraining,
        Paired = IsPaired,
        SignedOut = IsSignedOut,
        KeyFingerprint = ActiveJkt,
        AgentVersion = AgentVersion,
        MaxConcurrent = LastHeartbeatAt is null ? null : (int)MaxConcurrent,
        ActiveSteps = (int)ActiveSteps,
        CreatedAt = DateTimeOffset.FromUnixTimeMilliseconds(CreatedAt),
        LastHeartbeatAt = LastHeartbeatAt is { } last ? DateTimeOffset.FromUnixTimeMilliseconds(last) : null,
    };
}
