using Tanjiren.Protocol;

namespace Tanjiren.Cli.Client;

/// <summary>The investigation routes.</summary>
internal sealed class InvestigationApi(ApiClient api)
{
    public Task<InvestigationBody> CreateAsync(CreateInvestigationRequest request, CancellationToken cancellation) =>
        api.SendAsync(HttpMethod.Post, "/api/investigations", request, WireJson.Default.CreateInvestigationRequest, WireJson.Default.InvestigationBody, cancellation,
            Guid.NewGuid().ToString("N"));

    public Task<Page<InvestigationBody>> ListAsync(string? status, int wanted, CancellationToken cancellation) => Query.PagesAsync((limit, cursor) =>
        api.GetAsync("/api/investigations" + Query.Of(("status", status), ("limit", limit.ToString()), ("cursor", cursor)), WireJson.Default.PageInvestigationBody, cancellation), wanted);

    public Task<InvestigationBody> GetAsync(string id, CancellationToken cancellation) => api.GetAsync(Path(id), WireJson.Default.InvestigationBody, cancellation);

    public Task<InvestigationBody> UpdateAsync(string id, UpdateInvestigationRequest request, CancellationToken cancellation) =>
        api.SendAsync(HttpMethod.Patch, Path(id), request, WireJson.Default.UpdateInvestigationRequest, WireJson.Default.InvestigationBody, cancellation);

    public Task DeleteAsync(string id, CancellationToken cancellation) => api.DeleteAsync(Path(id), cancellation);

    private static string Path(string id) => "/api/investigations/" + Uri.EscapeDataString(id);
}
