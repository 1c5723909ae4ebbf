using Tanjiren.Protocol;

namespace Tanjiren.Server.Tests.Tasks.Http;

/// <summary>What people ask about tasks, for tests that play them.</summary>
internal static class TaskCalls
{
    public static CreateTaskRequest On(params string[] workstations) =>
        new() { Command = new CommandSpec { Argv = ["true"] }, Targets = new TargetSpec { Workstations = workstations } };

    public static CreateTaskRequest AnyTagged(string tag) => new() { Command = new CommandSpec { Argv = ["true"] }, Targets = new TargetSpec { Tags = [tag] } };

    public static async Task<TaskBody> CreateTaskAsync(this HttpClient client, CreateTaskRequest request) =>
        await (await client.PostJsonAsync("/api/tasks", request)).BodyAsync<TaskBody>();

    public static Task<TaskBody> CreateTaskAsync(this HttpClient client, DeviceClient agent) => client.CreateTaskAsync(On(agent.InstanceId));

    public static Task<TaskBody> TaskAsync(this HttpClient client, string id) => client.GetBodyAsync<TaskBody>("/api/tasks/" + id);

    public static Task<HttpResponseMessage> CancelAsync(this HttpClient client, string id, string? reason = null) =>
        client.PostJsonAsync($"/api/tasks/{id}/cancel", new CancelTaskRequest { Reason = reason });

    public static string StepId(this TaskBody task, int ordinal = 0) => task.Execution!.Steps[ordinal].Id;

    public static async Task<HttpResponseMessage> PostWithKeyAsync(this HttpClient client, CreateTaskRequest request, string key)
    {
        using var message = new HttpRequestMessage(HttpMethod.Post, "/api/tasks") { Content = JsonHttp.Content(request) };
        message.Headers.TryAddWithoutValidation("Idempotency-Key", key);
        return await client.SendAsync(message, TestContext.Current.CancellationToken);
    }
}
