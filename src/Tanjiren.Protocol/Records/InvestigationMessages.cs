using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

[JsonConverter(typeof(SnakeCaseEnum<InvestigationStatus>))]
public enum InvestigationStatus
{
    Open,
    /// <summary>It takes no further tasks; artifacts may still be attached.</summary>
    Closed,
}

/// <summary><c>POST /api/investigations</c>. Takes <c>Idempotency-Key</c>.</summary>
public sealed record CreateInvestigationRequest
{
    /// <summary>1-200 characters.</summary>
    public string? Title { get; init; }
    /// <summary>What shall be found out: Markdown, at most 64 KiB of UTF-8, as the two below.</summary>
    public string? Objective { get; init; }
    /// <summary>What is thought to be so.</summary>
    public string? Hypothesis { get; init; }
    /// <summary>What was found.</summary>
    public string? Findings { get; init; }
}

/// <summary><c>PATCH /api/investigations/{id}</c>. Absent fields stay; empty text clears.</summary>
public sealed record UpdateInvestigationRequest
{
    /// <summary>The version that was read: if somebody has changed it since, 409 <c>version_conflict</c> and nothing is written.</summary>
    public long? Version { get; init; }
    public string? Title { get; init; }
    public string? Objective { get; init; }
    public string? Hypothesis { get; init; }
    public string? Findings { get; init; }
    public InvestigationStatus? Status { get; init; }
}

/// <summary>A container that groups tasks and artifacts (I-01).</summary>
public sealed record InvestigationBody
{
    public required string Id { get; init; }
    public required string Title { get; init; }
    public string? Objective { get; init; }
    public string? Hypothesis { get; init; }
    public string? Findings { get; init; }
    public required InvestigationStatus Status { get; init; }
    /// <summary>Rises with every change; an update names it.</summary>
    public required long Version { get; init; }
    public required string CreatedBy { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public required DateTimeOffset UpdatedAt { get; init; }
    public DateTimeOffset? ClosedAt { get; init; }
}
