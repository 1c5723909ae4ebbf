namespace Tanjiren.Protocol;

/// <summary><c>POST /api/prompts</c>. Takes <c>Idempotency-Key</c>.</summary>
public sealed record CreatePromptRequest
{
    /// <summary>1-100 characters without <c>/ \ ? # %</c>, unique in the organization.</summary>
    public string? Name { get; init; }
    /// <summary>At most 64 KiB of UTF-8.</summary>
    public string? Text { get; init; }
    /// <summary>As those of workstations: at most 50.</summary>
    public IReadOnlyList<string>? Tags { get; init; }
}

/// <summary><c>PATCH /api/prompts/{id}</c>. Absent fields stay.</summary>
public sealed record UpdatePromptRequest
{
    /// <summary>The version that was read: if somebody has changed it since, 409 <c>version_conflict</c> and nothing is written.</summary>
    public long? Version { get; init; }
    public string? Name { get; init; }
    public string? Text { get; init; }
    /// <summary>Instead of those that it has.</summary>
    public IReadOnlyList<string>? Tags { get; init; }
}

/// <summary>A saved prompt (I-03).</summary>
public sealed record PromptBody
{
    public required string Id { get; init; }
    public required string Name { get; init; }
    public required string Text { get; init; }
    /// <summary>Sorted.</summary>
    public required IReadOnlyList<string> Tags { get; init; }
    /// <summary>Rises with every change; an update names it.</summary>
    public required long Version { get; init; }
    public required string CreatedBy { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public required DateTimeOffset UpdatedAt { get; init; }
}
