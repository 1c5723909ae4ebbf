using System.Security.Cryptography;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Organizations;

namespace Tanjiren.Server.Webhooks;

/// <summary>What admins do with the webhook of their organization, by the role that they have at that moment.</summary>
internal sealed class WebhookService(Database database, AuditLog audit, TimeProvider clock)
{
    private const string Columns = "organization_id, url, secret, created_at, updated_at, updated_by";

    public Task<WebhookRow?> FindAsync(Caller caller, CancellationToken cancellationToken) => database.ReadAsync(sql =>
        sql.FirstAsync<WebhookRow>($"SELECT {Columns} FROM webhooks WHERE organization_id = @OrganizationId", new { caller.OrganizationId }), cancellationToken);

    /// <summary>The webhook, and whether its secret was made now; or why not. Of two who set the first one at once, one makes the secret.</summary>
    public Task<(WebhookRow? Row, bool NewSecret, string? Why)> SetAsync(Caller caller, string url, string serverUrl, bool rotate, CancellationToken cancellationToken) =>
        database.WriteAsync<(WebhookRow?, bool, string?)>(async tx =>
        {
            if (await NotAllowedAsync(tx, caller) is { } why) return (null, false, why);
            var secret = RandomNumberGenerator.GetBytes(WebhookRules.SecretBytes);
            var row = (await tx.FirstAsync<WebhookRow>($"""
                INSERT INTO webhooks (organization_id, url, secret, server_url, created_at, updated_at, updated_by)
                VALUES (@OrganizationId, @url, @secret, @serverUrl, @now, @now, @UserId)
                ON CONFLICT (organization_id) DO UPDATE SET url = excluded.url, server_url = excluded.server_url, updated_at = excluded.updated_at, updated_by = excluded.updated_by,
                  failures = 0, next_try_at = 0,
                  secret = CASE WHEN @rotate = 1 THEN excluded.secret ELSE webhooks.secret END
                RETURNING {Columns}
                """, new { caller.OrganizationId, caller.UserId, url, secret, serverUrl, now = NowMs(), rotate = rotate ? 1 : 0 }))!;
            var made = row.Secret.AsSpan().SequenceEqual(secret);
            await audit.AppendAsync(tx, caller, "webhook.set", caller.OrganizationId, Describe(url) + (made ? "; new secret" : ""));
            return (row, made, null);
        }, cancellationToken);

    /// <summary>Also what still waits to be told. <c>Removed</c>: false when there was none.</summary>
    public Task<(bool Removed, string? Why)> RemoveAsync(Caller caller, CancellationToken cancellationToken) => database.WriteAsync<(bool, string?)>(async tx =>
    {
        if (await NotAllowedAsync(tx, caller) is { } why) return (false, why);
        if (await tx.FirstAsync<string>("DELETE FROM webhooks WHERE organization_id = @OrganizationId RETURNING url", new { caller.OrganizationId }) is not { } url) return (false, null);
        var dropped = await tx.ExecuteAsync("DELETE FROM webhook_deliveries WHERE organization_id = @OrganizationId AND state = 'waiting'", new { caller.OrganizationId });
        await audit.AppendAsync(tx, caller, "webhook.removed", caller.OrganizationId, $"{Describe(url)}; {dropped} messages waited");
        return (true, null);
    }, cancellationToken);

    /// <summary>Neither a message nor a reason: there is no webhook.</summary>
    public Task<(DeliveryRow? Message, string? Why)> TestAsync(Caller caller, CancellationToken cancellationToken) => database.WriteAsync<(DeliveryRow?, string?)>(async tx =>
    {
        if (await NotAllowedAsync(tx, caller) is { } why) return (null, why);
        if (await WebhookOutbox.TestAsync(tx, caller.OrganizationId, NowMs()) is not { } message) return (null, null);
        await audit.AppendAsync(tx, caller, "webhook.tested", caller.OrganizationId, message.Id);
        return (message, null);
    }, cancellationToken);

    /// <summary>Newest first, those before an id; empty: from the newest.</summary>
    public Task<IReadOnlyList<DeliveryRow>> DeliveriesAsync(Caller caller, string before, int limit, CancellationToken cancellationToken) =>
        database.ReadAsync(sql => sql.ListAsync<DeliveryRow>(
            "SELECT * FROM webhook_deliveries WHERE organization_id = @OrganizationId" + (before.Length > 0 ? " AND id < @before" : "") + " ORDER BY id DESC LIMIT @limit",
            new { caller.OrganizationId, before, limit }), cancellationToken);

    private static async Task<string?> NotAllowedAsync(WriteTransaction tx, Caller caller)
    {
        var (actor, _) = await MemberRow.LockAsync(tx, caller.OrganizationId, caller.UserId, caller.UserId);
        return MembershipRules.Manage(actor?.ParsedRole);
    }

    private long NowMs() => clock.GetUtcNow().ToUnixTimeMilliseconds();

    /// <summary>Path and query may be a secret of the receiver's, and others than admins may come to read the audit log.</summary>
    private static string Describe(string url) => new Uri(url).GetLeftPart(UriPartial.Authority);
}
