using Tanjiren.Protocol;

namespace Tanjiren.Cli.Client;

/// <summary>The routes of the doctrine of the organization that the credential acts in.</summary>
internal sealed class DoctrineApi(ApiClient api, OrganizationApi organizations)
{
    /// <summary>The newest version, or the one that is named.</summary>
    public async Task<DoctrineBody> GetAsync(int? version, CancellationToken cancellation) =>
        await api.GetAsync(await PathAsync(version is null ? "" : $"/versions/{version}", cancellation), WireJson.Default.DoctrineBody, cancellation);

    public async Task<DoctrineBody> SetAsync(SetDoctrineRequest request, CancellationToken cancellation) =>
        await api.SendAsync(HttpMethod.Put, await PathAsync("", cancellation), request, WireJson.Default.SetDoctrineRequest, WireJson.Default.DoctrineBody, cancellation);

    /// <summary>The newest ones first, at most so many.</summary>
    public async Task<IReadOnlyList<DoctrineVersionBody>> VersionsAsync(int limit, CancellationToken cancellation)
    {
        var path = await PathAsync("/versions", cancellation);
        var all = new List<DoctrineVersionBody>();
        string? cursor = null;
        do
        {
            var ask = Math.Min(limit - all.Count, WireLimits.MaxPageSize);
            var page = await api.GetAsync(path + Query.Of(("limit", ask.ToString()), ("cursor", cursor)), WireJson.Default.PageDoctrineVersionBody, cancellation);
            all.AddRange(page.Items);
            cursor = page.NextCursor;
        }
        while (cursor is not null && all.Count < limit);
        return all;
    }

    public async Task<DoctrineDecisionBody> EvaluateAsync(EvaluateDoctrineRequest request, CancellationToken cancellation) =>
        await api.SendAsync(HttpMethod.Post, await PathAsync("/evaluate", cancellation), request,
            WireJson.Default.EvaluateDoctrineRequest, WireJson.Default.DoctrineDecisionBody, cancellation);

    private async Task<string> PathAsync(string rest, CancellationToken cancellation) =>
        $"/api/organizations/{(await organizations.MeAsync(cancellation)).Organization.Id}/doctrine{rest}";
}
