using System.Net;
using System.Text;
using Tanjiren.Protocol;
using Tanjiren.Tests;
using static Tanjiren.Server.Tests.Tasks.Http.TaskCalls;

namespace Tanjiren.Server.Tests.Tasks.Http;

/// <summary>Creating, listing, showing and cancelling tasks, as people do.</summary>
public sealed class TaskRouteTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_task_is_created_with_its_defaults_shown_and_listed_newest_first(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var made = new List<string>();
        for (var i = 0; i < 5; i++)
        {
            var response = await server.Client.PostJsonAsync("/api/tasks", On("box") with { Command = new CommandSpec { Shell = "echo " + i } });
            response.StatusCode.ShouldBe(HttpStatusCode.Created);
            var task = await response.BodyAsync<TaskBody>();
            response.Headers.Location!.ToString().ShouldBe("/api/tasks/" + task.Id);
            made.Insert(0, task.Id);
        }
        var shown = await server.Client.TaskAsync(made[0]);
        (shown.Intent, shown.State, shown.Mode, shown.MaxParallel, shown.TimeoutSeconds, shown.QueueTimeoutSeconds, shown.LeaseGraceSeconds, shown.OnWorkerLost)
            .ShouldBe(("echo 4", TaskState.Queued, TaskMode.Command, 1, 86_400, 604_800, 120, OnWorkerLost.Fail));
        var step = shown.Execution!.Steps.Single();
        (step.State, step.InstanceName, step.LeaseState, step.LeaseGeneration, step.Attempts).ShouldBe((StepState.Queued, "box", LeaseState.Free, 0, 0));

        var first = await server.Client.GetBodyAsync<Page<TaskBody>>("/api/tasks?limit=2");
        var newest = await server.Client.CreateTaskAsync(agent);
        var second = await server.Client.GetBodyAsync<Page<TaskBody>>("/api/tasks?limit=3&cursor=" + first.NextCursor);
        first.Items.Concat(second.Items).Select(t => t.Id).ShouldBe(made);
        (second.NextCursor, second.Items.All(t => t.Execution is null)).ShouldBe((null, true));

        await agent.ClaimAsync(newest.StepId());
        (await server.Client.GetBodyAsync<Page<TaskBody>>("/api/tasks?status=executing&mode=command")).Items.Select(t => t.Id).ShouldBe([newest.Id]);
        (await server.Client.GetBodyAsync<Page<TaskBody>>("/api/tasks?mode=prompt")).Items.ShouldBeEmpty();
        foreach (var worker in new[] { agent.InstanceId, "worker:" + agent.InstanceId })
            (await server.Client.GetBodyAsync<Page<TaskBody>>("/api/tasks?worker=" + worker)).Items.Count.ShouldBe(6);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Viewers_read_and_only_members_create_and_cancel(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        using var viewer = await server.NewMemberAsync(Role.Viewer);
        using var member = await server.NewMemberAsync(Role.Member);
        await viewer.PostJsonAsync("/api/tasks", On("box")).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
        var task = await member.CreateTaskAsync(agent);
        (await viewer.TaskAsync(task.Id)).CreatedBy.ShouldBe((await member.GetBodyAsync<IdentityBody>("/api/auth/me")).UserId);
        (await viewer.GetBodyAsync<Page<TaskBody>>("/api/tasks")).Items.Count.ShouldBe(1);
        (await viewer.GetBodyAsync<Page<LogChunkBody>>($"/api/tasks/{task.Id}/steps/{task.StepId()}/logs")).Items.ShouldBeEmpty();
        await using (var stream = await EventReader.OpenAsync(viewer, task.Id)) (await stream.ReadAsync())!.Name.ShouldBe("task");
        await viewer.CancelAsync(task.Id).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
        (await (await member.CancelAsync(task.Id)).BodyAsync<TaskBody>()).State.ShouldBe(TaskState.Cancelled);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_422_names_every_field_that_is_wrong(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        await server.NewInstanceAsync("box");
        async Task<IEnumerable<string>> FieldsAsync(CreateTaskRequest request) =>
            (await server.Client.PostJsonAsync("/api/tasks", request).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.Order();

        (await FieldsAsync(new())).ShouldBe(["command", "targets"]);
        (await FieldsAsync(On("box") with { Command = new() { Argv = ["a"], Shell = "b" } })).ShouldBe(["command"]);
        (await FieldsAsync(On("box") with { Command = new() { Argv = ["a", "b\0"] }, CodingAgent = "claude", Intent = " ", WorkingDirectory = "here", Priority = 101 }))
            .ShouldBe(["codingAgent", "command.argv[1]", "intent", "priority", "workingDirectory"]);
        (await FieldsAsync(On("box") with { Mode = TaskMode.Prompt })).ShouldBe(["command", "promptText"]);
        (await FieldsAsync(On("box") with { Mode = TaskMode.Prompt, Command = null, PromptText = "Why?", CodingAgent = "Claude Code" })).ShouldBe(["codingAgent"]);
        (await FieldsAsync(On("box") with { Mode = TaskMode.Investigate, Command = null, PromptText = "Why?" })).ShouldBe(["questions"]);
        (await FieldsAsync(On("box") with { MaxParallel = -1, StopAfterFailures = 0, TimeoutSeconds = 0, QueueTimeoutSeconds = 0, LeaseGraceSeconds = 3601 }))
            .ShouldBe(["leaseGraceSeconds", "maxParallel", "queueTimeoutSeconds", "stopAfterFailures", "timeoutSeconds"]);
        (await FieldsAsync(On("box") with
        {
            Environment = new Dictionary<string, string> { ["1A"] = "x", ["TANJIREN_X"] = "x" },
            EnvironmentFromMachine = ["a b"],
            Resources = new() { Cpu = 0, MemoryMb = 0, GpuCount = -1 },
        })).ShouldBe(["environment.1A", "environment.TANJIREN_X", "environmentFromMachine[0]", "resources.cpu", "resources.gpuCount", "resources.memoryMb"]);
        (await FieldsAsync(On("box", "nobody"))).ShouldBe(["targets.workstations[1]"]);
        (await FieldsAsync(AnyTagged("nothing"))).ShouldBe(["targets"]);
        foreach (var query in new[] { "status=running", "status=3", "status=queued,planned", "mode=1", "approval=maybe", "limit=0", "limit=201", "cursor=x", "worker=%00" })
            (await server.Client.GetAsync("/api/tasks?" + query, Cancelled).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed))
                .Errors!.Keys.ShouldBe([query.Split('=')[0]]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_idempotency_key_makes_one_task_and_refuses_another_body(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var first = await server.Client.PostWithKeyAsync(On("box"), "key-1");
        var again = await server.Client.PostWithKeyAsync(On("box"), "key-1");
        (first.StatusCode, again.StatusCode).ShouldBe((HttpStatusCode.Created, HttpStatusCode.OK));
        var task = await first.BodyAsync<TaskBody>();
        (await again.BodyAsync<TaskBody>()).Id.ShouldBe(task.Id);
        await server.Client.PostWithKeyAsync(On("box") with { Priority = 1 }, "key-1").ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.IdempotencyKeyReused);
        (await server.Client.PostWithKeyAsync(On("box"), "two words").ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed))
            .Errors!.Keys.ShouldBe(["Idempotency-Key"]);
        // A request that was refused leaves its key free.
        await server.Client.PostWithKeyAsync(On("later"), "key-2").ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed);
        await server.NewInstanceAsync("later");
        (await server.Client.PostWithKeyAsync(On("later"), "key-2")).StatusCode.ShouldBe(HttpStatusCode.Created);
        // Beyond a double: read as infinity, for which JSON has no word, and the digest of the request is made of JSON.
        using var infinite = new HttpRequestMessage(HttpMethod.Post, "/api/tasks") { Content = new StringContent("""{"command":{"shell":"true"},"resources":{"cpu":-1e400}}""", null, "application/json") };
        infinite.Headers.Add("Idempotency-Key", "key-3");
        (await server.Client.SendAsync(infinite, Cancelled).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldContain("resources.cpu");
        // Another person's key is another key.
        using var member = await server.NewMemberAsync(Role.Member);
        (await member.PostWithKeyAsync(On("box"), "key-1")).StatusCode.ShouldBe(HttpStatusCode.Created);
        // Two names in one text are none: read as the sum of their numbers, the digest had no word for it.
        using var sum = new HttpRequestMessage(HttpMethod.Post, "/api/tasks") { Content = new StringContent("""{"command":{"shell":"true"},"retry":{"maxAttempts":2,"on":["exitCode","cancelled, queueTimeout"]}}""", null, "application/json") };
        sum.Headers.Add("Idempotency-Key", "key-4");
        (await server.Client.SendAsync(sum, Cancelled).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe(["retry.on[1]"]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Requests_racing_with_one_key_make_one_task(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        await server.NewInstanceAsync("box");
        for (var round = 0; round < 10; round++)
        {
            var key = "round-" + round;
            var answers = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => server.Client.PostWithKeyAsync(On("box"), key)));
            answers.Count(a => a.StatusCode == HttpStatusCode.Created).ShouldBe(1);
            answers.Count(a => a.StatusCode == HttpStatusCode.OK).ShouldBe(3);
            (await Task.WhenAll(answers.Select(a => a.BodyAsync<TaskBody>()))).Select(t => t.Id).Distinct().Count().ShouldBe(1);
        }
        (await server.Client.GetBodyAsync<Page<TaskBody>>("/api/tasks")).Items.Count.ShouldBe(10);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Cancel_is_repeatable_asks_the_holder_and_conflicts_with_another_end(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var queued = await server.Client.CreateTaskAsync(agent);
        (await server.Client.CancelAsync(queued.Id, "\u0007").ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe(["reason"]);
        (await (await server.Client.PostAsync($"/api/tasks/{queued.Id}/cancel", null, Cancelled)).BodyAsync<TaskBody>()).State.ShouldBe(TaskState.Cancelled);
        (await (await server.Client.CancelAsync(queued.Id)).BodyAsync<TaskBody>()).State.ShouldBe(TaskState.Cancelled);

        var running = await server.Client.CreateTaskAsync(agent);
        await agent.ClaimAsync(running.StepId());
        var asked = await (await server.Client.CancelAsync(running.Id)).BodyAsync<TaskBody>();
        (asked.State, asked.CancelRequestedAt is not null, asked.Execution!.Steps[0].State).ShouldBe((TaskState.Executing, true, StepState.Running));
        await agent.CompleteAsync(running.StepId());
        (await server.Client.TaskAsync(running.Id)).State.ShouldBe(TaskState.Completed, "the process ended before the signal and keeps its own outcome");
        (await server.Client.CancelAsync(running.Id).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict)).CurrentState.ShouldBe("completed");
        await server.Client.CancelAsync("task_nobody").ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Malformed_foreign_and_huge_bodies_are_refused(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        await server.NewInstanceAsync("box");
        Task<HttpResponseMessage> PostAsync(string body, string type = "application/json") => server.Client.PostAsync("/api/tasks", new StringContent(body, Encoding.UTF8, type), Cancelled);
        string[] unreadable = ["", "null", "[]", "{", "nonsense", string.Concat(Enumerable.Repeat("{\"targets\":", 200))];
        foreach (var body in unreadable) await PostAsync(body).ProblemAsync(HttpStatusCode.BadRequest, ErrorCode.MalformedBody);
        string[] unfit = ["{\"command\":5}", "{\"maxParallel\":\"1\"}", "{\"mode\":\"dance\"}", "{\"mode\":2}", "{\"priority\":99999999999}", "{\"intent\":\"\\ud800\"}"];
        foreach (var body in unfit)
            (await PostAsync(body).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe([body.Split('"')[1]]);
        await PostAsync("{}", "text/plain").ProblemAsync(HttpStatusCode.UnsupportedMediaType, ErrorCode.UnsupportedMediaType);
        using var huge = new HttpRequestMessage(HttpMethod.Post, "/api/tasks") { Content = JsonHttp.Content(new CreateTaskRequest { Intent = new string('x', WireLimits.MaxBodyBytes) }) };
        huge.Headers.ExpectContinue = true;
        await server.Client.SendAsync(huge, Cancelled).ProblemAsync(HttpStatusCode.RequestEntityTooLarge, ErrorCode.BodyTooLarge);
        (await server.Client.GetAsync("/api/tasks?limit=many", Cancelled).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe(["limit"]);
        // What is unknown is ignored: an older server takes a newer client's request.
        (await PostAsync("{\"command\":{\"argv\":[\"true\"]},\"targets\":{\"workstations\":[\"box\"]},\"fromTheFuture\":{}}")).StatusCode.ShouldBe(HttpStatusCode.Created);
    }
}
