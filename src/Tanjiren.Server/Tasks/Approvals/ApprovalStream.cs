using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Tasks.Permissions;

namespace Tanjiren.Server.Tasks.Approvals;

/// <summary>
/// <c>GET /api/approvals/events</c>: the inbox of an organization as server-sent events: the approvals of tasks, and what coding agents ask. Level-triggered: every look compares what is pending now with what this reader
/// was told, so a hint that is lost, comes twice or from another server process changes only when it looks. That is why nothing is numbered: approvals of different
/// tasks are written side by side, without an order of their commits to resume in, and a reader that comes back is told the whole inbox in less than it takes to find out
/// what it missed.
/// </summary>
internal sealed class ApprovalStream(ApprovalStore approvals, PermissionStore permissions, TimeProvider clock, WakeUps wakeUps)
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
            string[] pending = [.. await approvals.PendingAsync(reader.OrganizationId, aborted), .. await permissions.PendingAsync(reader.OrganizationId, aborted)];
            // What ended before what is new (a question that was asked anew), each oldest first.
            List<string> changed = [.. known.Except(pending).Order(StringComparer.Ordinal), .. pending.Where(id => !known.Contains(id)).Order(StringComparer.Ordinal)];
            for (var i = 0; ; i += Batch)
            {
                if (!await stillAllowed()) return;
                if (i >= changed.Count) break;
                var ids = changed.GetRange(i, Math.Min(Batch, changed.Count - i));
                var items = await ReadAsync(reader.OrganizationId, ids, aborted);
                foreach (var item in items)
                {
                    if (!(item.IsPending ? known.Add(item.Id) : known.Remove(item.Id))) continue; // asked, and answered before it was told
                    await WriteEventAsync(response, item.IsPending && !current ? ApprovalEvents.Pending : item.Name, item.Body);
                }
                // A reader so slow that what it knows was purged meanwhile can't be told what became of it: it begins anew.
                if (wakeUps.IsClosed || items.Count < ids.Count) return;
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

    /// <summary>These as they are now, what ended before what waits. Fewer, when some were deleted with their tasks.</summary>
    private async Task<IReadOnlyList<Item>> ReadAsync(string organizationId, List<string> ids, CancellationToken cancellationToken)
    {
        var items = new List<Item>();
        var asked = ids.FindAll(id => id.StartsWith(Ids.Permission, StringComparison.Ordinal));
        if (asked.Count < ids.Count)
            items.AddRange((await approvals.ListAsync(organizationId, ids, cancellationToken)).Select(a => new Item(a.Id, a.ParsedState == ApprovalState.Pending, NameOf(a), new ApprovalEventBody { Approval = a.ToBody() })));
        if (asked.Count > 0)
            items.AddRange((await permissions.ListAsync(organizationId, asked, cancellationToken)).Select(p => new Item(p.Id, p.IsPending, NameOf(p), new ApprovalEventBody { Permission = p.ToBody() })));
        return [.. items.OrderBy(i => i.IsPending)];
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

    private static string NameOf(PermissionRow permission) => permission.ParsedState switch
    {
        PermissionState.Pending => PermissionEvents.Asked,
        PermissionState.Answered => PermissionEvents.Answered,
        PermissionState.Expired => PermissionEvents.Expired,
        _ => PermissionEvents.Withdrawn,
    };

    private static Task WriteEventAsync(HttpResponse response, string name, ApprovalEventBody body) =>
        ServerSentEvents.WriteAsync(response, name, JsonSerializer.Serialize(body, WireJson.Default.ApprovalEventBody));

    /// <param name="Id">Of which kind it is, its prefix says.</param>
    /// <param name="IsPending">It waits for an answer now.</param>
    /// <param name="Name">Of the event that tells it as news.</param>
    /// <param name="Body">What is told.</param>
    private sealed record Item(string Id, bool IsPending, string Name, ApprovalEventBody Body);
}
