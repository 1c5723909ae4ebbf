using Tanjiren.Server.Data;
using Tanjiren.Server.Webhooks;

namespace Tanjiren.Server.Hosting;

/// <summary>Deletes what has expired and nobody will ask for again, so that no table grows for ever. Several servers may do it at once.</summary>
internal sealed class ExpiredRowsLoop(Database database, HostingOptions options, TimeProvider clock, ILogger<ExpiredRowsLoop> logger)
    : PeriodicLoop("expired-rows", clock, logger)
{
    private const long DayMs = 86_400_000;

    protected override TimeSpan Interval => TimeSpan.FromHours(1);

    public override async Task RunOnceAsync(CancellationToken cancellationToken)
    {
        var now = Clock.GetUtcNow().ToUnixTimeMilliseconds();
        var deleted = await database.WriteAsync(async tx => new
        {
            Keys = await tx.ExecuteAsync("DELETE FROM idempotency_keys WHERE created_at <= @before", new { before = now - options.IdempotencyHours * 3_600_000L }),
            // Kept a day longer, so that an operator can still see why a code or a sign-in was refused.
            Codes = await tx.ExecuteAsync("DELETE FROM pairing_codes WHERE expires_at <= @before", new { before = now - DayMs }),
            // Those that became nothing; the approved ones are the chain.
            Rotations = await tx.ExecuteAsync("DELETE FROM key_rotations WHERE state <> 'approved' AND expires_at <= @before", new { before = now - 30 * DayMs }),
            Setup = await tx.ExecuteAsync("DELETE FROM setup_codes WHERE expires_at <= @before", new { before = now - DayMs }),
            // A month longer, so that the list of an organization shows what became of its invitations; the audit log keeps it for ever.
            Invitations = await tx.ExecuteAsync("DELETE FROM invitations WHERE expires_at <= @before", new { before = now - 30 * DayMs }),
            Messages = await tx.ExecuteAsync("DELETE FROM webhook_deliveries WHERE created_at <= @before", new { before = now - (long)WebhookRules.Keep.TotalMilliseconds }),
            DeviceCodes = await tx.ExecuteAsync("DELETE FROM oauth_device_codes WHERE expires_at <= @before", new { before = now - DayMs }),
            Credentials = await tx.ExecuteAsync("DELETE FROM credentials WHERE expires_at <= @before OR revoked_at <= @before", new { before = now - DayMs }),
            Refresh = await tx.ExecuteAsync("DELETE FROM oauth_refresh_tokens WHERE expires_at <= @before", new { before = now - DayMs }),
            // After what refers to them; one that a workstation stands on stays, for it says whether that workstation is signed out.
            Grants = await tx.ExecuteAsync("""
                DELETE FROM oauth_grants WHERE expires_at <= @before
                  AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.grant_id = oauth_grants.id)
                  AND NOT EXISTS (SELECT 1 FROM credentials c WHERE c.grant_id = oauth_grants.id)
                  AND NOT EXISTS (SELECT 1 FROM oauth_refresh_tokens t WHERE t.grant_id = oauth_grants.id)
                  AND NOT EXISTS (SELECT 1 FROM oauth_device_codes d WHERE d.grant_id = oauth_grants.id)
                """, new { before = now - DayMs }),
        }, cancellationToken);
        Count("idempotencyKeys", deleted.Keys);
        Count("codes", deleted.Codes + deleted.Setup + deleted.DeviceCodes);
        Count("invitations", deleted.Invitations);
        Count("messages", deleted.Messages);
        Count("keyRotations", deleted.Rotations);
        Count("credentials", deleted.Credentials + deleted.Refresh + deleted.Grants);
    }
}
