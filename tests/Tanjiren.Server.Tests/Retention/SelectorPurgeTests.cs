using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tests.Tasks;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Retention;

/// <summary>Conditions that nothing waits for any more go; none goes from under a step that is being written.</summary>
public sealed class SelectorPurgeTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_selector_goes_when_no_step_refers_to_it_and_comes_again_when_one_does(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("one", [.. Enumerable.Range(0, 120).Select(i => $"t{i}")]);
        var purge = new TaskPurge(engine.Database, engine.Clock);
        for (var i = 0; i < 120; i++) await EndedAsync(engine, $"t{i}");
        var waiting = await engine.CreateTaskAsync(Any("t7"));
        (await purge.DeleteSelectorsAsync(Cancelled)).ShouldBe(0, "the steps are there still");

        engine.Clock.Advance(TimeSpan.FromMinutes(1));
        (await purge.DeleteTasksAsync(engine.Clock.GetUtcNow(), Cancelled)).ShouldBe(120);
        (await purge.DeleteSelectorsAsync(Cancelled)).ShouldBe(119, "more than a batch, and not the one that a step waits for");
        (await engine.QueryAsync<string>("SELECT c.id FROM selectors c")).ShouldBe(await engine.QueryAsync<string>("SELECT selector_id FROM steps WHERE id = @id", new { id = waiting.Execution!.Steps[0].Id }));
        await engine.CreateTaskAsync(Any("t8"));
        (await engine.QueryAsync<long>("SELECT count(*) FROM selectors")).ShouldBe(2);
    }

    [Theory, InlineData("create", "purge"), InlineData("purge", "create")]
    public async Task Whoever_uses_a_selector_while_it_is_deleted_gets_one(string first, string second)
    {
        await using var engine = await Engine.StartAsync(DatabaseKind.Postgres);
        await engine.AddWorkstationAsync("one", ["gpu"]);
        var (paused, created) = (0, 0);
        async Task RunAsync(IServiceProvider services, string operation, string who)
        {
            var database = services.GetRequiredService<Database>();
            if (operation == "purge") await new TaskPurge(database, engine.Clock).DeleteSelectorsAsync(Cancelled);
            else created += (await services.GetRequiredService<TaskService>().CreateAsync(engine.Owner, Any("gpu"), null, Cancelled)).TaskId is null ? 0 : 1;
        }
        while (true)
        {
            // One that no step refers to.
            await engine.ExecuteAsync("UPDATE tasks SET state = 'cancelled', ended_at = 1");
            await engine.ExecuteAsync("UPDATE executions SET open_steps = 0");
            await new TaskPurge(engine.Database, engine.Clock).DeleteTasksAsync(engine.Clock.GetUtcNow(), Cancelled);
            await engine.ExecuteAsync("INSERT INTO selectors (id, organization_id, canonical) VALUES (@id, @OrganizationId, @canonical) ON CONFLICT DO NOTHING",
                new { id = $"sel_{paused}", engine.Owner.OrganizationId, canonical = TargetSelector.Create(null, Any("gpu").Targets!, null).ToCanonical() });
            created = 0;
            if (!await InterleavingTests.InterleaveAsync(engine, RunAsync, first, second, paused + 1)) break;
            paused++;
            created.ShouldBe(1);
            (await engine.QueryAsync<long>("SELECT count(*) FROM steps s JOIN selectors c ON c.id = s.selector_id")).ShouldBe(1);
        }
        paused.ShouldBeGreaterThan(1, "the first was hardly ever stopped: this would prove nothing");
    }

    private static async Task EndedAsync(Engine engine, string tag) =>
        (await engine.Canceller.CancelAsync(engine.Owner, (await engine.CreateTaskAsync(Any(tag))).Id, null, Cancelled)).Kind.ShouldBe(CancelResultKind.Applied);

    private static CreateTaskRequest Any(string tag) => new()
    {
        Command = new CommandSpec { Argv = ["true"] }, Targets = new TargetSpec { Tags = [tag], Placement = Placement.Any },
    };
}
