using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Tasks;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Tasks;

/// <summary>What a machine is offered of what many selectors wait for, in which order, and by which indices it is found.</summary>
public sealed class WorkQueryTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_best_ten_are_offered_of_all_selectors_that_match_and_of_what_is_meant_for_the_machine(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one", ["gpu", "lab", "old", "wide"]);
        await engine.AddWorkstationAsync("other", ["alien"]);
        var stranger = await engine.CreateOrganizationAsync("another");
        await engine.AddWorkstationAsync("theirs", ["gpu"], owner: stranger);
        (await engine.TryCreateTaskAsync(Any(9, "gpu"), stranger)).Problem.ShouldBeNull();

        var steps = new List<(string Id, int Priority)>();
        async Task AddAsync(CreateTaskRequest request, bool matches = true)
        {
            var step = (await engine.CreateTaskAsync(request)).Execution!.Steps[0];
            if (matches) steps.Add((step.Id, request.Priority ?? 0));
        }
        foreach (var priority in new[] { 0, 5, -3, 5, 0 })
        {
            foreach (var tags in new string[][] { ["gpu"], ["lab"], ["gpu", "lab"], ["old"], ["wide"] }) await AddAsync(Any(priority, tags));
            await AddAsync(Any(priority, "alien"), matches: false);
            await AddAsync(new CreateTaskRequest { Command = new CommandSpec { Argv = ["true"] }, Targets = new TargetSpec { Workstations = ["one"] }, Priority = priority });
            engine.Clock.Advance(TimeSpan.FromMilliseconds(1));
        }

        while (steps.Count > 0)
        {
            var best = steps.OrderByDescending(s => s.Priority).ThenBy(s => s.Id, StringComparer.Ordinal).Take(WireLimits.MaxPendingTasks).Select(s => s.Id).ToList();
            (await OfferedAsync(engine, machine)).ShouldBe(best, $"{steps.Count} are queued");
            // Those that may not start make room for the next ones, whichever selector these are of.
            foreach (var id in best)
            {
                await engine.ExecuteAsync("UPDATE tasks SET held_at = 1 WHERE id = (SELECT task_id FROM steps WHERE id = @id)", new { id });
                steps.RemoveAll(s => s.Id == id);
            }
        }
        (await OfferedAsync(engine, machine)).ShouldBeEmpty();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Only_selectors_of_queued_steps_are_looked_at_each_with_its_first_step(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one", ["gpu", "lab", "old"]);
        (await WaitingAsync(engine)).ShouldBeEmpty();
        var claimed = await engine.CreateTaskAsync(Any(7, "old"));
        (await engine.ClaimAsync(machine, claimed.Execution!.Steps[0])).Refusal.ShouldBeNull();
        var expected = new List<(string, int)>();
        foreach (var tag in new[] { "gpu", "lab" })
        {
            await engine.CreateTaskAsync(Any(1, tag));
            expected.Add(((await engine.CreateTaskAsync(Any(2, tag))).Execution!.Steps[0].Id, 2));
            engine.Clock.Advance(TimeSpan.FromMilliseconds(1));
            await engine.CreateTaskAsync(Any(2, tag));
        }
        (await WaitingAsync(engine)).Select(w => (w.FirstStepId, w.Priority)).ShouldBe(expected, ignoreOrder: true);
    }

    /// <summary>Each statement of a poll goes through an index in its order: nothing is sorted, and no table is walked through.</summary>
    [Fact]
    public async Task A_poll_reads_no_more_than_it_offers()
    {
        await using var engine = await Engine.StartAsync(DatabaseKind.Sqlite);
        var arguments = new { organizationId = "o", instanceId = "i", Id = "s", now = 1L, limit = 10 };
        foreach (var (statement, indices) in new (string, string[])[]
        {
            (WorkQuery.OwnSql, ["steps_queued_for_instance (target_instance_id=?)"]),
            (WorkQuery.OfSelectorSql, ["steps_queued_for_selector (selector_id=?)"]),
            (WorkQuery.WaitingSelectorsSql, ["steps_queued_selectors (organization_id=?", "steps_queued_selectors (organization_id=? AND selector_id>?)", "steps_queued_for_selector (selector_id=?)"]),
        })
        {
            var plan = string.Join('\n', (await engine.ListAsync<PlanRow>("EXPLAIN QUERY PLAN " + statement, arguments)).Select(r => r.Detail));
            foreach (var index in indices) plan.ShouldContain($" INDEX {index}", customMessage: plan);
            plan.ShouldNotContain("TEMP B-TREE", customMessage: plan);
            foreach (var table in new[] { "SCAN s", "SCAN t", "SCAN e", "SCAN c", "SCAN h", "SCAN a" }) plan.Split('\n').ShouldNotContain(line => line == table || line.StartsWith(table + ' ', StringComparison.Ordinal), plan);
        }
    }

    private static CreateTaskRequest Any(int priority, params string[] tags) =>
        new() { Command = new CommandSpec { Argv = ["true"] }, Targets = new TargetSpec { Tags = tags, Placement = Placement.Any }, Priority = priority };

    private static async Task<IEnumerable<string>> OfferedAsync(Engine engine, Device machine) =>
        (await engine.Database.ReadAsync(sql => engine.Work.PendingAsync(sql, machine.OrganizationId, machine.InstanceId), Cancelled)).Select(s => s.StepId);

    private static Task<IReadOnlyList<WaitingRow>> WaitingAsync(Engine engine) => engine.ListAsync<WaitingRow>(WorkQuery.WaitingSelectorsSql, new { organizationId = engine.Owner.OrganizationId });

    private sealed record WaitingRow
    {
        public string FirstStepId { get; init; } = "";
        public int Priority { get; init; }
    }

    private sealed record PlanRow
    {
        public string Detail { get; init; } = "";
    }
}
