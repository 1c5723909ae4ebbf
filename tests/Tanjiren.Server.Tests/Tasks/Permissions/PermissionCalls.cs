using System.Text.Json;
using System.Text.Json.Nodes;
using Tanjiren.Protocol;
using Tanjiren.Server.Tests.Tasks.Http;

namespace Tanjiren.Server.Tests.Tasks.Permissions;

/// <summary>What an agent and people say about a coding agent's questions, for tests that play them.</summary>
internal static class PermissionCalls
{
    public static readonly PermissionOptionBody[] Options =
    [
        new() { Id = "0", Name = "Always", Kind = "allow_always" }, new() { Id = "yes", Name = "Yes", Kind = "allow_once" }, new() { Id = "no", Name = "No", Kind = "reject_once" },
    ];

    /// <summary>A paired workstation with a coding agent that runs the only step of a prompt.</summary>
    public static async Task<(DeviceClient Agent, TaskBody Task, string StepId)> RunPromptAsync(
        this ServerFixture server, Func<CreateTaskRequest, CreateTaskRequest>? change = null, HttpClient? by = null, string name = "box", string[]? tags = null, HttpClient? approver = null)
    {
        var agent = await server.NewAgentAsync(name, tags, admin: null);
        (await agent.PostAsync("heartbeat", new HeartbeatRequest { MaxConcurrent = 10, CodingAgents = ["claude"] })).EnsureSuccessStatusCode();
        var request = new CreateTaskRequest { Mode = TaskMode.Prompt, PromptText = "Tidy up", Targets = new TargetSpec { Workstations = [agent.InstanceId] } };
        var task = await (by ?? server.Client).CreateTaskAsync(change?.Invoke(request) ?? request);
        if (approver is not null) task = await (await approver.PostJsonAsync($"/api/tasks/{task.Id}/approve", new AnswerApprovalRequest())).BodyAsync<TaskBody>();
        await agent.ClaimAsync(task.StepId());
        return (agent, task, task.StepId());
    }

    public static AskPermissionRequest Ask(string command = "rm -r build", string kind = "execute", string? id = null, long generation = 1) => new()
    {
        LeaseGeneration = generation,
        PermissionId = id ?? Ids.New(Ids.Permission, TimeProvider.System),
        CodingAgent = "claude",
        Tool = new PermissionTool { CallId = "t1", Kind = kind, Title = command, Arguments = JsonDocument.Parse(new JsonObject { ["command"] = command }.ToJsonString()).RootElement },
        Options = Options,
    };

    public static Task<HttpResponseMessage> TryAskAsync(this DeviceClient agent, string stepId, AskPermissionRequest request) => agent.PostAsync($"/api/steps/{stepId}/permissions", request);

    public static async Task<PermissionStanding> AskAsync(this DeviceClient agent, string stepId, AskPermissionRequest request) =>
        await (await agent.TryAskAsync(stepId, request)).BodyAsync<PermissionStanding>();

    public static Task<HttpResponseMessage> TryAwaitAsync(this DeviceClient agent, string stepId, string id, int waitSeconds = 0) =>
        agent.GetAsync($"/api/steps/{stepId}/permissions/{id}", $"waitSeconds={waitSeconds}");

    public static async Task<PermissionStanding> AwaitAsync(this DeviceClient agent, string stepId, string id, int waitSeconds = 0) =>
        await (await agent.TryAwaitAsync(stepId, id, waitSeconds)).BodyAsync<PermissionStanding>();

    public static async Task<PermissionStanding> SettleAsync(this DeviceClient agent, string stepId, string id, PermissionTold told) =>
        await (await agent.PostAsync($"/api/steps/{stepId}/permissions/{id}/settle", new SettlePermissionRequest { Told = told })).BodyAsync<PermissionStanding>();

    public static Task<HttpResponseMessage> TryAnswerAsync(this HttpClient client, string id, PermissionVerdict? verdict, string? optionId = null, string? reason = null) =>
        client.PostJsonAsync($"/api/permissions/{id}/answer", new AnswerPermissionRequest { Verdict = verdict, OptionId = optionId, Reason = reason });

    public static async Task<PermissionBody> AnswerAsync(this HttpClient client, string id, PermissionVerdict? verdict, string? optionId = null, string? reason = null) =>
        await (await client.TryAnswerAsync(id, verdict, optionId, reason)).BodyAsync<PermissionBody>();

    public static Task<PermissionBody> PermissionAsync(this HttpClient client, string id) => client.GetBodyAsync<PermissionBody>("/api/permissions/" + id);
}
