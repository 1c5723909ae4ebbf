using Tanjiren.Protocol;

namespace Tanjiren.Cli.Client;

/// <summary>The routes of the webhook of the organization that the credential acts in.</summary>
internal sealed class WebhookApi(ApiClient api, OrganizationApi organizations)
{
    public async Task<WebhookBody> GetAsync(CancellationToken cancellation) => await api.GetAsync(await PathAsync("", cancellation), WireJson.Default.WebhookBody, cancellation);

    public async Task<SavedWebhook> SetAsync(SetWebhookRequest request, CancellationToken cancellation) =>
        await api.SendAsync(HttpMethod.Put, await PathAsync("", cancellation), request, WireJson.Default.SetWebhookRequest, WireJson.Default.SavedWebhook, cancellation);

    public async Task RemoveAsync(CancellationToken cancellation) => await api.DeleteAsync(await PathAsync("", cancellation), cancellation);

    public async Task<WebhookDeliveryBody> TestAsync(CancellationToken cancellation) =>
        await api.PostAsync(await PathAsync("/test", cancellation), WireJson.Default.WebhookDeliveryBody, cancellation);

    /// <summary>The newest ones first, at most so many.</summary>
    public async Task<IReadOnlyList<WebhookDeliveryBody>> DeliveriesAsync(int limit, CancellationToken cancellation)
    {
        var path = await PathAsync("/deliveries", cancellation);
        var all = new List<WebhookDeliveryBody>();
        string? cursor = null;
        do
        {
            var ask = Math.Min(limit - all.Count, WireLimits.MaxPageSize);
            var page = await api.GetAsync(path + Query.Of(("limit", ask.ToString()), ("cursor", cursor)), WireJson.Default.PageWebhookDeliveryBody, cancellation);
            all.AddRange(page.Items);
            cursor = page.NextCursor;
        }
        while (cursor is not null && all.Count < limit);
        return all;
    }

    private async Task<string> PathAsync(string rest, CancellationToken cancellation) =>
        $"/api/organizations/{(await organizations.MeAsync(cancellation)).Organization.Id}/webhook{rest}";
}
