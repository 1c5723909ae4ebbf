using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

/// <summary>Where a task comes from, as a doctrine tells it apart.</summary>
[JsonConverter(typeof(SnakeCaseEnum<DoctrineOrigin>))]
public enum DoctrineOrigin
{
    /// <summary>A person's own request: neither of the others.</summary>
    Request,
    /// <summary>A tick of a schedule.</summary>
    Schedule,
    /// <summary>Made from a runbook.</summary>
    Runbook,
}

/// <summary>One version of an organization's doctrine (G-02).</summary>
public sealed record DoctrineBody
{
    /// <summary>From 1, without gaps.</summary>
    public required int Version { get; init; }
    /// <summary>The YAML, exactly as it was written.</summary>
    public required string Document { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    /// <summary>The admin who wrote it. Absent: the organization started with it.</summary>
    public string? CreatedBy { get; init; }
    public string? CreatedByEmail { get; init; }
}

/// <summary>A version as it is listed: without its document.</summary>
public sealed record DoctrineVersionBody
{
    public required int Version { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    /// <summary>The admin who wrote it. Absent: the organization started with it.</summary>
    public string? CreatedBy { get; init; }
    public string? CreatedByEmail { get; init; }
}

/// <summary><c>PUT /api/organizations/{id}/doctrine</c>: the next version. What is wrong with the document is told with line and column.</summary>
public sealed record SetDoctrineRequest
{
    /// <summary>YAML of at most 64 KiB.</summary>
    public string? Document { get; init; }
    /// <summary>The version that the document was made from. When there is a newer one by now, nothing is written: 409.</summary>
    public int? BasedOn { get; init; }
}

/// <summary>
/// <c>POST /api/organizations/{id}/doctrine/evaluate</c>: a task that nobody has made. Machines are named, or described by tags, or both; without either it is asked
/// for a machine without tags.
/// </summary>
public sealed record EvaluateDoctrineRequest
{
    /// <summary>Default <c>command</c>.</summary>
    public TaskMode? Mode { get; init; }
    /// <summary>For the mode <c>command</c>.</summary>
    public CommandSpec? Command { get; init; }
    /// <summary>For the other modes, at most 128 KiB.</summary>
    public string? Prompt { get; init; }
    /// <summary>Ids or names of workstations that could run it; their tags count as they are now.</summary>
    public IReadOnlyList<string>? Workstations { get; init; }
    /// <summary>Tags of one more machine that could run it.</summary>
    public IReadOnlyList<string>? Tags { get; init; }
    /// <summary>Who creates it; default: your own role.</summary>
    public Role? Role { get; init; }
    /// <summary>Default <c>request</c>.</summary>
    public DoctrineOrigin? Origin { get; init; }
    /// <summary>When, from the year 2000 to 2199; default: now.</summary>
    public DateTimeOffset? At { get; init; }
    /// <summary>By which version; default: the newest.</summary>
    public int? Version { get; init; }
    /// <summary>What a coding agent would ask for while such a task runs; absent: that is not asked.</summary>
    public PermissionTool? Tool { get; init; }
    /// <summary>Which coding agent would ask.</summary>
    public string? CodingAgent { get; init; }
}

/// <summary>What the doctrine says of a task, and which rules made it say so.</summary>
public sealed record DoctrineDecisionBody
{
    public required int Version { get; init; }
    /// <summary>The highest class of all rules that match.</summary>
    public required ApprovalClass Class { get; init; }
    /// <summary>It never runs.</summary>
    public required bool Forbidden { get; init; }
    /// <summary>The end of the last window that is open and matches; absent: it may start now.</summary>
    public DateTimeOffset? FrozenUntil { get; init; }
    /// <summary>A window that is open refuses it instead of letting it wait.</summary>
    public required bool FreezeRefuses { get; init; }
    /// <summary>Every rule that matches, in the order forbid, approvals, freeze and of the document in each.</summary>
    public required IReadOnlyList<DoctrineFindingBody> Findings { get; init; }
    /// <summary>Of the tool that was asked about; absent: none was.</summary>
    public DoctrinePermissionBody? Permission { get; init; }
}

/// <summary>What the doctrine answers to a coding agent that asks for a tool.</summary>
public sealed record DoctrinePermissionBody
{
    /// <summary>Absent: a person is asked.</summary>
    public PermissionVerdict? Verdict { get; init; }
    /// <summary>Which rule says so; absent: none is about it.</summary>
    public string? Rule { get; init; }
    public string? Because { get; init; }
}

public sealed record DoctrineFindingBody
{
    /// <summary>Name of the rule.</summary>
    public required string Rule { get; init; }
    /// <summary><c>forbid</c>, <c>sensitive_write</c>, <c>production_mutation</c>, <c>wait</c> or <c>refuse</c>.</summary>
    public required string Effect { get; init; }
    /// <summary>What of the task met the rule's conditions, for people, and the reason that the rule gives.</summary>
    public required string Because { get; init; }
}
