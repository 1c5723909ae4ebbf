using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Tests;
using static Tanjiren.Server.Tests.Tasks.Http.TaskCalls;

namespace Tanjiren.Server.Tests.Tasks.Approvals;

/// <summary>Approvals over HTTP: who may, what bad input is told, the inbox, the stream, and that nothing crosses organizations.</summary>
public sealed class ApprovalRouteTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_member_asks_and_can_not_approve_an_admin_does_and_the_agent_runs_it(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        using var member = await server.NewMemberAsync(Role.Member);
        using var admin = await server.NewMemberAsync(Role.Admin);
        var task = await member.CreateTaskAsync(Production());
        (task.State, task.ApprovalStatus, task.ApprovalClass).ShouldBe((TaskState.Planned, ApprovalStatus.Pending, ApprovalClass.ProductionMutation));
        await member.PostJsonAsync($"/api/tasks/{task.Id}/approve", new AnswerApprovalRequest()).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
        await member.PostJsonAsync($"/api/tasks/{task.Id}/reject", new AnswerApprovalRequest { Reason = "x" }).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);

        var approved = await (await admin.PostJsonAsync($"/api/tasks/{task.Id}/approve", new AnswerApprovalRequest { ApprovalId = task.Approvals!.Single().Id })).BodyAsync<TaskBody>();
        (approved.State, approved.ApprovalStatus).ShouldBe((TaskState.Queued, ApprovalStatus.Approved));
        (await agent.WorkAsync(0)).Assignments.Single().StepId.ShouldBe(approved.StepId());
        await agent.ClaimAsync(approved.StepId());
        await agent.CompleteAsync(approved.StepId());
        (await member.TaskAsync(task.Id)).State.ShouldBe(TaskState.Completed);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_refused_claim_says_why(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var task = await server.Client.CreateTaskAsync(On("box") with { ApprovalClass = ApprovalClass.SensitiveWrite });
        var approved = await (await server.Client.PostJsonAsync($"/api/tasks/{task.Id}/approve", new AnswerApprovalRequest())).BodyAsync<TaskBody>();
        await server.Database.WriteAsync(tx => tx.ExecuteAsync("UPDATE approvals SET expires_at = 1"), Cancelled);
        // Unless the loop, which runs here, has sent it back already.
        var refused = await agent.TryClaimAsync(approved.StepId());
        refused.StatusCode.ShouldBeOneOf(HttpStatusCode.Conflict, HttpStatusCode.NotFound);
        if (refused.StatusCode == HttpStatusCode.Conflict) (await refused.ProblemAsync(HttpStatusCode.Conflict, ErrorCode.NeedsApproval)).CurrentState.ShouldBe("queued");
        await Eventually.TrueAsync(async () => (await server.Client.TaskAsync(task.Id)).State == TaskState.Planned);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_inbox_is_paged_filtered_and_read_by_viewers(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        await server.NewInstanceAsync("box");
        using var viewer = await server.NewMemberAsync(Role.Viewer);
        var tasks = new List<TaskBody>();
        for (var i = 0; i < 3; i++) tasks.Add(await server.Client.CreateTaskAsync(On("box") with { Intent = "job " + i, ApprovalClass = ApprovalClass.SensitiveWrite }));
        var asked = tasks.Select(t => t.Approvals!.Single().Id).Order(StringComparer.Ordinal).ToList();
        var first = await viewer.GetBodyAsync<Page<ApprovalBody>>("/api/approvals?state=pending&limit=2");
        var second = await viewer.GetBodyAsync<Page<ApprovalBody>>("/api/approvals?state=pending&limit=2&cursor=" + first.NextCursor);
        first.Items.Concat(second.Items).Select(a => a.Id).ShouldBe(asked);
        second.NextCursor.ShouldBeNull();
        first.Items.Concat(second.Items).Select(a => a.Intent).Order().ShouldBe(["job 0", "job 1", "job 2"]);

        var gone = await (await server.Client.PostJsonAsync($"/api/tasks/{tasks[0].Id}/reject", new AnswerApprovalRequest { Reason = "no" })).BodyAsync<TaskBody>();
        gone.State.ShouldBe(TaskState.Failed);
        (await viewer.GetBodyAsync<Page<ApprovalBody>>("/api/approvals?state=rejected")).Items.Single().Reason.ShouldBe("no");
        (await viewer.GetBodyAsync<Page<ApprovalBody>>("/api/approvals")).Items.Count.ShouldBe(3);
        (await viewer.GetBodyAsync<Page<TaskBody>>("/api/tasks?approval=pending")).Items.Count.ShouldBe(2);
        foreach (var query in new[] { "state=open", "limit=0", "cursor=%00" })
            (await viewer.GetAsync("/api/approvals?" + query, Cancelled).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe([query.Split('=')[0]]);
        (await viewer.GetAsync("/api/tasks?approval=maybe", Cancelled).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe(["approval"]);
        await viewer.PatchJsonAsync("/api/tasks/" + tasks[1].Id, new UpdateTaskRequest { Priority = 1 }).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Bad_answers_are_named_and_lose_nothing(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        await server.NewInstanceAsync("box");
        var task = await server.Client.CreateTaskAsync(Production());
        async Task<IEnumerable<string>> FieldsAsync(string verb, AnswerApprovalRequest answer) =>
            (await server.Client.PostJsonAsync($"/api/tasks/{task.Id}/{verb}", answer).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys;
        (await FieldsAsync("approve", new() { Reason = "\u0001", ApprovalId = "apr_1" })).ShouldBe(["approvalId", "reason"]);
        (await FieldsAsync("reject", new() { Reason = " " })).ShouldBe(["reason"]);
        (await FieldsAsync("reject", new() { Reason = new string('x', 501) })).ShouldBe(["reason"]);
        (await FieldsAsync("approve", new())).ShouldBe(["reason"], "the owner is alone and it is their own");
        using var admin = await server.NewMemberAsync(Role.Admin);
        await server.Client.PostJsonAsync($"/api/tasks/{task.Id}/approve", new AnswerApprovalRequest { Reason = "mine" }).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.OwnApproval);
        (await server.Client.TaskAsync(task.Id)).State.ShouldBe(TaskState.Planned);
        (await admin.PostAsync($"/api/tasks/{task.Id}/approve", null, Cancelled)).StatusCode.ShouldBe(HttpStatusCode.OK, "a body is not needed");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Nothing_crosses_organizations(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        await server.NewInstanceAsync("box");
        var task = await server.Client.CreateTaskAsync(Production());
        var (_, stranger) = await server.NewOrganizationAsync();
        foreach (var id in new[] { task.Id, Ids.New(Ids.Task, TimeProvider.System) })
        {
            await stranger.PostJsonAsync($"/api/tasks/{id}/approve", new AnswerApprovalRequest { ApprovalId = task.Approvals!.Single().Id }).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
            await stranger.PostJsonAsync($"/api/tasks/{id}/reject", new AnswerApprovalRequest { Reason = "x" }).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
            await stranger.PatchJsonAsync($"/api/tasks/{id}", new UpdateTaskRequest { Priority = 1 }).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        }
        (await stranger.GetBodyAsync<Page<ApprovalBody>>("/api/approvals")).Items.ShouldBeEmpty();
        (await server.Client.TaskAsync(task.Id)).Approvals!.Single().State.ShouldBe(ApprovalState.Pending);
        stranger.Dispose();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_stream_tells_of_question_and_answer_once_each_wherever_it_is_cut(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var task = await server.Client.CreateTaskAsync(On("box") with { ApprovalClass = ApprovalClass.SensitiveWrite });
        await using var live = await EventReader.OpenAsync(server.Client, task.Id);
        (await live.ReadAsync())!.Name.ShouldBe("task");
        var asked = (await live.ReadAsync())!;
        (asked.Name, asked.Body.Approval!.State, asked.Body.Task!.State).ShouldBe(("approvalRequested", ApprovalState.Pending, TaskState.Planned));
        await server.Client.PatchJsonAsync("/api/tasks/" + task.Id, new UpdateTaskRequest { Priority = 5 });
        var again = (await live.ReadAsync())!;
        (again.Name, again.Body.Task!.Priority).ShouldBe(("approvalRequested", 5));
        await (await server.Client.PostJsonAsync($"/api/tasks/{task.Id}/approve", new AnswerApprovalRequest { Reason = "go" })).BodyAsync<TaskBody>();
        var approved = (await live.ReadAsync())!;
        (approved.Name, approved.Body.Approval!.Reason, approved.Body.Task!.State).ShouldBe(("approved", "go", TaskState.Queued));
        var step = approved.Body.Task.StepId();
        await agent.ClaimAsync(step);
        await agent.AppendAsync(step, AgentCalls.Chunk(1, "out"));
        await agent.CompleteAsync(step, finalLogSeq: 1);

        await using var whole = await EventReader.OpenAsync(server.Client, task.Id);
        var all = await whole.ReadToEndAsync();
        all.Select(e => e.Name).ShouldBe(["task", "approvalRequested", "approvalRequested", "approved", "log", "task", "end"]);
        foreach (var cut in all.SkipLast(1))
        {
            await using var rest = await EventReader.OpenAsync(server.Client, task.Id, cut.Id);
            (await rest.ReadToEndAsync()).Select(e => (e.Id, e.Name)).ShouldBe(all.Where(e => e.Id > cut.Id || e.Name == "end").Select(e => (e.Id, e.Name)), $"cut after {cut.Id}");
        }

        var refused = await server.Client.CreateTaskAsync(On("box") with { ApprovalClass = ApprovalClass.SensitiveWrite });
        await (await server.Client.PostJsonAsync($"/api/tasks/{refused.Id}/reject", new AnswerApprovalRequest { Reason = "no" })).BodyAsync<TaskBody>();
        await using var ended = await EventReader.OpenAsync(server.Client, refused.Id);
        (await ended.ReadToEndAsync()).Select(e => e.Name).ShouldBe(["task", "approvalRequested", "rejected", "task", "end"]);
    }

    private static CreateTaskRequest Production() => On("box") with { ApprovalClass = ApprovalClass.ProductionMutation };
}
