using Tanjiren.Protocol;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Webhooks;

/// <summary>A row of <c>webhooks</c>.</summary>
internal sealed record WebhookRow
{
    public string OrganizationId { get; init; } = "";
    public string Url { get; init; } = "";
    public byte[] Secret { get; init; } = [];
    public long CreatedAt { get; init; }
    public long UpdatedAt { get; init; }
    public string UpdatedBy { get; init; } = "";
    /// <summary>With <see cref="NextTryAt"/>, of one that was taken to be sent to only.</summary>
    public int Failures { get; init; }
    public long NextTryAt { get; init; }

    public WebhookBody ToBody() => new() { Url = Url, CreatedAt = TaskMapping.Instant(CreatedAt), UpdatedAt = TaskMapping.Instant(UpdatedAt), UpdatedBy = UpdatedBy };
}

/// <summary>A row of <c>webhook_deliveries</c>.</summary>
internal sealed record DeliveryRow
{
    public string Id { get; init; } = "";
    public string OrganizationId { get; init; } = "";
    public string Event { get; init; } = "";
    public string? ApprovalId { get; init; }
    public string Body { get; init; } = "";
    public string State { get; init; } = "";
    public long CreatedAt { get; init; }
    public int Tries { get; init; }
    public long? LastTryAt { get; init; }
    public int? LastStatus { get; init; }
    public string? LastError { get; init; }
    public long? NextTryAt { get; init; }
    public long? EndedAt { get; init; }

    public WebhookDeliveryBody ToBody() => new()
    {
        Id = Id, Event = Event, ApprovalId = ApprovalId, State = WireNames.Parse<WebhookDeliveryState>(State), CreatedAt = TaskMapping.Instant(CreatedAt), Tries = Tries,
        LastTryAt = TaskMapping.Instant(LastTryAt), LastStatus = LastStatus, LastError = LastError, NextTryAt = TaskMapping.Instant(NextTryAt), EndedAt = TaskMapping.Instant(EndedAt),
    };
}
