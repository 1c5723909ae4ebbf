using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Server.Tests.Governance;
using Tanjiren.Server.Tests.Tasks.Approvals;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Tests;
using static Tanjiren.Server.Tests.Tasks.Permissions.PermissionCalls;

namespace Tanjiren.Server.Tests.Tasks.Permissions;

/// <summary>People's side of live approvals: who may answer and how, races, the lists and streams, and the doctrine's own answers.</summary>
public sealed class PermissionAnswerTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Members_answer_for_free_tasks_and_viewers_only_read(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var viewer = await server.NewMemberAsync(Role.Viewer);
        using var member = await server.NewMemberAsync(Role.Member);
        var (agent, _, step) = await server.RunPromptAsync();
        var id = (await agent.AskAsync(step, Ask())).Id;
        (await viewer.PermissionAsync(id)).State.ShouldBe(PermissionState.Pending);
        await viewer.TryAnswerAsync(id, PermissionVerdict.Deny).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
        (await member.AnswerAsync(id, PermissionVerdict.Allow)).AnsweredBy.ShouldNotBeNull();
        agent.Dispose();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task To_allow_takes_the_role_that_approves_such_a_task_and_to_deny_does_not(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var member = await server.NewMemberAsync(Role.Member);
        using var admin = await server.NewMemberAsync(Role.Admin);
        var (agent, _, step) = await server.RunPromptAsync(r => r with { ApprovalClass = ApprovalClass.ProductionMutation }, by: admin, approver: server.Client);
        var id = (await agent.AskAsync(step, Ask())).Id;
        (await server.Client.PermissionAsync(id)).ApprovalClass.ShouldBe(ApprovalClass.ProductionMutation);
        await member.TryAnswerAsync(id, PermissionVerdict.Allow).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
        // Two people were to watch over it: whose task it is does not allow what it does.
        await admin.TryAnswerAsync(id, PermissionVerdict.Allow).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.OwnApproval);
        (await server.Client.AnswerAsync(id, PermissionVerdict.Allow)).Verdict.ShouldBe(PermissionVerdict.Allow);

        var second = (await agent.AskAsync(step, Ask())).Id;
        (await member.AnswerAsync(second, PermissionVerdict.Deny)).Verdict.ShouldBe(PermissionVerdict.Deny);
        var third = (await agent.AskAsync(step, Ask())).Id;
        (await admin.AnswerAsync(third, PermissionVerdict.Deny)).Verdict.ShouldBe(PermissionVerdict.Deny);
        agent.Dispose();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Who_is_alone_says_why(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var agent = await server.NewAgentAsync("box");
        (await agent.PostAsync("heartbeat", new HeartbeatRequest { MaxConcurrent = 10, CodingAgents = ["claude"] })).EnsureSuccessStatusCode();
        var task = await server.Client.CreateTaskAsync(new CreateTaskRequest { Mode = TaskMode.Prompt, PromptText = "x", ApprovalClass = ApprovalClass.ProductionMutation, Targets = new TargetSpec { Workstations = ["box"] } });
        task = await (await server.Client.PostJsonAsync($"/api/tasks/{task.Id}/approve", new AnswerApprovalRequest { Reason = "alone" })).BodyAsync<TaskBody>();
        await agent.ClaimAsync(task.StepId());
        var id = (await agent.AskAsync(task.StepId(), Ask())).Id;
        (await server.Client.TryAnswerAsync(id, PermissionVerdict.Allow).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe(["reason"]);
        (await server.Client.AnswerAsync(id, PermissionVerdict.Allow, reason: "I know what I do")).Reason.ShouldBe("I know what I do");
        agent.Dispose();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_answer_is_a_verdict_or_an_option(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var (agent, _, step) = await server.RunPromptAsync();
        var id = (await agent.AskAsync(step, Ask())).Id;
        async Task<IEnumerable<string>> FieldsAsync(string of, PermissionVerdict? verdict, string? option, string? reason = null) =>
            (await server.Client.TryAnswerAsync(of, verdict, option, reason).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys;
        (await FieldsAsync(id, null, null)).ShouldBe(["verdict"]);
        (await FieldsAsync(id, null, "maybe")).ShouldBe(["optionId"]);
        (await FieldsAsync(id, PermissionVerdict.Deny, "yes")).ShouldBe(["verdict"]);
        (await FieldsAsync(id, PermissionVerdict.Allow, null, "\u0001")).ShouldBe(["reason"]);
        (await server.Client.AnswerAsync(id, null, "0")).ShouldSatisfyAllConditions(p => p.Verdict.ShouldBe(PermissionVerdict.Allow), p => p.OptionId.ShouldBe("0"));

        // Where nothing is offered for this once, nobody says yes to more than was asked without naming it.
        var lasting = (await agent.AskAsync(step, Ask() with { Options = [Options[0], new PermissionOptionBody { Id = "odd", Kind = "perhaps" }] })).Id;
        (await FieldsAsync(lasting, PermissionVerdict.Allow, null)).ShouldBe(["verdict"]);
        (await FieldsAsync(lasting, null, "odd")).ShouldBe(["optionId"]);
        (await server.Client.AnswerAsync(lasting, PermissionVerdict.Deny)).ShouldSatisfyAllConditions(p => p.Verdict.ShouldBe(PermissionVerdict.Deny), p => p.OptionId.ShouldBeNull());
        agent.Dispose();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Of_two_who_answer_at_once_one_does_and_the_other_is_told(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var member = await server.NewMemberAsync(Role.Member);
        var (agent, _, step) = await server.RunPromptAsync();
        for (var round = 0; round < 5; round++)
        {
            var id = (await agent.AskAsync(step, Ask())).Id;
            var answers = await Task.WhenAll(server.Client.TryAnswerAsync(id, PermissionVerdict.Allow), member.TryAnswerAsync(id, PermissionVerdict.Deny));
            answers.Count(a => a.StatusCode == HttpStatusCode.OK).ShouldBe(1);
            var won = (await answers.Single(a => a.StatusCode == HttpStatusCode.OK).BodyAsync<PermissionBody>()).Verdict;
            (await answers.Single(a => a.StatusCode != HttpStatusCode.OK).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict)).CurrentState.ShouldBe("answered");
            (await agent.AwaitAsync(step, id)).Verdict.ShouldBe(won);
            // The same answer of the same person again is that answer: its own was lost on the way.
            var winner = won == PermissionVerdict.Allow ? server.Client : member;
            (await winner.AnswerAsync(id, won)).Verdict.ShouldBe(won);
        }
        agent.Dispose();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Nothing_crosses_organizations(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var (agent, task, step) = await server.RunPromptAsync();
        var id = (await agent.AskAsync(step, Ask())).Id;
        var (_, stranger) = await server.NewOrganizationAsync();
        foreach (var any in new[] { id, Ids.New(Ids.Permission, TimeProvider.System) })
        {
            await stranger.GetAsync("/api/permissions/" + any, Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
            await stranger.TryAnswerAsync(any, PermissionVerdict.Allow).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        }
        (await stranger.GetBodyAsync<Page<PermissionBody>>("/api/permissions")).Items.ShouldBeEmpty();
        (await stranger.GetBodyAsync<Page<PermissionBody>>("/api/permissions?task=" + task.Id)).Items.ShouldBeEmpty();
        (await server.Client.PermissionAsync(id)).State.ShouldBe(PermissionState.Pending);
        stranger.Dispose();
        agent.Dispose();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_list_is_paged_and_filtered(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var (agent, task, step) = await server.RunPromptAsync();
        var ids = new List<string>();
        for (var i = 0; i < 3; i++) ids.Add((await agent.AskAsync(step, Ask("step " + i))).Id);
        await server.Client.AnswerAsync(ids[0], PermissionVerdict.Deny);
        var first = await server.Client.GetBodyAsync<Page<PermissionBody>>($"/api/permissions?task={task.Id}&limit=2");
        var second = await server.Client.GetBodyAsync<Page<PermissionBody>>($"/api/permissions?task={task.Id}&limit=2&cursor={first.NextCursor}");
        first.Items.Concat(second.Items).Select(p => p.Id).ShouldBe(ids.Order(StringComparer.Ordinal));
        second.NextCursor.ShouldBeNull();
        (await server.Client.GetBodyAsync<Page<PermissionBody>>("/api/permissions?state=answered")).Items.Single().Id.ShouldBe(ids[0]);
        foreach (var query in new[] { "state=open", "task=x", "limit=0", "cursor=%00" })
            (await server.Client.GetAsync("/api/permissions?" + query, Cancelled).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe([query.Split('=')[0]]);
        agent.Dispose();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_tasks_stream_and_the_inbox_tell_of_it(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var (agent, task, step) = await server.RunPromptAsync();
        var waiting = (await agent.AskAsync(step, Ask("first"))).Id;
        await using var inbox = await InboxReader.OpenAsync(server.Client);
        (await inbox.ReadAsync()).ShouldSatisfyAllConditions(e => e!.Name.ShouldBe(ApprovalEvents.Pending), e => e!.Permission!.Id.ShouldBe(waiting), e => e!.Approval.ShouldBeNull());
        (await inbox.ReadAsync())!.Name.ShouldBe(ApprovalEvents.Current);
        var news = (await agent.AskAsync(step, Ask("second"))).Id;
        (await inbox.ReadAsync()).ShouldSatisfyAllConditions(e => e!.Name.ShouldBe(PermissionEvents.Asked), e => e!.Permission!.Id.ShouldBe(news));
        await server.Client.AnswerAsync(waiting, PermissionVerdict.Deny);
        (await inbox.ReadAsync()).ShouldSatisfyAllConditions(e => e!.Name.ShouldBe(PermissionEvents.Answered), e => e!.Permission!.Verdict.ShouldBe(PermissionVerdict.Deny));
        var explained = (await server.Client.GetBodyAsync<TaskExplanationBody>($"/api/tasks/{task.Id}/explain")).Steps.Single();
        (explained.WaitingFor.Single(), explained.Sentence.Contains("its coding agent waits for an answer", StringComparison.Ordinal)).ShouldBe((WaitReason.Permission, true));
        await agent.SettleAsync(step, news, PermissionTold.Withdrawn);
        (await inbox.ReadAsync()).ShouldSatisfyAllConditions(e => e!.Name.ShouldBe(PermissionEvents.Withdrawn), e => e!.Permission!.Id.ShouldBe(news));

        await agent.CompleteAsync(step);
        await using var events = await EventReader.OpenAsync(server.Client, task.Id);
        var told = (await events.ReadToEndAsync()).Where(e => e.Body.Permission is not null).Select(e => (e.Name, e.Body.Permission!.Id, e.Body.Task is not null)).ToList();
        told.ShouldBe([(PermissionEvents.Asked, waiting, true), (PermissionEvents.Asked, news, true), (PermissionEvents.Answered, waiting, true), (PermissionEvents.Withdrawn, news, true)]);
        agent.Dispose();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_doctrine_answers_what_its_rules_are_about_and_asks_people_the_rest(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        await server.SetDoctrineAsync(1, """
            permissions:
              - name: harmless
                answer: allow
                when: { tool: execute, pattern: 'git (status|diff)' }
              - name: no-push
                answer: deny
                because: pushes are for people.
                when: { pattern: '\bgit\s+push\b' }
              - name: look
                answer: ask
                when: { tool: fetch }
            """);
        var (agent, task, step) = await server.RunPromptAsync();
        (await agent.AskAsync(step, Ask("git status"))).ShouldSatisfyAllConditions(
            s => s.State.ShouldBe(PermissionState.Answered), s => s.Verdict.ShouldBe(PermissionVerdict.Allow), s => s.OptionId.ShouldBe("yes"), s => s.Because.ShouldBe("by the rule 'harmless' of the doctrine"));
        (await agent.AskAsync(step, Ask("git status; git push"))).ShouldSatisfyAllConditions(
            s => s.Verdict.ShouldBe(PermissionVerdict.Deny), s => s.OptionId.ShouldBe("no"), s => s.Because.ShouldBe("by the rule 'no-push' of the doctrine: pushes are for people."));
        (await agent.AskAsync(step, Ask("git status; rm -r /"))).State.ShouldBe(PermissionState.Pending);
        // A rule says yes to this one question only: where that is not offered, a person is asked.
        var lasting = await agent.AskAsync(step, Ask("git diff") with { Options = [Options[0]] });
        lasting.State.ShouldBe(PermissionState.Pending);
        (await server.Client.PermissionAsync(lasting.Id)).Rule.ShouldBe("harmless");
        var fetch = await agent.AskAsync(step, Ask("https://example.org", kind: "fetch"));
        (fetch.State, (await server.Client.PermissionAsync(fetch.Id)).Rule).ShouldBe((PermissionState.Pending, "look"));

        var rules = (await server.Client.GetBodyAsync<Page<PermissionBody>>($"/api/permissions?task={task.Id}&state=answered")).Items;
        rules.Select(p => (p.Rule, p.AnsweredBy)).ShouldBe([("harmless", null), ("no-push", null)]);
        (await server.Client.GetBodyAsync<Page<AuditEventBody>>("/api/audit-events")).Items.ShouldNotContain(e => e.Action.StartsWith("permission.", StringComparison.Ordinal));
        agent.Dispose();
    }
}
