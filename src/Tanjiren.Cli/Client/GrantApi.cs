using Tanjiren.Protocol;

namespace Tanjiren.Cli.Client;

/// <summary>The routes of one's own sign-ins.</summary>
internal sealed class GrantApi(ApiClient api)
{
    public async Task<IReadOnlyList<GrantBody>> ListAsync(CancellationToken cancellation)
    {
        var all = new List<GrantBody>();
        string? cursor = null;
        do
        {
            var page = await api.GetAsync("/api/auth/grants" + Query.Of(("limit", WireLimits.MaxPageSize.ToString()), ("cursor", cursor)), WireJson.Default.PageGrantBody, cancellation);
            all.AddRange(page.Items);
            cursor = page.NextCursor;
        }
        while (cursor is not null);
        return all;
    }

    public Task RevokeAsync(string id, CancellationToken cancellation) => api.DeleteAsync("/api/auth/grants/" + Uri.EscapeDataString(id), cancellation);
}
