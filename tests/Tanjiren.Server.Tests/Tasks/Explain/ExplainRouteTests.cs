using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Tasks.Explain;

public sealed class ExplainRouteTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_viewer_is_told_and_another_organization_is_not(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box", ["gpu"]);
        var task = await server.Client.CreateTaskAsync(TaskCalls.AnyTagged("gpu"));
        using var viewer = await server.NewMemberAsync(Role.Viewer);
        var told = await viewer.GetBodyAsync<TaskExplanationBody>($"/api/tasks/{task.Id}/explain");
        told.ShouldSatisfyAllConditions(
            e => e.TaskId.ShouldBe(task.Id),
            e => e.Steps.Single().StepId.ShouldBe(task.StepId()),
            e => e.Summary.ShouldBe("Nothing keeps it: 'box' may claim it at any moment."),
            e => e.Steps.Single().Candidates.Single().InstanceId.ShouldBe(agent.InstanceId));

        var (_, stranger) = await server.NewOrganizationAsync();
        await stranger.GetAsync($"/api/tasks/{task.Id}/explain", Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await viewer.GetAsync("/api/tasks/task_x/explain", Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        stranger.Dispose();
    }

    /// <summary>What the property of claims leaves to the proof: without a bound key no claim gets as far as the rules.</summary>
    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_machine_without_a_bound_key_is_untrusted_and_its_claim_is_refused(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var task = await server.Client.CreateTaskAsync(agent);
        async Task<StepExplanationBody> StepAsync() => (await server.Client.GetBodyAsync<TaskExplanationBody>($"/api/tasks/{task.Id}/explain")).Steps.Single();
        Task RevokeAsync(long? at) => server.Database.WriteAsync(tx => tx.ExecuteAsync("UPDATE instance_keys SET revoked_at = @at", new { at }), Cancelled);

        await RevokeAsync(1);
        (await StepAsync()).ShouldSatisfyAllConditions(s => s.WaitingFor.ShouldBe([WaitReason.Untrusted]), s => s.Sentence.ShouldBe("It waits for its workstation: 'box' is not paired."));
        (await agent.TryClaimAsync(task.StepId())).StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
        await RevokeAsync(null);
        (await StepAsync()).WaitingFor.ShouldBeEmpty();
        (await agent.TryClaimAsync(task.StepId())).StatusCode.ShouldBe(HttpStatusCode.OK);
    }
}
