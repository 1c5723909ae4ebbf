using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Webhooks;

/// <summary>An approval, as far as a webhook is told of it.</summary>
internal sealed record ApprovalNews(string OrganizationId, string ApprovalId, string TaskId, ApprovalClass Class, string RequestedBy, long ExpiresAt, string? DecidedBy = null);

/// <summary>
/// The one door to webhooks for other features. A message is a row of the transaction that it tells of: nothing is told that did not happen, and what happened is
/// told even if the server ends the moment after. Sending is the loop's affair.
/// </summary>
internal static class WebhookOutbox
{
    /// <summary>Writes nothing for an organization without a webhook.</summary>
    public static async Task TellAsync(WriteTransaction tx, string what, ApprovalNews news, long now)
    {
        if (await TargetAsync(tx, news.OrganizationId) is not { } target) return;
        await AppendAsync(tx, what, now, new WebhookData
        {
            OrganizationId = news.OrganizationId, Workspace = target.Name, ApprovalId = news.ApprovalId, TaskId = news.TaskId, Class = news.Class, RequestedBy = news.RequestedBy,
            ExpiresAt = TaskMapping.Instant(news.ExpiresAt), DecidedBy = news.DecidedBy, Url = $"{target.ServerUrl}/api/tasks/{news.TaskId}",
        });
    }

    /// <summary>A message of an admin to see whether it arrives. Null: there is no webhook.</summary>
    public static async Task<DeliveryRow?> TestAsync(WriteTransaction tx, string organizationId, long now)
    {
        if (await TargetAsync(tx, organizationId) is not { } target) return null;
        // Whoever tests has just mended something, and waits for it: not for the pause after the last failure.
        await tx.ExecuteAsync("UPDATE webhooks SET next_try_at = 0 WHERE organization_id = @organizationId", new { organizationId });
        return await AppendAsync(tx, WebhookEvents.Test, now, new WebhookData { OrganizationId = organizationId, Workspace = target.Name, Url = $"{target.ServerUrl}/api/organizations/{organizationId}/webhook" });
    }

    private static Task<Target?> TargetAsync(WriteTransaction tx, string organizationId) => tx.FirstAsync<Target>(
        "SELECT w.server_url, o.name FROM webhooks w JOIN organizations o ON o.id = w.organization_id WHERE w.organization_id = @organizationId", new { organizationId });

    private static async Task<DeliveryRow> AppendAsync(WriteTransaction tx, string what, long now, WebhookData data)
    {
        var row = (await tx.FirstAsync<DeliveryRow>("""
            INSERT INTO webhook_deliveries (id, organization_id, event, approval_id, body, state, created_at, next_try_at)
            VALUES (@id, @OrganizationId, @what, @ApprovalId, @body, 'waiting', @now, @now) RETURNING *
            """,
            new
            {
                id = Ids.New(Ids.Message, TaskMapping.Instant(now)), data.OrganizationId, what, data.ApprovalId, now,
                body = JsonSerializer.Serialize(new WebhookMessage { Type = what, Timestamp = TaskMapping.Instant(now), Data = data }, WireJson.Default.WebhookMessage),
            }))!;
        await tx.ExecuteAsync("""
            UPDATE webhook_deliveries SET state = 'failed', last_error = 'too many messages waited: it was the oldest', next_try_at = NULL, ended_at = @now
            WHERE state = 'waiting'
              AND id = (SELECT d.id FROM webhook_deliveries d WHERE d.organization_id = @OrganizationId AND d.next_try_at IS NOT NULL AND d.id <> @Id ORDER BY d.id LIMIT 1)
              AND (SELECT count(*) FROM webhook_deliveries w WHERE w.organization_id = @OrganizationId AND w.next_try_at IS NOT NULL) > @max
            """, new { row.Id, row.OrganizationId, now, max = WebhookRules.MaxWaiting });
        return row;
    }

    private sealed record Target
    {
        public string ServerUrl { get; init; } = "";
        public string Name { get; init; } = "";
    }
}
