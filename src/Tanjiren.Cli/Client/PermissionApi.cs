using Tanjiren.Protocol;

namespace Tanjiren.Cli.Client;

/// <summary>The routes of what coding agents ask.</summary>
internal sealed class PermissionApi(ApiClient api)
{
    /// <summary>All of this state and task, oldest first.</summary>
    public async Task<IReadOnlyList<PermissionBody>> ListAsync(string? state, string? taskId, CancellationToken cancellation)
    {
        var all = new List<PermissionBody>();
        string? cursor = null;
        do
        {
            var page = await api.GetAsync("/api/permissions" + Query.Of(("state", state), ("task", taskId), ("limit", WireLimits.MaxPageSize.ToString()), ("cursor", cursor)),
                WireJson.Default.PagePermissionBody, cancellation);
            all.AddRange(page.Items);
            cursor = page.NextCursor;
        }
        while (cursor is not null);
        return all;
    }

    public Task<PermissionBody> AnswerAsync(string id, AnswerPermissionRequest request, CancellationToken cancellation) =>
        api.SendAsync(HttpMethod.Post, $"/api/permissions/{Uri.EscapeDataString(id)}/answer", request, WireJson.Default.AnswerPermissionRequest, WireJson.Default.PermissionBody, cancellation);
}
