using Tanjiren.Protocol;

namespace Tanjiren.Cli.Client;

/// <summary>The worker routes. Each takes the id of a worker, or the id or name of its workstation.</summary>
internal sealed class WorkerApi(ApiClient api)
{
    public Task<WorkerBody> GetAsync(string id, CancellationToken cancellation) =>
        api.GetAsync("/api/workers/" + Uri.EscapeDataString(id), WireJson.Default.WorkerBody, cancellation);

    public Task<Page<WorkerBody>> ListAsync(string? tag, int limit, string? cursor, CancellationToken cancellation) =>
        api.GetAsync("/api/workers" + Query.Of(("tag", tag), ("limit", limit.ToString()), ("cursor", cursor)), WireJson.Default.PageWorkerBody, cancellation);
}
