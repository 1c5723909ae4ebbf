using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Webhooks;

/// <summary>
/// Sends what is due. Any number of servers may run it: who raises <c>tries</c> has the delivery to itself until the lease is over, and writes its outcome only while
/// <c>tries</c> is still theirs. A server that ends in between leaves it to the next, so a message may come twice; its id tells. A pass only begins: an organization's
/// messages go one after another beside it, so a receiver that takes its ten seconds holds up nobody else's.
/// </summary>
internal sealed partial class WebhookLoop(Database database, WebhookSender sender, TimeProvider clock, ILogger<WebhookLoop> logger) : PeriodicLoop("webhooks", clock, logger)
{
    /// <summary>Organizations that are sent to at once. With as many dead receivers, others wait up to ten seconds for a place.</summary>
    private const int MaxAtOnce = 32;

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
            SELECT organization_id FROM webhook_deliveries WHERE next_try_at <= @now GROUP BY organization_id ORDER BY min(next_try_at) LIMIT @limit
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
                await RecordAsync(message, result);
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
            if (await tx.FirstAsync<WebhookRow>("SELECT organization_id, url, secret, created_at, updated_at, updated_by FROM webhooks WHERE organization_id = @organizationId", new { organizationId }) is not { } webhook)
            {
                // Written beside the removal of its webhook.
                await tx.ExecuteAsync("DELETE FROM webhook_deliveries WHERE organization_id = @organizationId AND state = 'waiting'", new { organizationId });
                return (null, null);
            }
            // The outer condition is looked at again after another server's take: of two that chose the same row one gets it.
            var message = await tx.FirstAsync<DeliveryRow>("""
                UPDATE webhook_deliveries SET tries = tries + 1, last_try_at = @now, next_try_at = @until WHERE next_try_at <= @now AND id =
                  (SELECT d.id FROM webhook_deliveries d WHERE d.organization_id = @organizationId AND d.next_try_at <= @now ORDER BY d.next_try_at, d.id LIMIT 1)
                RETURNING *
                """, new { organizationId, now = NowMs(), until = NowMs() + (long)WebhookRules.Lease.TotalMilliseconds });
            return (message, webhook);
        }, cancellationToken);

    private async Task RecordAsync(DeliveryRow message, SendResult result)
    {
        var now = NowMs();
        var pause = result.Delivered ? null : WebhookRules.PauseAfter(message.Tries, TimeSpan.FromMilliseconds(now - message.CreatedAt), Random.Shared.NextDouble());
        var state = result.Delivered ? WebhookDeliveryState.Delivered : pause is null ? WebhookDeliveryState.Failed : WebhookDeliveryState.Waiting;
        // A token of its own: what was sent is recorded although the host stops.
        using var bounded = new CancellationTokenSource(RecordWithin, Clock);
        var recorded = await database.WriteAsync(tx => tx.ExecuteAsync("""
            UPDATE webhook_deliveries SET state = @state, last_status = @Status, last_error = @Error, next_try_at = @nextTryAt, ended_at = @endedAt
            WHERE id = @Id AND tries = @Tries AND state = 'waiting'
            """,
            new
            {
                message.Id, message.Tries, result.Status, result.Error, state = WireNames.Of(state),
                nextTryAt = pause is { } p ? now + (long)p.TotalMilliseconds : (long?)null, endedAt = pause is null ? now : (long?)null,
            }), bounded.Token);
        if (recorded == 1) Count(state == WebhookDeliveryState.Waiting ? "retried" : WireNames.Of(state));
    }

    private long NowMs() => Clock.GetUtcNow().ToUnixTimeMilliseconds();

    [LoggerMessage(Level = LogLevel.Warning, Message = "Could not send to the webhook of {OrganizationId}; it is tried again")]
    private static partial void LogBroken(ILogger logger, string organizationId, Exception exception);
}
