using Tanjiren.Protocol;
using Tanjiren.Server.Tests.Tasks.Http;

namespace Tanjiren.Server.Tests.Schedules;

/// <summary>What people ask about schedules.</summary>
internal static class ScheduleCalls
{
    public static CreateScheduleRequest Every(string cron, params string[] workstations) =>
        new() { Name = "every " + Guid.NewGuid().ToString("n"), Cron = cron, Task = TaskCalls.On(workstations) };

    public static async Task<ScheduleBody> CreateScheduleAsync(this HttpClient client, CreateScheduleRequest request) =>
        await (await client.PostJsonAsync("/api/schedules", request)).BodyAsync<ScheduleBody>();

    public static Task<ScheduleBody> ScheduleAsync(this HttpClient client, string id) => client.GetBodyAsync<ScheduleBody>("/api/schedules/" + id);

    public static async Task<HttpResponseMessage> SendWithKeyAsync<T>(this HttpClient client, string path, T? body, string key) where T : class
    {
        using var message = new HttpRequestMessage(HttpMethod.Post, path) { Content = body is null ? null : JsonHttp.Content(body) };
        message.Headers.TryAddWithoutValidation("Idempotency-Key", key);
        return await client.SendAsync(message, TestContext.Current.CancellationToken);
    }
}
