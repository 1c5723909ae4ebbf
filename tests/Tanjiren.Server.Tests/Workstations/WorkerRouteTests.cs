using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Workstations;

public sealed class WorkerRouteTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Health_and_readiness_follow_what_the_machine_does(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = clock });
        using var agent = await server.NewAgentAsync("box", ["gpu"], maxConcurrent: 3);
        async Task<(int, WorkerStatus, string)> WorkerAsync()
        {
            var worker = await server.Client.GetBodyAsync<WorkerBody>("/api/workers/worker:" + agent.InstanceId);
            worker.Readiness.Ready.ShouldBe(worker.Readiness.Reasons.Count == 0);
            return (worker.HealthScore, worker.Status, string.Join(' ', worker.Readiness.Reasons));
        }
        (await WorkerAsync()).ShouldBe((100, WorkerStatus.Ready, ""));
        // The server's loops go by the same clock: their leases outlast this test.
        for (var i = 0; i < 3; i++) await agent.ClaimAsync((await server.Client.CreateTaskAsync(TaskCalls.On(agent.InstanceId) with { LeaseGraceSeconds = 3600 })).StepId());
        (await WorkerAsync()).ShouldBe((80, WorkerStatus.Busy, "at_capacity"));
        clock.Advance(TimeSpan.FromSeconds(119));
        (await WorkerAsync()).ShouldBe((80, WorkerStatus.Busy, "at_capacity"));
        clock.Advance(TimeSpan.FromSeconds(1));
        (await WorkerAsync()).ShouldBe((35, WorkerStatus.Offline, "offline at_capacity"));
        clock.Advance(TimeSpan.FromMinutes(9));
        (await WorkerAsync()).Item1.ShouldBe(20);
        await server.Database.WriteAsync(tx => tx.ExecuteAsync("UPDATE instance_keys SET revoked_at = 1"), Cancelled);
        (await WorkerAsync()).ShouldBe((0, WorkerStatus.Offline, "offline untrusted at_capacity"));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Its_name_is_the_workstations_until_somebody_chooses_another(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var box = await server.NewInstanceAsync("box");
        async Task<string> NameAsync() => (await server.Client.GetBodyAsync<WorkerBody>("/api/workers/" + box.Id)).DisplayName;
        Task<HttpResponseMessage> SetAsync(string name) => server.Client.PatchJsonAsync("/api/instances/box", new UpdateInstanceRequest { WorkerName = name });
        (await NameAsync()).ShouldBe("box agent");
        (await SetAsync("  Big Bertha ")).EnsureSuccessStatusCode();
        (await NameAsync()).ShouldBe("Big Bertha");
        (await server.Client.PatchJsonAsync("/api/instances/box", new UpdateInstanceRequest { AddTags = ["gpu"] })).EnsureSuccessStatusCode();
        (await NameAsync()).ShouldBe("Big Bertha", "what is absent stays");
        (await SetAsync("")).EnsureSuccessStatusCode();
        (await NameAsync()).ShouldBe("box agent");
        foreach (var bad in new[] { new string('x', 101), "a\u0001b", "   " })
            (await SetAsync(bad).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe(["workerName"]);
        (await server.Database.ReadAsync(s => s.ListAsync<string>("SELECT detail FROM audit_events WHERE action = 'workstation.updated' ORDER BY id"), Cancelled))[0].ShouldContain("worker Big Bertha");

        var (_, stranger) = await server.NewOrganizationAsync();
        await stranger.GetAsync("/api/workers/worker:" + box.Id, Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await stranger.PatchJsonAsync("/api/instances/" + box.Id, new UpdateInstanceRequest { WorkerName = "mine" }).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        (await stranger.GetBodyAsync<Page<WorkerBody>>("/api/workers")).Items.ShouldBeEmpty();
        stranger.Dispose();
    }
}
