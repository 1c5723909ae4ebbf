using Tanjiren.Protocol;

namespace Tanjiren.Cli.Client;

/// <summary>The routes of saved prompts. Each takes an id or a name.</summary>
internal sealed class PromptApi(ApiClient api)
{
    public Task<PromptBody> CreateAsync(CreatePromptRequest request, CancellationToken cancellation) =>
        api.SendAsync(HttpMethod.Post, "/api/prompts", request, WireJson.Default.CreatePromptRequest, WireJson.Default.PromptBody, cancellation, Guid.NewGuid().ToString("N"));

    public Task<Page<PromptBody>> ListAsync(string? tag, CancellationToken cancellation) => Query.PagesAsync((limit, cursor) =>
        api.GetAsync("/api/prompts" + Query.Of(("tag", tag), ("limit", limit.ToString()), ("cursor", cursor)), WireJson.Default.PagePromptBody, cancellation));

    public Task<PromptBody> GetAsync(string idOrName, CancellationToken cancellation) => api.GetAsync(Path(idOrName), WireJson.Default.PromptBody, cancellation);

    public Task<PromptBody> UpdateAsync(string idOrName, UpdatePromptRequest request, CancellationToken cancellation) =>
        api.SendAsync(HttpMethod.Patch, Path(idOrName), request, WireJson.Default.UpdatePromptRequest, WireJson.Default.PromptBody, cancellation);

    public Task DeleteAsync(string idOrName, CancellationToken cancellation) => api.DeleteAsync(Path(idOrName), cancellation);

    private static string Path(string idOrName) => "/api/prompts/" + Uri.EscapeDataString(idOrName);
}
