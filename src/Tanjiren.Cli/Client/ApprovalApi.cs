using System.Net.ServerSentEvents;
using System.Runtime.CompilerServices;
using System.Text.Json;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Client;

/// <summary>The approval routes.</summary>
internal sealed class ApprovalApi(ApiClient api)
{
    /// <summary>All of this state, oldest first.</summary>
    public async Task<IReadOnlyList<ApprovalBody>> ListAsync(string? state, CancellationToken cancellation)
    {
        var all = new List<ApprovalBody>();
        string? cursor = null;
        do
        {
            var page = await api.GetAsync("/api/approvals" + Query.Of(("state", state), ("limit", WireLimits.MaxPageSize.ToString()), ("cursor", cursor)),
                WireJson.Default.PageApprovalBody, cancellation);
            all.AddRange(page.Items);
            cursor = page.NextCursor;
        }
        while (cursor is not null);
        return all;
    }

    /// <summary>One connection's worth of what happens in the inbox: all that wait, <see cref="ApprovalEvents.Current"/>, then the news. It ends when the connection does.</summary>
    public async IAsyncEnumerable<ApprovalEvent> EventsAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        await using var stream = await api.OpenEventsAsync("/api/approvals/events", lastEventId: null, cancellation);
        var parser = SseParser.Create(stream, static (_, data) => JsonSerializer.Deserialize(data, WireJson.Default.ApprovalEventBody));
        await foreach (var item in parser.EnumerateAsync(cancellation)) yield return new ApprovalEvent(item.EventType, item.Data?.Approval, item.Data?.Permission);
    }

    public Task<TaskBody> ApproveAsync(string taskId, string? approvalId, string? reason, CancellationToken cancellation) => AnswerAsync(taskId, "approve", approvalId, reason, cancellation);

    public Task<TaskBody> RejectAsync(string taskId, string? approvalId, string? reason, CancellationToken cancellation) => AnswerAsync(taskId, "reject", approvalId, reason, cancellation);

    private Task<TaskBody> AnswerAsync(string taskId, string verb, string? approvalId, string? reason, CancellationToken cancellation) =>
        api.SendAsync(HttpMethod.Post, $"/api/tasks/{Uri.EscapeDataString(taskId)}/{verb}", new AnswerApprovalRequest { ApprovalId = approvalId, Reason = reason },
            WireJson.Default.AnswerApprovalRequest, WireJson.Default.TaskBody, cancellation);
}

/// <summary>An event of the inbox; its name may be one that this version does not know.</summary>
internal readonly record struct ApprovalEvent(string Name, ApprovalBody? Approval, PermissionBody? Permission);
