using Tanjiren.Protocol;

namespace Tanjiren.Cli.Client;

/// <summary>The schedule routes.</summary>
internal sealed class ScheduleApi(ApiClient api)
{
    private const string Root = "/api/schedules";

    public Task<ScheduleBody> CreateAsync(CreateScheduleRequest request, CancellationToken cancellation) =>
        api.SendAsync(HttpMethod.Post, Root, request, WireJson.Default.CreateScheduleRequest, WireJson.Default.ScheduleBody, cancellation, Guid.NewGuid().ToString("N"));

    public async Task<IReadOnlyList<ScheduleBody>> ListAsync(CancellationToken cancellation)
    {
        var all = new List<ScheduleBody>();
        string? cursor = null;
        do
        {
            var page = await api.GetAsync(Root + Query.Of(("limit", WireLimits.MaxPageSize.ToString()), ("cursor", cursor)), WireJson.Default.PageScheduleBody, cancellation);
            all.AddRange(page.Items);
            cursor = page.NextCursor;
        }
        while (cursor is not null);
        return all;
    }

    /// <summary>By id or name.</summary>
    public async Task<ScheduleBody> GetAsync(string which, CancellationToken cancellation) => Ids.IsValid(which, Ids.Schedule)
        ? await api.GetAsync(Path(which), WireJson.Default.ScheduleBody, cancellation)
        : (await ListAsync(cancellation)).FirstOrDefault(s => s.Name == which)
            ?? throw new CliException($"there is no schedule '{Output.Text.Safe(which)}'", "`tanvrit-compute schedules list` shows them");

    public Task<ScheduleBody> UpdateAsync(string id, UpdateScheduleRequest request, CancellationToken cancellation) =>
        api.SendAsync(HttpMethod.Patch, Path(id), request, WireJson.Default.UpdateScheduleRequest, WireJson.Default.ScheduleBody, cancellation);

    public Task<ScheduleBody> PauseAsync(string id, string? reason, CancellationToken cancellation) =>
        api.SendAsync(HttpMethod.Post, Path(id) + "/pause", new PauseScheduleRequest { Reason = reason },
            WireJson.Default.PauseScheduleRequest, WireJson.Default.ScheduleBody, cancellation);

    public Task<ScheduleBody> ResumeAsync(string id, CancellationToken cancellation) => api.PostAsync(Path(id) + "/resume", WireJson.Default.ScheduleBody, cancellation);

    public Task<TaskBody> RunAsync(string id, CancellationToken cancellation) => api.PostAsync(Path(id) + "/run", WireJson.Default.TaskBody, cancellation);

    public Task<SchedulePreviewBody> PreviewAsync(string id, int? count, CancellationToken cancellation) =>
        api.GetAsync(Path(id) + "/preview" + Query.Of(("count", count?.ToString())), WireJson.Default.SchedulePreviewBody, cancellation);

    public Task DeleteAsync(string id, CancellationToken cancellation) => api.DeleteAsync(Path(id), cancellation);

    private static string Path(string id) => $"{Root}/{Uri.EscapeDataString(id)}";
}
