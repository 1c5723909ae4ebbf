using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Governance;

/// <summary>The whole road: a document that an admin wrote, and the tasks that it stops.</summary>
public sealed class DoctrineAtWorkTests
{
    private const string Document = """
        forbid:
          - name: no-mkfs
            when: { pattern: '\bmkfs\b' }
        approvals:
          - name: production
            class: production_mutation
            when: { tags: [production] }
        """;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Work_for_production_waits_also_when_the_machine_became_that_after_the_task(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        using var admin = await server.NewMemberAsync(Role.Admin);
        await server.SetDoctrineAsync(1, Document);
        var early = await server.Client.CreateTaskAsync(TaskCalls.On("box"));
        early.State.ShouldBe(TaskState.Queued);

        (await admin.PatchJsonAsync("/api/instances/" + agent.InstanceId, new UpdateInstanceRequest { AddTags = ["production"] })).EnsureSuccessStatusCode();

        await agent.TryClaimAsync(early.StepId()).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.NeedsApproval);
        var late = await server.Client.CreateTaskAsync(TaskCalls.On("box"));
        foreach (var task in new[] { await server.Client.TaskAsync(early.Id), late })
        {
            (task.State, task.ApprovalStatus, task.ApprovalClass).ShouldBe((TaskState.Planned, ApprovalStatus.Pending, ApprovalClass.ProductionMutation));
            task.Approvals!.Single().Findings.Single().Rule.ShouldBe("production");
            await server.Client.PostJsonAsync($"/api/tasks/{task.Id}/approve", new AnswerApprovalRequest()).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.OwnApproval);
            var approved = await (await admin.PostJsonAsync($"/api/tasks/{task.Id}/approve", new AnswerApprovalRequest())).BodyAsync<TaskBody>();
            await agent.ClaimAsync(approved.StepId());
            await agent.CompleteAsync(approved.StepId());
            (await server.Client.TaskAsync(task.Id)).State.ShouldBe(TaskState.Completed);
        }
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_the_document_forbids_is_refused_with_the_rules_name(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        await server.SetDoctrineAsync(1, Document);

        var refused = await server.Client.PostJsonAsync("/api/tasks", TaskCalls.On("box") with { Command = new CommandSpec { Shell = "sudo mkfs /dev/sdx" } })
            .ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.ForbiddenByDoctrine);

        refused.Detail!.ShouldContain("no-mkfs");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Nothing_starts_under_a_version_that_can_not_be_read_and_it_starts_when_there_is_another(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var task = await server.Client.CreateTaskAsync(TaskCalls.On("box"));
        await server.WriteVersionAsync(2, "later: []");
        await agent.TryClaimAsync(task.StepId()).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.Frozen);
        await server.SetDoctrineAsync(2, "# to be read\n");
        await agent.ClaimAsync(task.StepId());
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_snapshot_that_can_not_be_read_any_more_refuses_the_claim(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var task = await server.Client.CreateTaskAsync(TaskCalls.On("box"));
        await server.SetDoctrineAsync(1, Document);
        await server.WriteVersionAsync(3, "later: []");
        await server.WriteVersionAsync(4, "# newest\n");
        await server.Database.WriteAsync(tx => tx.ExecuteAsync("UPDATE tasks SET doctrine_version = 3"), TestContext.Current.CancellationToken);
        await agent.TryClaimAsync(task.StepId()).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.Frozen);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_a_person_changed_is_held_to_the_rules_for_requests_whoever_made_it(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        async Task<TaskBody> ScheduledAsync(string by, string more = "")
        {
            var task = await server.Client.CreateTaskAsync(TaskCalls.On("box"));
            await server.Database.WriteAsync(tx => tx.ExecuteAsync($"UPDATE tasks SET schedule_id = @by{more} WHERE id = @id", new { by, id = task.Id }), TestContext.Current.CancellationToken);
            return task;
        }
        var (untouched, edited, toBeEdited) = (await ScheduledAsync("sch_a"), await ScheduledAsync("sch_b", ", changed_by = created_by"), await ScheduledAsync("sch_c"));
        await server.SetDoctrineAsync(1, Doctrines.Approval("origin: request"));

        await agent.ClaimAsync(untouched.StepId());
        await agent.TryClaimAsync(edited.StepId()).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.NeedsApproval);
        (await server.Client.PatchJsonAsync("/api/tasks/" + toBeEdited.Id, new UpdateTaskRequest { Command = new CommandSpec { Shell = "something else" } })).EnsureSuccessStatusCode();
        (await server.Client.TaskAsync(toBeEdited.Id)).State.ShouldBe(TaskState.Planned);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Leaving_the_organization_is_no_way_around_a_rule_for_roles(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        using var member = await server.NewMemberAsync(Role.Member);
        var me = await member.GetBodyAsync<IdentityBody>("/api/auth/me");
        var task = await member.CreateTaskAsync(TaskCalls.On("box"));
        await server.SetDoctrineAsync(1, Doctrines.Approval("role: [member]"));
        (await server.Client.DeleteAsync($"/api/organizations/{me.Organization.Id}/members/{me.UserId}", TestContext.Current.CancellationToken)).EnsureSuccessStatusCode();
        await agent.TryClaimAsync(task.StepId()).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.NeedsApproval);
    }
}
