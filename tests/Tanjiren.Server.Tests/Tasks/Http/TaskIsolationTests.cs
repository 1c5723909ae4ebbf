using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Tests;
using static Tanjiren.Server.Tests.Tasks.Http.AgentCalls;

namespace Tanjiren.Server.Tests.Tasks.Http;

/// <summary>Nothing crosses organizations: what is another's is answered like what does not exist, on every task route.</summary>
public sealed class TaskIsolationTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task People_of_another_organization_find_nothing_and_move_nothing(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box", ["gpu"]);
        var (_, stranger) = await server.NewOrganizationAsync();
        using var own = await server.NewAgentAsync("own box", admin: stranger);
        var ownTask = await stranger.CreateTaskAsync(own);
        var task = await server.Client.CreateTaskAsync(agent);
        await agent.ClaimAsync(task.StepId());
        await agent.AppendAsync(task.StepId(), Chunk(1, "secret"));
        var before = await server.Client.TaskAsync(task.Id);

        foreach (var (method, path) in new[] { task.Id, Ids.New(Ids.Task, TimeProvider.System) }.SelectMany(id => new[]
        {
            (HttpMethod.Get, $"/api/tasks/{id}"), (HttpMethod.Post, $"/api/tasks/{id}/cancel"),
            (HttpMethod.Get, $"/api/tasks/{id}/steps/{task.StepId()}/logs"), (HttpMethod.Get, $"/api/tasks/{ownTask.Id}/steps/{task.StepId()}/logs"),
            (HttpMethod.Get, $"/api/tasks/{id}/events"),
        }))
        {
            using var request = new HttpRequestMessage(method, path);
            if (method == HttpMethod.Post) request.Content = JsonHttp.Content(new CancelTaskRequest());
            await stranger.SendAsync(request, Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        }
        (await stranger.GetBodyAsync<Page<TaskBody>>("/api/tasks")).Items.Select(t => t.Id).ShouldBe([ownTask.Id]);
        (await stranger.GetBodyAsync<Page<TaskBody>>($"/api/tasks?worker=worker:{agent.InstanceId}")).Items.ShouldBeEmpty();
        (await stranger.GetBodyAsync<Page<TaskBody>>($"/api/tasks?cursor={task.Id}")).Items.ShouldAllBe(t => t.Id == ownTask.Id);
        foreach (var name in new[] { agent.InstanceId, "box" })
            (await stranger.PostJsonAsync("/api/tasks", TaskCalls.On(name)).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed))
                .Errors!.Keys.ShouldBe(["targets.workstations[0]"]);
        (await stranger.PostJsonAsync("/api/tasks", TaskCalls.AnyTagged("gpu")).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed))
            .Errors!.Keys.ShouldBe(["targets"]);

        var after = await server.Client.TaskAsync(task.Id);
        (after.State, after.CancelRequestedAt, after.Execution!.Steps[0].LeaseGeneration).ShouldBe((before.State, null, before.Execution!.Steps[0].LeaseGeneration));
        stranger.Dispose();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Workstations_that_are_not_the_target_get_404_on_every_step_route(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box", ["gpu"]);
        using var neighbour = await server.NewAgentAsync("neighbour");
        var (_, admin) = await server.NewOrganizationAsync();
        using var foreign = await server.NewAgentAsync("foreign", ["gpu"], admin: admin);
        var queued = await server.Client.CreateTaskAsync(TaskCalls.AnyTagged("gpu"));
        var running = await server.Client.CreateTaskAsync(agent);
        await agent.ClaimAsync(running.StepId());

        foreach (var other in new[] { neighbour, foreign })
        {
            (await other.BeatAsync()).PendingTasks.ShouldBeEmpty();
            (await other.WorkAsync(0)).Assignments.ShouldBeEmpty();
            await other.TryClaimAsync(queued.StepId()).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
            await other.TryClaimAsync(running.StepId()).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
            await other.TryAppendAsync(running.StepId(), 1, Chunk(1, "x")).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
            await other.TryCompleteAsync(running.StepId(), Result(running.StepId())).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
            await other.TryReleaseAsync(running.StepId(), 1).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
            foreach (var route in new[] { "heartbeat", "sessions" })
                await other.PostAsync($"/api/instances/{agent.InstanceId}/{route}", new HeartbeatRequest()).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
            await other.GetAsync($"/api/instances/{agent.InstanceId}/work", "waitSeconds=0").ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        }
        (await server.Client.TaskAsync(running.Id)).Execution!.Steps[0].State.ShouldBe(StepState.Running);
        (await server.Client.TaskAsync(queued.Id)).State.ShouldBe(TaskState.Queued);
        admin.Dispose();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_same_idempotency_key_in_two_organizations_makes_two_tasks(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var (_, other) = await server.NewOrganizationAsync();
        using var otherAgent = await server.NewAgentAsync("box", admin: other);
        var first = await (await server.Client.PostWithKeyAsync(TaskCalls.On("box"), "key")).BodyAsync<TaskBody>();
        var second = await other.PostWithKeyAsync(TaskCalls.On("box"), "key");
        second.StatusCode.ShouldBe(HttpStatusCode.Created);
        (await second.BodyAsync<TaskBody>()).Id.ShouldNotBe(first.Id);
        other.Dispose();
    }
}
