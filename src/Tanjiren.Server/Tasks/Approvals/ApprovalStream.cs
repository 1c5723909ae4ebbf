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

        while (true)
        {
            if (!await stillAllowed()) return;
            var change = await store.ChangesAsync(reader.OrganizationId, known, Batch, aborted);
            foreach (var approval in change.Rows)
            {
                var pending = approval.ParsedState == ApprovalState.Pending;
                if (!(pending ? known.Add(approval.Id) : known.Remove(approval.Id))) continue; // asked, and answered before it was told
                await WriteEventAsync(response, pending && !current ? ApprovalEvents.Pending : NameOf(approval), new ApprovalEventBody { Approval = approval.ToBody() });
            }
            // A reader so slow that what it knows was purged meanwhile can't be told what became of it: it begins anew.
            if (wakeUps.IsClosed || change.Gone) return;
            if (change.More) continue;

            if (!current)
            {
                await WriteEventAsync(response, ApprovalEvents.Current, new ApprovalEventBody());
                current = true;
            }
            await response.Body.FlushAsync(aborted);
            if (!await subscription.WaitAsync(ServerSentEvents.KeepAlive, clock, aborted) && !wakeUps.IsClosed) await ServerSentEvents.WriteKeepAliveAsync(response);
        }
    }

    /// <summary>What happened to it. One that somebody answered may have been used, or run out, since.</summary>
    private static string NameOf(ApprovalRow approval) => approval.ParsedState switch
    {
        ApprovalState.Pending => ApprovalEvents.Requested,
        ApprovalState.Rejected => ApprovalEvents.Rejected,
        _ when approval.DecidedBy is not null => ApprovalEvents.Approved,
        ApprovalState.Expired => ApprovalEvents.Expired,
        _ => ApprovalEvents.Withdrawn,
    };

    private static Task WriteEventAsync(HttpResponse response, string name, ApprovalEventBody body) =>
        ServerSentEvents.WriteAsync(response, name, JsonSerializer.Serialize(body, WireJson.Default.ApprovalEventBody));
}
