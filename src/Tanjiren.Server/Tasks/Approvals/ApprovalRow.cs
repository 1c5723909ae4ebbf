using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Webhooks;

namespace Tanjiren.Server.Tasks.Approvals;

/// <summary>A row of <c>approvals</c>, with the intent of its task where a query joins it.</summary>
internal sealed record ApprovalRow
{
    public string Id { get; init; } = "";
    public string OrganizationId { get; init; } = "";
    public string TaskId { get; init; } = "";
    public int Number { get; init; }
    public string Class { get; init; } = "";
    public string State { get; init; } = "";
    public string ActionHash { get; init; } = "";
    public int DoctrineVersion { get; init; }
    public string Findings { get; init; } = "[]";
    public string RequestedBy { get; init; } = "";
    public long RequestedAt { get; init; }
    public long ExpiresAt { get; init; }
    public string? DecidedBy { get; init; }
    public long? DecidedAt { get; init; }
    public string? Reason { get; init; }
    public int SelfApproved { get; init; }
    public long? ConsumedAt { get; init; }
    public string? InheritedFrom { get; init; }

    public string Intent { get; init; } = "";

    public ApprovalState ParsedState => WireNames.Parse<ApprovalState>(State);
    public ApprovalClass ParsedClass => WireNames.Parse<ApprovalClass>(Class);
    public IReadOnlyList<ApprovalFindingBody> ParseFindings() => JsonSerializer.Deserialize(Findings, WireJson.Default.IReadOnlyListApprovalFindingBody)!;

    public ApprovalNews ToNews(long expiresAt, string? decidedBy) => new(OrganizationId, Id, TaskId, ParsedClass, RequestedBy, expiresAt, decidedBy);

    public ApprovalBody ToBody() => new()
    {
        Id = Id,
        TaskId = TaskId,
        Intent = Intent,
        Class = ParsedClass,
        State = ParsedState,
        Findings = ParseFindings(),
        ActionHash = ActionHash,
        DoctrineVersion = DoctrineVersion,
        RequestedBy = RequestedBy,
        RequestedAt = TaskMapping.Instant(RequestedAt),
        ExpiresAt = TaskMapping.Instant(ExpiresAt),
        DecidedBy = DecidedBy,
        DecidedAt = TaskMapping.Instant(DecidedAt),
        Reason = Reason,
        SelfApproved = SelfApproved != 0,
        ConsumedAt = TaskMapping.Instant(ConsumedAt),
        InheritedFrom = InheritedFrom,
    };
}
