using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Tasks.Overview;

public sealed class RuntimeOverviewTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task It_counts_what_is_open_what_ended_lately_and_how_long_the_queue_waits(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        (await LookAsync(engine)).ShouldSatisfyAllConditions(
            o => o.Open.ShouldBe(new OpenTasksBody { Planned = 0, Queued = 0, Executing = 0 }),
            o => o.Queue.ShouldBe(new QueueBody { Steps = 0 }),
            o => o.Ended.PerMinute.ShouldBe(0));

        var (a, b) = (await engine.AddWorkstationAsync("a", maxConcurrent: 4), await engine.AddWorkstationAsync("b", maxConcurrent: 2));
        await engine.AddWorkstationAsync("foreign", owner: await engine.CreateOrganizationAsync("another"));
        // Ended more than an hour ago by the end of this.
        await EndAsync(engine, a, StepOutcome.Succeeded);
        await MoveAsync(engine, TimeSpan.FromMinutes(30), a, b);
        for (var i = 0; i < 4; i++) await EndAsync(engine, a, i == 0 ? StepOutcome.Failed : StepOutcome.Succeeded);
        await engine.CreateTaskAsync([b]);                                     // waits for 30 min
        await MoveAsync(engine, TimeSpan.FromMinutes(20), a, b);
        var executing = await engine.CreateTaskAsync([a, b], maxParallel: 1);    // its second step waits for 10 min
        await engine.ClaimAsync(a, executing.Execution!.Steps[0]);
        await engine.CreateTaskAsync([b]);                                     // and this one, too
        await engine.CreateTaskAsync(new CreateTaskRequest { Command = new CommandSpec { Argv = ["true"] }, Targets = new TargetSpec { Workstations = ["a"] }, ApprovalClass = ApprovalClass.SensitiveWrite });
        await MoveAsync(engine, TimeSpan.FromMinutes(10), a);

        (await LookAsync(engine)).ShouldSatisfyAllConditions(
            o => o.At.ShouldBe(engine.Clock.GetUtcNow()),
            o => o.Open.ShouldBe(new OpenTasksBody { Planned = 1, Queued = 2, Executing = 1 }),
            o => o.Ended.ShouldBe(new ThroughputBody { WindowMinutes = 60, Completed = 3, Failed = 1, Cancelled = 0, PerMinute = 0.07 }),
            o => o.Queue.ShouldBe(new QueueBody { Steps = 3, OldestMs = 30 * 60_000, MedianMs = 10 * 60_000 }),
            o => o.Workers.ShouldBe(new FleetBody { Total = 2, Ready = 1, Busy = 1, Offline = 1, Capacity = 4, Active = 1 }));
    }

    /// <summary>The statements go by the indices of what is open and what ended lately, whatever else is stored.</summary>
    [Fact]
    public async Task It_never_walks_through_what_ended_long_ago()
    {
        await using var engine = await Engine.StartAsync(DatabaseKind.Sqlite);
        foreach (var (statement, index) in new[]
        {
            ("SELECT state, count(*) AS count FROM tasks WHERE organization_id = 'o' AND state IN ('planned', 'queued', 'executing') GROUP BY state", "tasks_by_state"),
            ("SELECT state, count(*) AS count FROM tasks WHERE organization_id = 'o' AND ended_at > 5 GROUP BY state", "tasks_ended_by_organization (organization_id=? AND ended_at>?)"),
            ("SELECT count(*) AS steps, min(created_at) AS oldest FROM steps WHERE organization_id = 'o' AND state = 'queued'", "steps_queued_by_age"),
            ("SELECT created_at FROM steps WHERE organization_id = 'o' AND state = 'queued' ORDER BY created_at LIMIT 1 OFFSET 7", "steps_queued_by_age"),
        })
        {
            var plan = string.Join('\n', (await engine.ListAsync<PlanRow>("EXPLAIN QUERY PLAN " + statement)).Select(r => r.Detail));
            plan.ShouldContain($" INDEX {index}", customMessage: statement);
            plan.ShouldNotContain("SCAN");
        }
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_viewer_sees_their_own_organization(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        await server.Client.CreateTaskAsync(agent);
        using var viewer = await server.NewMemberAsync(Role.Viewer);
        (await viewer.GetBodyAsync<RuntimeOverviewBody>("/api/tasks/runtime-overview")).ShouldSatisfyAllConditions(o => o.Open.Queued.ShouldBe(1), o => o.Workers.Ready.ShouldBe(1));
        var (_, stranger) = await server.NewOrganizationAsync();
        (await stranger.GetBodyAsync<RuntimeOverviewBody>("/api/tasks/runtime-overview")).ShouldSatisfyAllConditions(o => o.Open.Queued.ShouldBe(0), o => o.Workers.Total.ShouldBe(0));
        stranger.Dispose();
    }

    private static Task<RuntimeOverviewBody> LookAsync(Engine engine) => engine.Overview.LookAsync(engine.Owner.OrganizationId, Cancelled);

    /// <summary>These stay online.</summary>
    private static async Task MoveAsync(Engine engine, TimeSpan by, params Device[] online)
    {
        await engine.MoveClocksAsync(by);
        foreach (var machine in online)
            await engine.ExecuteAsync("UPDATE instances SET last_heartbeat_at = @now WHERE id = @InstanceId", new { machine.InstanceId, now = engine.Clock.GetUtcNow().ToUnixTimeMilliseconds() });
    }

    private static async Task EndAsync(Engine engine, Device machine, StepOutcome outcome)
    {
        var step = (await engine.CreateTaskAsync([machine])).Execution!.Steps[0];
        await engine.ClaimAsync(machine, step);
        await engine.CompleteAsync(machine, step.Id, 1, outcome);
    }

    private sealed record PlanRow
    {
        public string Detail { get; init; } = "";
    }
}
