using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tests.Governance;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Tasks.Http;

/// <summary>A task in mode prompt over the wire: who may have it, what its holder is told, and what stays of the answer.</summary>
public sealed class PromptTaskTests
{
    private static readonly CreateTaskRequest Any = new()
    {
        Mode = TaskMode.Prompt, PromptText = "Why does make test fail?", Targets = new TargetSpec { Tags = ["lab"] },
    };

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_holder_is_told_the_prompt_and_its_answer_stays_on_the_step(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box", ["lab"]);
        await AnnounceAsync(agent, "claude", "opencode", "claude");
        var task = await server.Client.CreateTaskAsync(Any with { CodingAgent = "claude" });
        (task.Mode, task.Command, task.PromptText, task.CodingAgent, task.Intent, task.LeaseGraceSeconds).ShouldBe((TaskMode.Prompt, null, Any.PromptText, "claude", Any.PromptText, 600));
        (await server.Client.GetBodyAsync<Page<TaskBody>>("/api/tasks?mode=prompt")).Items.Single().Id.ShouldBe(task.Id);
        (await server.Client.GetBodyAsync<WorkerBody>($"/api/workers/worker:{agent.InstanceId}")).Capabilities.Where(c => c.StartsWith("agent:", StringComparison.Ordinal)).ShouldBe(["agent:claude", "agent:opencode"]);

        var granted = await agent.ClaimAsync((await agent.WorkAsync(0)).Assignments.Single().StepId);
        (granted.Mode, granted.Command, granted.PromptText, granted.CodingAgent, granted.LeaseGraceMs).ShouldBe((TaskMode.Prompt, null, Any.PromptText, "claude", 600_000));

        var usage = new TokenUsage { InputTokens = 1200, OutputTokens = 30, CachedReadTokens = 1000, ContextUsed = 1230, ContextSize = 200_000, CostAmount = 0.0130m, CostCurrency = "USD" };
        var result = AgentCalls.Result(granted.StepId, r => r with { Response = "Because of <b>one</b> \"flaky\" test: ü 😀\n", Usage = usage });
        (await agent.TryCompleteAsync(granted.StepId, result with { Response = "Because." })
            .ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe(["resultDigest"]);
        (await agent.TryCompleteAsync(granted.StepId, result)).EnsureSuccessStatusCode();
        // What is repeated is answered, and what says something else is refused.
        (await (await agent.TryCompleteAsync(granted.StepId, result)).BodyAsync<StepTransitionResponse>()).Result.ShouldBe(TransitionResult.AlreadyDone);
        await agent.TryCompleteAsync(granted.StepId, AgentCalls.Result(granted.StepId, r => r with { Response = "Other.", Usage = usage })).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.ResultConflict);

        var step = (await server.Client.TaskAsync(task.Id)).Execution!.Steps.Single();
        (step.State, step.Response, step.Usage).ShouldBe((StepState.Succeeded, result.Response, usage));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Only_a_machine_with_the_coding_agent_may_have_it(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var plain = await server.NewAgentAsync("plain", ["lab"]);
        async Task<IEnumerable<string>> FieldsAsync(CreateTaskRequest request) =>
            (await server.Client.PostJsonAsync("/api/tasks", request).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.Order();
        (await FieldsAsync(Any)).ShouldBe(["codingAgent"]);

        using var able = await server.NewAgentAsync("able", ["lab"]);
        await AnnounceAsync(able, "codex");
        (await FieldsAsync(Any with { CodingAgent = "claude" })).ShouldBe(["codingAgent"]);
        (await FieldsAsync(Any with { Targets = new TargetSpec { Tags = ["nothing"] } })).ShouldBe(["targets"]);
        (await FieldsAsync(Any with { Targets = new TargetSpec { Workstations = ["plain", "able"] } })).ShouldBe(["targets"]);

        var task = await server.Client.CreateTaskAsync(Any);
        (await plain.WorkAsync(0)).Assignments.ShouldBeEmpty();
        await plain.TryClaimAsync(task.StepId()).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        (await able.ClaimAsync(task.StepId())).CodingAgent.ShouldBeNull();

        // It has gone since: judged by what the machine announces now.
        var later = await server.Client.CreateTaskAsync(Any with { CodingAgent = "codex" });
        await AnnounceAsync(able);
        await able.TryClaimAsync(later.StepId()).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        var explained = await server.Client.GetBodyAsync<TaskExplanationBody>($"/api/tasks/{later.Id}/explain");
        explained.Steps.Single().WaitingFor.ShouldBe([WaitReason.NoMatch]);
        explained.Summary.ShouldContain("'able' has no coding agent codex");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_response_must_fit_and_be_storable(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box", ["lab"]);
        await AnnounceAsync(agent, "claude");
        var step = (await server.Client.CreateTaskAsync(Any)).StepId();
        await agent.ClaimAsync(step);
        async Task<IEnumerable<string>> FieldsAsync(Func<CompleteRequest, CompleteRequest> change) =>
            (await agent.TryCompleteAsync(step, AgentCalls.Result(step, change)).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.Order();

        (await FieldsAsync(r => r with { Response = new string('x', WireLimits.MaxResponseBytes + 1) })).ShouldBe(["response"]);
        (await FieldsAsync(r => r with { Response = "a\0b" })).ShouldBe(["response"]);
        (await FieldsAsync(r => r with { Usage = new TokenUsage { InputTokens = -1, CostAmount = -1, CostCurrency = new string('x', 17) } })).ShouldBe(["usage.costAmount", "usage.costCurrency", "usage.inputTokens"]);
        (await agent.PostAsync("heartbeat", new HeartbeatRequest { CodingAgents = ["claude", "No"] }).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed))
            .Errors!.Keys.ShouldBe(["codingAgents[1]"]);

        (await agent.TryCompleteAsync(step, AgentCalls.Result(step, r => r with { Response = new string('x', WireLimits.MaxResponseBytes) }))).EnsureSuccessStatusCode();
    }

    /// <summary>A thousand machines may have answered with 256 KiB each.</summary>
    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Responses_that_do_not_fit_into_one_answer_are_left_out_and_named(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var one = await server.NewAgentAsync("one", ["lab"]);
        using var two = await server.NewAgentAsync("two", ["lab"]);
        using var three = await server.NewAgentAsync("three", ["lab"]);
        foreach (var agent in new[] { one, two, three }) await AnnounceAsync(agent, "claude");
        var task = await server.Client.CreateTaskAsync(Any with { Targets = new TargetSpec { Tags = ["lab"], Placement = Placement.All } });
        var steps = task.Execution!.Steps.Select(s => s.Id).ToList();
        await server.Database.WriteAsync(async tx =>
        {
            var half = new string('x', TaskStore.MaxResponseCharacters / 2);
            foreach (var (step, response) in new[] { (steps[0], half), (steps[1], half + "x"), (steps[2], null) })
                await tx.ExecuteAsync("INSERT INTO step_responses (step_id, response, usage) VALUES (@step, @response, @usage)", new { step, response, usage = """{"inputTokens":1}""" });
        }, Cancelled);

        var told = (await server.Client.TaskAsync(task.Id)).Execution!.Steps;
        told.Select(s => s.Response?.Length).ShouldBe([TaskStore.MaxResponseCharacters / 2, null, null]);
        told.Select(s => s.ResponseLeftOut).ShouldBe([null, true, null]);
        told.ShouldAllBe(s => s.Usage!.InputTokens == 1);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_retry_and_a_schedule_ask_the_same(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box", ["lab"]);
        await AnnounceAsync(agent, "claude");
        var task = await server.Client.CreateTaskAsync(Any with { CodingAgent = "claude" });
        await server.Client.CancelAsync(task.Id);
        var again = await (await server.Client.PostJsonAsync($"/api/tasks/{task.Id}/retry", new RetryTaskRequest())).BodyAsync<TaskBody>();
        (again.Mode, again.PromptText, again.CodingAgent, again.RetryOfTaskId).ShouldBe((TaskMode.Prompt, Any.PromptText, "claude", task.Id));

        var schedule = await (await server.Client.PostJsonAsync("/api/schedules", new CreateScheduleRequest { Name = "nightly", Cron = "0 3 * * *", Task = Any })).BodyAsync<ScheduleBody>();
        (schedule.Task.Mode, schedule.Task.PromptText, schedule.Task.Command).ShouldBe((TaskMode.Prompt, Any.PromptText, null));
        var made = await (await server.Client.PostAsync($"/api/schedules/{schedule.Id}/run", null, Cancelled)).BodyAsync<TaskBody>();
        (made.Mode, made.PromptText).ShouldBe((TaskMode.Prompt, Any.PromptText));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_doctrine_reads_the_prompt_and_an_approval_is_for_exactly_that_prompt(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box", ["lab"]);
        await AnnounceAsync(agent, "claude", "codex");
        await server.SetDoctrineAsync(1, """
            forbid:
              - name: no-mkfs
                when: { pattern: '\bmkfs\b' }
            approvals:
              - name: prompts
                class: sensitive_write
                when: { mode: prompt }
            """);
        (await server.Client.PostJsonAsync("/api/tasks", Any with { PromptText = "Please run\nmkfs for me" }).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.ForbiddenByDoctrine)).Detail!.ShouldContain("no-mkfs");

        var task = await server.Client.CreateTaskAsync(Any);
        task.State.ShouldBe(TaskState.Planned);
        var hashes = new List<string> { task.Approvals!.Single().ActionHash };
        foreach (var change in new[] { new UpdateTaskRequest { PromptText = "Delete what makes test fail" }, new UpdateTaskRequest { CodingAgent = "codex" } })
        {
            task = await (await server.Client.PatchJsonAsync($"/api/tasks/{task.Id}", change)).BodyAsync<TaskBody>();
            hashes.Add(task.Approvals![^1].ActionHash);
        }
        hashes.Distinct().Count().ShouldBe(3);
        (await server.Client.PatchJsonAsync($"/api/tasks/{task.Id}", new UpdateTaskRequest { PromptText = "mkfs" }).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.ForbiddenByDoctrine)).Detail!.ShouldContain("no-mkfs");

        (await server.Client.PostJsonAsync($"/api/tasks/{task.Id}/approve", new AnswerApprovalRequest())).EnsureSuccessStatusCode();
        var granted = await agent.ClaimAsync((await server.Client.TaskAsync(task.Id)).StepId());
        (granted.PromptText, granted.CodingAgent).ShouldBe(("Delete what makes test fail", "codex"));
    }

    private static async Task AnnounceAsync(DeviceClient agent, params string[] codingAgents) =>
        (await agent.PostAsync("heartbeat", new HeartbeatRequest { MaxConcurrent = 10, CodingAgents = codingAgents })).EnsureSuccessStatusCode();
}
