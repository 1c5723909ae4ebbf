using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Runbooks;

/// <summary>A row of <c>runbooks</c>.</summary>
internal sealed record RunbookRow
{
    private RunbookFields? _parsed;

    public string Id { get; init; } = "";
    public string Name { get; init; } = "";
    public string Status { get; init; } = "";
    /// <summary>JSON of what it says, checked, with every default filled in.</summary>
    public string Fields { get; init; } = "{}";
    public long Version { get; init; }
    public string CreatedBy { get; init; } = "";
    /// <summary>Who made this version.</summary>
    public string UpdatedBy { get; init; } = "";
    public long CreatedAt { get; init; }
    public long UpdatedAt { get; init; }

    /// <summary>Name and status are those of their columns.</summary>
    public RunbookFields Says => _parsed ??= JsonSerializer.Deserialize(Fields, WireJson.Default.RunbookFields)! with
    {
        Name = Name,
        Status = WireNames.Parse<RunbookStatus>(Status),
    };

    public RunbookBody ToBody() => new()
    {
        Id = Id,
        Name = Name,
        IntentTemplate = Says.IntentTemplate,
        Parameters = Says.Parameters,
        Mode = Says.Mode,
        Command = Says.Command,
        PromptText = Says.PromptText,
        ApprovalClass = Says.ApprovalClass,
        DefaultPlan = Says.DefaultPlan,
        DefaultConstraints = Says.DefaultConstraints,
        SuccessCriteria = Says.SuccessCriteria,
        Status = Says.Status,
        Version = Version,
        CreatedBy = CreatedBy,
        CreatedAt = DateTimeOffset.FromUnixTimeMilliseconds(CreatedAt),
        UpdatedAt = DateTimeOffset.FromUnixTimeMilliseconds(UpdatedAt),
    };
}
