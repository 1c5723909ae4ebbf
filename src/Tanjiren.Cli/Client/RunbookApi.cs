using Tanjiren.Protocol;

namespace Tanjiren.Cli.Client;

/// <summary>The runbook routes. Each takes an id or a name.</summary>
internal sealed class RunbookApi(ApiClient api)
{
    public Task<RunbookBody> CreateAsync(RunbookFields fields, CancellationToken cancellation) =>
        api.SendAsync(HttpMethod.Post, "/api/runbooks", fields, WireJson.Default.RunbookFields, WireJson.Default.RunbookBody, cancellation, Guid.NewGuid().ToString("N"));

    public Task<Page<RunbookBody>> ListAsync(string? status, CancellationToken cancellation) => Query.PagesAsync((limit, cursor) =>
        api.GetAsync("/api/runbooks" + Query.Of(("status", status), ("limit", limit.ToString()), ("cursor", cursor)), WireJson.Default.PageRunbookBody, cancellation));

    public Task<RunbookBody> GetAsync(string idOrName, CancellationToken cancellation) => api.GetAsync(Path(idOrName), WireJson.Default.RunbookBody, cancellation);

    public Task<RunbookBody> UpdateAsync(string idOrName, UpdateRunbookRequest request, CancellationToken cancellation) =>
        api.SendAsync(HttpMethod.Patch, Path(idOrName), request, WireJson.Default.UpdateRunbookRequest, WireJson.Default.RunbookBody, cancellation);

    public Task DeleteAsync(string idOrName, CancellationToken cancellation) => api.DeleteAsync(Path(idOrName), cancellation);

    private static string Path(string idOrName) => "/api/runbooks/" + Uri.EscapeDataString(idOrName);
}
