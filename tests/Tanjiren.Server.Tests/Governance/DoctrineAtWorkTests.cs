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
}
