using System.Net;
using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Tests;
using static Tanjiren.Server.Tests.Tasks.Permissions.PermissionCalls;

namespace Tanjiren.Server.Tests.Tasks.Permissions;

/// <summary>A workstation's side of live approvals: the fence, repetitions, the hanging request, and what ends a question without an answer.</summary>
public sealed class StepPermissionTests
{
    /// <summary>Well inside the poll's time, and generous for a loaded machine: an answer within it was a wake-up.</summary>
    private static readonly TimeSpan AtOnce = TimeSpan.FromSeconds(WireLimits.MaxWaitSeconds / 2.0);

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_question_hangs_until_a_person_answers_it(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var (agent, task, step) = await server.RunPromptAsync();
        task.PermissionTimeoutSeconds.ShouldBe(600);
        var asked = Ask();
        var standing = await agent.AskAsync(step, asked);
        (standing.Id, standing.State, standing.Verdict).ShouldBe((asked.PermissionId, PermissionState.Pending, null));
        standing.RemainingMs!.Value.ShouldBeInRange(590_000, 600_000);
        (await agent.AwaitAsync(step, standing.Id)).State.ShouldBe(PermissionState.Pending);

        var hanging = agent.AwaitAsync(step, standing.Id, WireLimits.MaxWaitSeconds);
        var shown = (await server.Client.TaskAsync(task.Id)).Permissions!.Single();
        (shown.Id, shown.StepId, shown.LeaseGeneration, shown.InstanceName, shown.CodingAgent, shown.State).ShouldBe((standing.Id, step, 1, "box", "claude", PermissionState.Pending));
        (shown.Tool.Kind, shown.Tool.Title, shown.Tool.Arguments!.Value.GetProperty("command").GetString()).ShouldBe(("execute", "rm -r build", "rm -r build"));
        shown.Options.Select(o => (o.Id, o.Name, o.Kind)).ShouldBe(Options.Select(o => (o.Id, o.Name, o.Kind)));
        var answered = await server.Client.AnswerAsync(standing.Id, PermissionVerdict.Allow, reason: "it is built anew");
        (answered.State, answered.Verdict, answered.OptionId, answered.Reason).ShouldBe((PermissionState.Answered, PermissionVerdict.Allow, "yes", "it is built anew"));

        var heard = await hanging.WaitAsync(AtOnce, TimeProvider.System, Cancelled);
        (heard.State, heard.Verdict, heard.OptionId, heard.RemainingMs).ShouldBe((PermissionState.Answered, PermissionVerdict.Allow, "yes", null));
        heard.Because!.ShouldEndWith(": it is built anew");
        (await server.Client.TaskAsync(task.Id)).Permissions.ShouldBeNull();

        (await agent.SettleAsync(step, standing.Id, PermissionTold.Allow)).State.ShouldBe(PermissionState.Answered);
        (await server.Client.PermissionAsync(standing.Id)).Told.ShouldBe(PermissionTold.Allow);
        var audit = (await server.Client.GetBodyAsync<Page<AuditEventBody>>("/api/audit-events")).Items.Single(e => e.Action == "permission.allowed");
        (audit.Subject, audit.Detail!.Contains(standing.Id, StringComparison.Ordinal), audit.Detail.Contains("it is built anew", StringComparison.Ordinal)).ShouldBe((task.Id, true, true));
        agent.Dispose();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_repeated_question_is_the_same_one_and_another_under_its_id_is_refused(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var (agent, task, step) = await server.RunPromptAsync();
        var asked = Ask();
        await agent.AskAsync(step, asked);
        (await agent.AskAsync(step, asked)).State.ShouldBe(PermissionState.Pending);
        (await server.Client.GetBodyAsync<Page<PermissionBody>>("/api/permissions?task=" + task.Id)).Items.Count.ShouldBe(1);
        await agent.TryAskAsync(step, asked with { Tool = asked.Tool! with { Title = "rm -r /" } }).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict);

        await server.Client.AnswerAsync(asked.PermissionId!, PermissionVerdict.Deny);
        // The answer to the question was lost, and this is what its repetition gets.
        var again = await agent.AskAsync(step, asked);
        (again.State, again.Verdict, again.OptionId).ShouldBe((PermissionState.Answered, PermissionVerdict.Deny, "no"));

        var (other, _, elsewhere) = await server.RunPromptAsync(name: "other");
        await other.TryAskAsync(elsewhere, asked).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict);
        agent.Dispose();
        other.Dispose();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Only_the_holder_of_the_lease_asks_and_only_who_asked_hears(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var (agent, _, step) = await server.RunPromptAsync();
        using var stranger = await server.NewAgentAsync("stranger");
        var id = (await agent.AskAsync(step, Ask())).Id;

        await stranger.TryAskAsync(step, Ask()).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await stranger.TryAwaitAsync(step, id).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await stranger.PostAsync($"/api/steps/{step}/permissions/{id}/settle", new SettlePermissionRequest { Told = PermissionTold.Allow }).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await agent.TryAskAsync(step, Ask(generation: 2)).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await agent.TryAwaitAsync(step, Ids.New(Ids.Permission, TimeProvider.System)).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await agent.TryAwaitAsync(Ids.New(Ids.Step, TimeProvider.System), id).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);

        using var zombie = agent.Clone();
        zombie.SessionId = Ids.New(Ids.Session, TimeProvider.System);
        await zombie.TryAskAsync(step, Ask()).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.SessionEnded);
        await zombie.TryAwaitAsync(step, id).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.SessionEnded);

        await agent.CompleteAsync(step);
        (await agent.TryAskAsync(step, Ask()).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.LeaseLost)).CurrentState.ShouldBe("succeeded");
        // With the step its questions have ended, and whoever answers now is told so.
        (await agent.AwaitAsync(step, id)).State.ShouldBe(PermissionState.Withdrawn);
        (await server.Client.TryAnswerAsync(id, PermissionVerdict.Allow).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict)).CurrentState.ShouldBe("withdrawn");
        agent.Dispose();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_command_asks_nothing(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var task = await server.Client.CreateTaskAsync(agent);
        await agent.ClaimAsync(task.StepId());
        await agent.TryAskAsync(task.StepId(), Ask()).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict);
        (await server.Client.PostJsonAsync("/api/tasks", TaskCalls.On("box") with { PermissionTimeoutSeconds = 5 }).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed))
            .Errors!.Keys.ShouldBe(["permissionTimeoutSeconds"]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Without_an_answer_in_time_it_is_denied_and_who_answers_later_is_told_so(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = clock });
        var (agent, task, step) = await server.RunPromptAsync(r => r with { PermissionTimeoutSeconds = 30 });
        var asked = await agent.AskAsync(step, Ask());
        asked.RemainingMs.ShouldBe(30_000);
        using var second = agent.Clone();
        var hanging = second.AwaitAsync(step, asked.Id, WireLimits.MaxWaitSeconds);

        clock.Advance(TimeSpan.FromSeconds(30));
        // Not a moment later, whether a loop has come by or not.
        (await server.Client.TryAnswerAsync(asked.Id, PermissionVerdict.Allow).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict)).CurrentState.ShouldBe("expired");
        var heard = await hanging.WaitAsync(TimeSpan.FromSeconds(60), TimeProvider.System, Cancelled);
        (heard.State, heard.Verdict, heard.OptionId, heard.Because).ShouldBe((PermissionState.Expired, PermissionVerdict.Deny, "no", "nobody answered within 30 s"));
        (await server.Client.PermissionAsync(asked.Id)).ShouldSatisfyAllConditions(p => p.State.ShouldBe(PermissionState.Expired), p => p.AnsweredBy.ShouldBeNull());
        (await server.Client.TaskAsync(task.Id)).State.ShouldBe(TaskState.Executing);
        agent.Dispose();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_time_of_a_question_ends_also_when_its_machine_does_not_ask(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = clock });
        var (agent, _, step) = await server.RunPromptAsync(r => r with { PermissionTimeoutSeconds = 10 });
        var asked = await agent.AskAsync(step, Ask());
        clock.Advance(TimeSpan.FromSeconds(20));
        await Eventually.TrueAsync(async () => (await server.Client.PermissionAsync(asked.Id)).State == PermissionState.Expired);
        // It denied by itself, out of reach, and says so when it is back.
        await agent.SettleAsync(step, asked.Id, PermissionTold.Deny);
        (await server.Client.PermissionAsync(asked.Id)).Told.ShouldBe(PermissionTold.Deny);
        agent.Dispose();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_cancel_withdraws_what_is_asked_and_nothing_new_is(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var (agent, task, step) = await server.RunPromptAsync();
        var asked = await agent.AskAsync(step, Ask());
        var hanging = agent.AwaitAsync(step, asked.Id, WireLimits.MaxWaitSeconds);
        (await server.Client.CancelAsync(task.Id)).EnsureSuccessStatusCode();
        (await hanging.WaitAsync(AtOnce, TimeProvider.System, Cancelled)).State.ShouldBe(PermissionState.Withdrawn);
        (await agent.AskAsync(step, Ask())).State.ShouldBe(PermissionState.Withdrawn);
        (await server.Client.GetBodyAsync<Page<PermissionBody>>("/api/permissions?state=pending")).Items.ShouldBeEmpty();
        agent.Dispose();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_the_coding_agent_took_back_is_withdrawn(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var (agent, _, step) = await server.RunPromptAsync();
        var asked = await agent.AskAsync(step, Ask());
        (await agent.SettleAsync(step, asked.Id, PermissionTold.Withdrawn)).State.ShouldBe(PermissionState.Withdrawn);
        // Said again, because the answer was lost; and what was said first stays.
        (await agent.SettleAsync(step, asked.Id, PermissionTold.Allow)).State.ShouldBe(PermissionState.Withdrawn);
        (await server.Client.PermissionAsync(asked.Id)).Told.ShouldBe(PermissionTold.Withdrawn);
        (await server.Client.TryAnswerAsync(asked.Id, PermissionVerdict.Allow).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict)).CurrentState.ShouldBe("withdrawn");
        agent.Dispose();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_is_wrong_with_a_question_is_named(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var (agent, _, step) = await server.RunPromptAsync();
        async Task<IEnumerable<string>> FieldsAsync(AskPermissionRequest request) =>
            (await agent.TryAskAsync(step, request).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.Order(StringComparer.Ordinal);
        var good = Ask();
        (await FieldsAsync(new AskPermissionRequest())).ShouldBe(["leaseGeneration", "permissionId", "tool"]);
        (await FieldsAsync(good with { PermissionId = "prm_1", CodingAgent = "No!" })).ShouldBe(["codingAgent", "permissionId"]);
        (await FieldsAsync(good with { Tool = new PermissionTool { Title = "a\u001b[2J", Paths = [""], Kind = new string('k', 65) } })).ShouldBe(["tool.kind", "tool.paths[0]", "tool.title"]);
        var large = JsonDocument.Parse($"[\"{new string('x', WireLimits.MaxToolArgumentsBytes)}\"]").RootElement;
        (await FieldsAsync(good with { Tool = good.Tool! with { Arguments = large } })).ShouldBe(["tool.arguments"]);
        (await FieldsAsync(good with { Options = [.. Enumerable.Repeat(Options[0], 17)] })).ShouldBe(["options"]);
        (await FieldsAsync(good with { Options = [new() { Kind = "allow_once" }] })).ShouldBe(["options[0].id"]);
        (await agent.TryAwaitAsync(step, good.PermissionId!, 61).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe(["waitSeconds"]);

        for (var i = 0; i < 20; i++) await agent.AskAsync(step, Ask());
        await agent.TryAskAsync(step, good).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict);
        agent.Dispose();
    }

    /// <summary>Acceptance 8: the connection is cut while it hangs, the answer is given meanwhile, and the next request gets it; also from another server process.</summary>
    [Fact]
    public async Task An_answer_is_heard_through_another_server()
    {
        await using var database = await TestDatabase.CreateAsync(DatabaseKind.Postgres, ServerFixture.MigrateAsync);
        await using var server = await ServerFixture.StartAsync(database.Url);
        await using var second = await ServerFixture.StartAsync(database.Url);
        var (agent, _, step) = await server.RunPromptAsync();
        var asked = await agent.AskAsync(step, Ask());
        var hanging = agent.AwaitAsync(step, asked.Id, WireLimits.MaxWaitSeconds);
        using var there = second.NewClient(server.Client.DefaultRequestHeaders.Authorization!.Parameter);
        await there.AnswerAsync(asked.Id, PermissionVerdict.Allow);
        (await hanging.WaitAsync(AtOnce, TimeProvider.System, Cancelled)).Verdict.ShouldBe(PermissionVerdict.Allow);
        agent.Dispose();
    }
}
