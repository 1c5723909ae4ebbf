using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;

namespace Tanjiren.Server.Tasks.Approvals;

/// <summary>
/// <c>GET /api/approvals/events</c>: the inbox of an organization as server-sent events. Level-triggered: every look compares what is pending now with what this reader
/// was told, so a hint that is lost, comes twice or from another server process changes only when it looks. That is why nothing is numbered: approvals of different
/// tasks are written side by side, without an order of their commits to resume in, and a reader that comes back is told the whole inbox in less than it takes to find out
/// what it missed.
/// </summary>
internal sealed class ApprovalStream(ApprovalStore store, TimeProvider clock, WakeUps wakeUps)
{
    /// <summary>Told between two questions whether the reader still may.</summary>
    private const int Batch = 32;

    private static readonly TimeSpan BetweenLooks = TimeSpan.FromMilliseconds(100);

    /// <summary>
    /// Writes events until the reader leaves or the server stops. <paramref name="stillAllowed"/> is asked before every look, and looked is whenever the reader's access
    /// may have changed: the stream ends with it, also while nothing happens.
    /// </summary>
    public async Task WriteAsync(HttpContext context, Caller reader, Func<Task<bool>> stillAllowed)
    {
        var response = context.Response;
        var aborted = context.RequestAborted;
        ServerSentEvents.Begin(response);
        using var subscription = wakeUps.Subscribe(WakeUps.Inbox(reader.OrganizationId), WakeUps.Access(reader.UserId));
        var known = new HashSet<string>(StringComparer.Ordinal);
        var current = false;
        var told = clock.GetTimestamp();

        while (true)
        {
            var pending = await store.PendingAsync(reader.OrganizationId, aborted);
            // What ended before what is new (a question that was asked anew), each oldest first.
            List<string> changed = [.. known.Except(pending).Order(StringComparer.Ordinal), .. pending.Where(id => !known.Contains(id)).Order(StringComparer.Ordinal)];
            for (var i = 0; ; i += Batch)
            {
                if (!await stillAllowed()) return;
                if (i >= changed.Count) break;
                var ids = changed.GetRange(i, Math.Min(Batch, changed.Count - i));
                var rows = await store.ListAsync(reader.OrganizationId, ids, aborted);
                foreach (var approval in rows)
                {
                    var isPending = approval.ParsedState == ApprovalState.Pending;
                    if (!(isPending ? known.Add(approval.Id) : known.Remove(approval.Id))) continue; // asked, and answered before it was told
                    await WriteEventAsync(response, isPending && !current ? ApprovalEvents.Pending : NameOf(approval), new ApprovalEventBody { Approval = approval.ToBody() });
                }
                // A reader so slow that what it knows was purged meanwhile can't be told what became of it: it begins anew.
                if (wakeUps.IsClosed || rows.Count < ids.Count) return;
            }
            if (wakeUps.IsClosed) return;
            if (!current) await WriteEventAsync(response, ApprovalEvents.Current, new ApprovalEventBody());
            if (changed.Count > 0 || !current) told = clock.GetTimestamp();
            current = true;
            await response.Body.FlushAsync(aborted);

            // Hints that change nothing for this reader must not keep the line silent.
            var silence = clock.GetElapsedTime(told);
            if (silence < ServerSentEvents.KeepAlive && await subscription.WaitAsync(ServerSentEvents.KeepAlive - silence, clock, aborted))
            {
                // In real time: many answers at once are one look.
                await Task.Delay(BetweenLooks, TimeProvider.System, aborted);
                continue;
            }
            if (wakeUps.IsClosed) return;
            await ServerSentEvents.WriteKeepAliveAsync(response);
            told = clock.GetTimestamp();
        }
    }

    /// <summary>What happened to it. One that somebody answered may have been used, or run out, since.</summary>
    private static string NameOf(ApprovalRow approval) => approval.ParsedState switch
    {
        ApprovalState.Pending => ApprovalEvents.Requested,
        ApprovalState.Rejected => ApprovalEvents.Rejected,
        ApprovalState.Withdrawn => ApprovalEvents.Withdrawn,
        _ when approval.DecidedBy is not null => ApprovalEvents.Approved,
        _ => ApprovalEvents.Expired,
    };

    private static Task WriteEventAsync(HttpResponse response, string name, ApprovalEventBody body) =>
        ServerSentEvents.WriteAsync(response, name, JsonSerializer.Serialize(body, WireJson.Default.ApprovalEventBody));
}
