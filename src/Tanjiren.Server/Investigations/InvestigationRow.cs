using Tanjiren.Protocol;

namespace Tanjiren.Server.Investigations;

/// <summary>A row of <c>investigations</c>.</summary>
internal sealed record InvestigationRow
{
    public string Id { get; init; } = "";
    public string Title { get; init; } = "";
    public string Objective { get; init; } = "";
    public string Hypothesis { get; init; } = "";
    public string Findings { get; init; } = "";
    public string Status { get; init; } = "";
    public long Version { get; init; }
    public string CreatedBy { get; init; } = "";
    public long CreatedAt { get; init; }
    public long UpdatedAt { get; init; }
    public long? ClosedAt { get; init; }

    public bool IsOpen => ClosedAt is null;

    public InvestigationBody ToBody() => new()
    {
        Id = Id,
        Title = Title,
        Objective = Written(Objective),
        Hypothesis = Written(Hypothesis),
        Findings = Written(Findings),
        Status = IsOpen ? InvestigationStatus.Open : InvestigationStatus.Closed,
        Version = Version,
        CreatedBy = CreatedBy,
        CreatedAt = DateTimeOffset.FromUnixTimeMilliseconds(CreatedAt),
        UpdatedAt = DateTimeOffset.FromUnixTimeMilliseconds(UpdatedAt),
        ClosedAt = ClosedAt is { } at ? DateTimeOffset.FromUnixTimeMilliseconds(at) : null,
    };

    private static string? Written(string text) => text.Length == 0 ? null : text;
}
