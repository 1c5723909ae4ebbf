using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Webhooks;

/// <summary>
/// Sends what is due. Any number of servers may run it: who moves a webhook's <c>next_try_at</c> and raises a delivery's <c>tries</c> has both to itself until the lease is over,
/// and writes the outcome only while they are still theirs. A server that ends in between leaves it to the next, so a message may come twice; its id tells. A pass only begins: an
/// organization's messages go one after another beside it, so a receiver that takes its ten seconds holds up nobody else's. One that does not take a message is left alone for a while
/// whatever else waits for it, and whoever was tried longest ago comes first: else some receivers that never answer would have all the places, all the time.
/// </summary>
internal sealed partial class WebhookLoop(Database database, WebhookSender sender, TimeProvider clock, ILogger<WebhookLoop> logger) : PeriodicLoop("webhooks", clock, logger)
{
    /// <summary>Organizations that are sent to at once. With as many dead receivers, others wait up to ten seconds for a place. Another number in tests only.</summary>
    internal int MaxAtOnce { get; set; } = 32;

    private static readonly TimeSpan RecordWithin = TimeSpan.FromSeconds(5);

    private readonly Lock _gate = new();
    private readonly Dictionary<string, Task> _sending = [];

    protected override TimeSpan Interval => TimeSpan.FromSeconds(1);

    public override async Task RunOnceAsync(CancellationToken cancellationToken)
    {
        int busy;
        lock (_gate) busy = _sending.Count;
        // Those that are being sent to may be due as well: they must not take the places of others in the list.
        var due = await database.ReadAsync(sql => sql.ListAsync<string>("""
            SELECT d.organization_id FROM (SELECT DISTINCT organization_id FROM webhook_deliveries WHERE next_try_at <= @now) d
              LEFT JOIN webhooks w ON w.organization_id = d.organization_id
            WHERE coalesce(w.next_try_at, 0) <= @now ORDER BY coalesce(w.last_try_at, 0), d.organization_id LIMIT @limit
            """, new { now = NowMs(), limit = MaxAtOnce + busy }), cancellationToken);
        lock (_gate)
        {
            foreach (var organizationId in due.Where(id => !_sending.ContainsKey(id)).Take(MaxAtOnce - _sending.Count).ToList())
                _sending[organizationId] = Task.Run(() => SendAllAsync(organizationId, cancellationToken), CancellationToken.None);
        }
    }

    /// <summary>Waits for what the passes so far have begun.</summary>
    public Task SettleAsync()
    {
        lock (_gate) return Task.WhenAll([.. _sending.Values]);
    }

    /// <summary>Tries that are on their way are broken off, and tried again when their lease is over.</summary>
    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken);
        await SettleAsync().WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <summary>Until nothing is due, or one fails: the receiver is left in peace until the next pass then.</summary>
    private async Task SendAllAsync(string organizationId, CancellationToken cancellationToken)
    {
        try
        {
            while (await TakeAsync(organizationId, cancellationToken) is ({ } message, { } webhook))
            {
                var result = await sender.SendAsync(webhook.Url, webhook.Secret, message.Id, message.Body, cancellationToken);
                await RecordAsync(webhook, message, result);
                if (!result.Delivered) break;
            }
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // The host stops.
        }
        catch (Exception e)
        {
            Count("broken");
            LogBroken(logger, organizationId, e);
        }
        finally
        {
            lock (_gate) _sending.Remove(organizationId);
        }
    }

    private Task<(DeliveryRow? Message, WebhookRow? Webhook)> TakeAsync(string organizationId, CancellationToken cancellationToken) =>
        database.WriteAsync<(DeliveryRow?, WebhookRow?)>(async tx =>
        {
            var now = NowMs();
            var take = new { organizationId, now, until = now + (long)WebhookRules.Lease.TotalMilliseconds, tooOld = now - (long)WebhookRules.GiveUpAfter.TotalMilliseconds };
            // The outer conditions are looked at again after another server's take: of two that chose the same row one gets it.
            var webhook = await tx.FirstAsync<WebhookRow>("""
                UPDATE webhooks SET next_try_at = @until, last_try_at = @now
                WHERE organization_id = @organizationId AND next_try_at <= @now
                  AND EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.organization_id = @organizationId AND d.next_try_at <= @now)
                RETURNING organization_id, url, secret, created_at, updated_at, updated_by, failures, next_try_at
                """, take);
            if (webhook is null)
            {
                // Another server's, left alone for a while, or nothing is due; or it is gone, and this was written beside its removal.
                await tx.ExecuteAsync("""
                    DELETE FROM webhook_deliveries WHERE organization_id = @organizationId AND state = 'waiting'
                      AND NOT EXISTS (SELECT 1 FROM webhooks w WHERE w.organization_id = @organizationId)
                    """, take);
                return (null, null);
            }
            // While the webhook was left alone, nobody looked at their age.
            await tx.ExecuteAsync("""
                UPDATE webhook_deliveries SET state = 'failed', last_error = coalesce(last_error, 'not sent within 24 h'), next_try_at = NULL, ended_at = @now
                WHERE organization_id = @organizationId AND state = 'waiting' AND next_try_at <= @now AND created_at <= @tooOld
                """, take);
            // Tests first: somebody waits for them.
            var message = await tx.FirstAsync<DeliveryRow>($"""
                UPDATE webhook_deliveries SET tries = tries + 1, last_try_at = @now, next_try_at = @until WHERE next_try_at <= @now AND id =
                  (SELECT d.id FROM webhook_deliveries d WHERE d.organization_id = @organizationId AND d.next_try_at <= @now
                   ORDER BY CASE WHEN d.event = '{WebhookEvents.Test}' THEN 0 ELSE 1 END, d.next_try_at, d.id LIMIT 1)
                RETURNING *
                """, take);
            if (message is not null) return (message, webhook);
            await tx.ExecuteAsync("UPDATE webhooks SET next_try_at = 0 WHERE organization_id = @organizationId", take);
            return (null, null);
        }, cancellationToken);

    private async Task RecordAsync(WebhookRow webhook, DeliveryRow message, SendResult result)
    {
        var now = NowMs();
        var jitter = Random.Shared.NextDouble();
        var failures = result.Delivered ? 0 : webhook.Failures + 1;
        // A message that never gets through waits by its own tries, also where others do; and none is due before its webhook is.
        var pause = result.Delivered ? null : WebhookRules.PauseAfter(Math.Max(message.Tries, failures), TimeSpan.FromMilliseconds(now - message.CreatedAt), jitter);
        var state = result.Delivered ? WebhookDeliveryState.Delivered : pause is null ? WebhookDeliveryState.Failed : WebhookDeliveryState.Waiting;
        // A token of its own: what was sent is recorded although the host stops.
        using var bounded = new CancellationTokenSource(RecordWithin, Clock);
        var recorded = await database.WriteAsync(async tx =>
        {
            await tx.ExecuteAsync("UPDATE webhooks SET failures = @failures, next_try_at = @nextTryAt WHERE organization_id = @OrganizationId AND next_try_at = @Lease", new
            {
                webhook.OrganizationId, failures, Lease = webhook.NextTryAt, nextTryAt = result.Delivered ? 0 : now + (long)WebhookRules.Pause(failures, jitter).TotalMilliseconds,
            });
            return await tx.ExecuteAsync("""
                UPDATE webhook_deliveries SET state = @state, last_status = @Status, last_error = @Error, next_try_at = @nextTryAt, ended_at = @endedAt
                WHERE id = @Id AND tries = @Tries AND state = 'waiting'
                """,
                new
                {
                    message.Id, message.Tries, result.Status, result.Error, state = WireNames.Of(state),
                    nextTryAt = pause is { } p ? now + (long)p.TotalMilliseconds : (long?)null, endedAt = pause is null ? now : (long?)null,
                });
        }, bounded.Token);
        if (recorded == 1) Count(state == WebhookDeliveryState.Waiting ? "retried" : WireNames.Of(state));
    }

    private long NowMs() => Clock.GetUtcNow().ToUnixTimeMilliseconds();

    [LoggerMessage(Level = LogLevel.Warning, Message = "Could not send to the webhook of {OrganizationId}; it is tried again")]
    private static partial void LogBroken(ILogger logger, string organizationId, Exception exception);
}
