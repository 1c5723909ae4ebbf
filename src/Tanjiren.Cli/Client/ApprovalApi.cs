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

    public Task<TaskBody> ApproveAsync(string taskId, string? approvalId, string? reason, CancellationToken cancellation) => AnswerAsync(taskId, "approve", approvalId, reason, cancellation);

    public Task<TaskBody> RejectAsync(string taskId, string? approvalId, string? reason, CancellationToken cancellation) => AnswerAsync(taskId, "reject", approvalId, reason, cancellation);

    private Task<TaskBody> AnswerAsync(string taskId, string verb, string? approvalId, string? reason, CancellationToken cancellation) =>
        api.SendAsync(HttpMethod.Post, $"/api/tasks/{Uri.EscapeDataString(taskId)}/{verb}", new AnswerApprovalRequest { ApprovalId = approvalId, Reason = reason },
            WireJson.Default.AnswerApprovalRequest, WireJson.Default.TaskBody, cancellation);
}
