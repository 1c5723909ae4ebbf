using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.Schedules;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Schedules;

/// <summary>Whole servers with their loops running, on one clock.</summary>
public sealed class ScheduleServersTests
{
    private static readonly DateTimeOffset Midnight = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Three_servers_over_one_database_make_one_task_a_tick_and_so_do_those_that_are_left()
    {
        const int Ticks = 12;
        await using var database = await TestDatabase.CreateAsync(DatabaseKind.Postgres, ServerFixture.MigrateAsync);
        var clock = new ManualTimeProvider(Midnight);
        var servers = new List<ServerFixture>();
        for (var i = 0; i < 3; i++) servers.Add(await ServerFixture.StartAsync(database.Url, o => o with { Clock = clock }));
        await servers[0].NewInstanceAsync("box");
        var schedule = await servers[0].Client.CreateScheduleAsync(ScheduleCalls.Every("* * * * *", "box") with { Overlap = OverlapRule.Allow });

        for (var tick = 1; tick <= Ticks; tick++)
        {
            if (tick == Ticks / 2)
            {
                await servers[0].DisposeAsync();
                servers.RemoveAt(0);
            }
            clock.Advance(TimeSpan.FromMinutes(1));
            // The loops go on by the clock; a nudge wakes one that had looked just before it moved.
            await Eventually.TrueAsync(async () =>
            {
                clock.Advance(TimeSpan.FromMilliseconds(5));
                return await CountAsync(servers[0]) >= tick;
            }, what: $"tick {tick} is made");
        }
        foreach (var server in servers) await server.App.Services.GetRequiredService<ScheduleLoop>().RunOnceAsync(Token);

        var ticks = await servers[0].Database.ReadAsync(sql => sql.ListAsync<long>("SELECT schedule_tick_at FROM tasks WHERE schedule_id = @Id ORDER BY schedule_tick_at", new { schedule.Id }), Token);
        ticks.Select(DateTimeOffset.FromUnixTimeMilliseconds).ShouldBe(Enumerable.Range(1, Ticks).Select(minute => Midnight.AddMinutes(minute)));
        foreach (var server in servers) await server.DisposeAsync();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_new_schedule_wakes_the_loop_at_once_on_every_server(DatabaseKind kind)
    {
        await using var database = await TestDatabase.CreateAsync(kind, ServerFixture.MigrateAsync);
        var clock = new ManualTimeProvider(Midnight);
        await using var first = await ServerFixture.StartAsync(database.Url, o => o with { Clock = clock });
        await using var second = kind == DatabaseKind.Postgres ? await ServerFixture.StartAsync(database.Url, o => o with { Clock = clock }) : null;
        await first.NewInstanceAsync("box");
        await Eventually.TrueAsync(() => new[] { first, second }.All(s => s is null || Loop(s).Record.Status() is { Runs: > 0, NextRunAt: null }), what: "the loops sleep");

        await first.Client.CreateScheduleAsync(ScheduleCalls.Every("0 12 * * *", "box"));

        // The clock stands still: nothing but the wake-up can have told them.
        foreach (var server in new[] { first, second }.OfType<ServerFixture>())
            await Eventually.TrueAsync(() => Loop(server).Record.Status().NextRunAt == Midnight.AddHours(12), what: "the loop knows the next tick");
    }

    private static ScheduleLoop Loop(ServerFixture server) => server.App.Services.GetRequiredService<ScheduleLoop>();

    private static Task<long> CountAsync(ServerFixture server) => server.Database.ReadAsync(sql => sql.FirstAsync<long>("SELECT count(*) FROM tasks"), Token);
}
