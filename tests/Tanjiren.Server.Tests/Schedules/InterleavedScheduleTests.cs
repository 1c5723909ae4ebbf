using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.Schedules;
using Tanjiren.Server.Tests.Tasks;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Schedules;

/// <summary>As <see cref="InterleavingTests"/>, of a schedule whose tick is due: the loops of two servers, and people who pause, change, run or delete it. One tick makes one task, or none.</summary>
public sealed class InterleavedScheduleTests
{
    private static readonly string[] Operations = ["fire", "pause", "change", "run", "delete"];

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public static TheoryData<string, string> Pairs()
    {
        var pairs = new TheoryData<string, string>();
        foreach (var first in Operations)
        {
            foreach (var second in Operations) pairs.Add(first, second);
        }
        return pairs;
    }

    [Theory, MemberData(nameof(Pairs))]
    public async Task Any_two_operations_make_one_task_of_a_tick_at_most(string first, string second)
    {
        await using var engine = await Engine.StartAsync(DatabaseKind.Postgres);
        await engine.AddWorkstationAsync("box");
        var paused = 0;
        for (var pauseBefore = 1; ; pauseBefore++)
        {
            var schedule = (await engine.Schedules.CreateAsync(engine.Owner, ScheduleCalls.Every("* * * * *", "box") with { Overlap = OverlapRule.Allow }, null, Token)).Row!;
            engine.Clock.Advance(TimeSpan.FromSeconds(61));
            var (applied, gate) = (new List<string>(), new Lock());
            var more = await InterleavingTests.InterleaveAsync(engine, async (services, operation, _) =>
            {
                if (!await RunAsync(services, engine, operation, schedule.Id)) return;
                lock (gate) applied.Add(operation);
            }, first, second, pauseBefore);
            if (!more) break;
            paused++;

            var story = string.Join(", ", applied);
            var ticks = await engine.ListAsync<long?>("SELECT schedule_tick_at FROM tasks WHERE schedule_id = @Id", new { schedule.Id });
            ticks.Count(tick => tick is null).ShouldBe(applied.Count(operation => operation == "run"), story);
            // Two servers that fire: one makes it, the other finds it made, and says so.
            ticks.Where(tick => tick is not null).ShouldBe(applied.Contains("fire") ? [schedule.NextRunAt] : [], story);
            applied.Count(operation => operation == "fire").ShouldBeLessThanOrEqualTo(1, story);
            applied.Count(operation => operation == "delete").ShouldBeLessThanOrEqualTo(1, story);
        }
        paused.ShouldBeGreaterThan(1, "the first operation was hardly ever stopped: the suite would prove nothing");
    }

    private static async Task<bool> RunAsync(IServiceProvider services, Engine engine, string operation, string id)
    {
        var schedules = services.GetRequiredService<ScheduleService>();
        return operation switch
        {
            "fire" => await services.GetRequiredService<ScheduleFiring>().FireAsync(id, Token) == TickOutcome.Made,
            "pause" => (await schedules.PauseAsync(engine.Owner, id, null, Token)).Row is not null,
            "change" => (await schedules.UpdateAsync(engine.Owner, id, new UpdateScheduleRequest { Cron = "*/2 * * * *" }, Token)).Row is not null,
            "run" => (await schedules.RunAsync(engine.Owner, id, null, Token)).TaskId is not null,
            _ => await schedules.DeleteAsync(engine.Owner, id, Token),
        };
    }
}
