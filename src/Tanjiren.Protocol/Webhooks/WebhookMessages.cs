using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

/// <summary>What a webhook is told of: the <c>type</c> of its messages.</summary>
public static class WebhookEvents
{
    /// <summary>A task waits for an answer.</summary>
    public const string ApprovalPending = "approval.pending";
    public const string ApprovalApproved = "approval.approved";
    public const string ApprovalRejected = "approval.rejected";
    /// <summary>Nobody answered within seven days, or nothing started within the time that was given; then <see cref="ApprovalPending"/> follows.</summary>
    public const string ApprovalExpired = "approval.expired";
    /// <summary>An admin tries out whether messages arrive.</summary>
    public const string Test = "webhook.test";
}

/// <summary><c>PUT /api/organizations/{id}/webhook</c>: sets the one webhook of the organization, or moves it.</summary>
public sealed record SetWebhookRequest
{
    /// <summary>https, without user name and fragment, at most 2000 characters. Its path and query may hold a secret: only admins can read it.</summary>
    public string? Url { get; init; }
    /// <summary>Makes another secret; the old one signs nothing from then on. Absent: false.</summary>
    public bool? RotateSecret { get; init; }
}

/// <summary>The webhook of an organization: never its secret.</summary>
public sealed record WebhookBody
{
    public required string Url { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public required DateTimeOffset UpdatedAt { get; init; }
    /// <summary>User id of who set it last.</summary>
    public required string UpdatedBy { get; init; }
}

/// <summary>The webhook, and its secret if that was made now.</summary>
public sealed record SavedWebhook
{
    public required WebhookBody Webhook { get; init; }
    /// <summary><c>whsec_</c> and the base64 of 32 random bytes, as the Standard Webhooks libraries take it. Shown this once.</summary>
    public string? Secret { get; init; }
}

/// <summary>What became of a message.</summary>
[JsonConverter(typeof(CamelCaseEnum<WebhookDeliveryState>))]
public enum WebhookDeliveryState
{
    /// <summary>It is tried, or tried again at <c>nextTryAt</c>.</summary>
    Waiting,
    /// <summary>The receiver answered with a status from 200 to 299.</summary>
    Delivered,
    /// <summary>Given up about 24 hours after the event, or because 500 newer ones waited.</summary>
    Failed,
}

/// <summary>One message on its way, or after it. Kept for a week after the last possible try.</summary>
public sealed record WebhookDeliveryBody
{
    /// <summary>The <c>webhook-id</c> of every try.</summary>
    public required string Id { get; init; }
    /// <summary>The message's type, as <c>approval.pending</c>.</summary>
    public required string Event { get; init; }
    public string? ApprovalId { get; init; }
    public required WebhookDeliveryState State { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public required int Tries { get; init; }
    public DateTimeOffset? LastTryAt { get; init; }
    /// <summary>HTTP status of the last answer; absent when there was none. The answer's text is not kept.</summary>
    public int? LastStatus { get; init; }
    /// <summary>Why the last try failed, where the status does not say it.</summary>
    public string? LastError { get; init; }
    /// <summary>Not before this; while a server tries it, until when the others leave it to that one.</summary>
    public DateTimeOffset? NextTryAt { get; init; }
    public DateTimeOffset? EndedAt { get; init; }
}

/// <summary>
/// What the receiver gets, in the form of the Standard Webhooks. Ids rather than words: an intent, a command or a reason may hold what the receiver must not know; with a
/// credential of its own it reads at <see cref="WebhookData.Url"/> what that credential may see.
/// </summary>
public sealed record WebhookMessage
{
    /// <summary>One of <see cref="WebhookEvents"/>.</summary>
    public required string Type { get; init; }
    /// <summary>When it happened; the header <c>webhook-timestamp</c> is the instant of the try.</summary>
    public required DateTimeOffset Timestamp { get; init; }
    public required WebhookData Data { get; init; }
}

/// <summary>Of a test only the organization and the URL.</summary>
public sealed record WebhookData
{
    public required string OrganizationId { get; init; }
    /// <summary>The organization's name.</summary>
    public required string Workspace { get; init; }
    public string? ApprovalId { get; init; }
    public string? TaskId { get; init; }
    public ApprovalClass? Class { get; init; }
    /// <summary>User id of who made or last changed the task.</summary>
    public string? RequestedBy { get; init; }
    /// <summary>Pending: until when it can be answered. Approved: until when the first step must start. Expired: when that was over.</summary>
    public DateTimeOffset? ExpiresAt { get; init; }
    /// <summary>User id of who answered.</summary>
    public string? DecidedBy { get; init; }
    /// <summary>The task in the API; of a test the webhook itself.</summary>
    public required string Url { get; init; }
}
