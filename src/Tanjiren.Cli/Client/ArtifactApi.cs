using System.Security.Cryptography;

using Tanjiren.Protocol;

namespace Tanjiren.Cli.Client;

/// <summary>The artifact routes. <c>place</c> is a task or an investigation, by the form of its id.</summary>
internal sealed class ArtifactApi(ApiClient api)
{
    public Task<ArtifactBody> AddAsync(string place, CreateArtifactRequest request, CancellationToken cancellation) =>
        api.SendAsync(HttpMethod.Post, Of(place), request, WireJson.Default.CreateArtifactRequest, WireJson.Default.ArtifactBody, cancellation, Guid.NewGuid().ToString("N"));

    /// <summary>With its digest, so that bytes that were damaged on the way are not stored.</summary>
    public Task<ArtifactBody> UploadAsync(string place, byte[] bytes, string? title, string? fileName, string? mediaType, CancellationToken cancellation) =>
        api.PostBytesAsync(Of(place) + "/files" + Query.Of(("title", title), ("fileName", fileName), ("sha256", Convert.ToHexStringLower(SHA256.HashData(bytes)))),
            bytes, mediaType ?? "application/octet-stream", Guid.NewGuid().ToString("N"), WireJson.Default.ArtifactBody, cancellation);

    public Task<Page<ArtifactBody>> ListAsync(string place, CancellationToken cancellation) => Query.PagesAsync((limit, cursor) =>
        api.GetAsync(Of(place) + Query.Of(("limit", limit.ToString()), ("cursor", cursor)), WireJson.Default.PageArtifactBody, cancellation));

    public Task<ArtifactBody> GetAsync(string id, CancellationToken cancellation) => api.GetAsync(Path(id), WireJson.Default.ArtifactBody, cancellation);

    public Task<byte[]> ContentAsync(string id, CancellationToken cancellation) => api.GetBytesAsync(Path(id) + "/content", cancellation);

    public Task DeleteAsync(string id, CancellationToken cancellation) => api.DeleteAsync(Path(id), cancellation);

    private static string Of(string place) =>
        $"/api/{(place.StartsWith(Ids.Investigation, StringComparison.Ordinal) ? "investigations" : "tasks")}/{Uri.EscapeDataString(place)}/artifacts";

    private static string Path(string id) => "/api/artifacts/" + Uri.EscapeDataString(id);
}
