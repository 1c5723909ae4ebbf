using Tanjiren.Protocol;
using Tanjiren.Server.Workstations;

namespace Tanjiren.Server.Prompts;

/// <summary>A row of <c>prompts</c>.</summary>
internal sealed record PromptRow
{
    public string Id { get; init; } = "";
    public string Name { get; init; } = "";
    public string Text { get; init; } = "";
    /// <summary>JSON array, sorted.</summary>
    public string Tags { get; init; } = "[]";
    public long Version { get; init; }
    public string CreatedBy { get; init; } = "";
    public long CreatedAt { get; init; }
    public long UpdatedAt { get; init; }

    public PromptBody ToBody() => new()
    {
        Id = Id,
        Name = Name,
        Text = Text,
        Tags = TagRules.Parse(Tags),
        Version = Version,
        CreatedBy = CreatedBy,
        CreatedAt = DateTimeOffset.FromUnixTimeMilliseconds(CreatedAt),
        UpdatedAt = DateTimeOffset.FromUnixTimeMilliseconds(UpdatedAt),
    };
}
