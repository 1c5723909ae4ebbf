using System.Text.Json;

using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Cli.Agents;

/// <summary>A schedule by the real command line: its job runs on a real agent, now and at its tick.</summary>
public sealed class ScheduleTests(AgentsFixture fixture) : IClassFixture<AgentsFixture>
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(3);

    [Fact]
    public async Task A_schedule_every_minute_runs_now_and_at_the_minute()
    {
        var directory = fixture.NewDirectory();
        var schedule = await OfAsync("create", "beat", "--cron", "* * * * *", "--overlap", "allow", "--tag", "gpu", "--env", $"DIR={directory}", "--shell", "echo \"$TANJIREN_STEP_ID\" >> \"$DIR/ran\"", "--json");
        (schedule.Cron, schedule.Overlap).ShouldBe(("* * * * *", OverlapRule.Allow));

        var now = (await RunAsync("schedules", "run", "beat", "-o", "id")).Trim();
        string[] Ran() => File.Exists(Path.Combine(directory, "ran")) ? File.ReadAllLines(Path.Combine(directory, "ran")) : [];
        await Eventually.TrueAsync(() => Ran().Length > 0, fixture.Scene.Evidence, Limit, "it ran now");
        (await fixture.Scene.Workspace.TaskAsync(now)).ShouldSatisfyAllConditions(t => t.ScheduleId.ShouldBe(schedule.Id), t => t.ScheduleTickAt.ShouldBeNull());

        await Eventually.TrueAsync(() => Ran().Length > 1, fixture.Scene.Evidence, Limit, "it ran at the minute");
        await OfAsync("pause", "beat", "--reason", "seen enough", "--json");
        var shown = await OfAsync("show", schedule.Id, "--json");
        (shown.PauseReason, shown.NextRunAt).ShouldBe(("seen enough", null));
        // A minute may have begun before it was run by hand, so which of the two came last is not said.
        var jobs = JsonSerializer.Deserialize(await RunAsync("jobs", "list", "--json"), WireJson.Default.PageTaskBody)!.Items;
        var tick = jobs.First(t => t.ScheduleId == schedule.Id && t.ScheduleTickAt is not null);
        tick.ScheduleTickAt.ShouldNotBeNull().Second.ShouldBe(0);
        // Generous, because the machine may be somebody else's too; the loop itself sleeps until the tick.
        (tick.CreatedAt - tick.ScheduleTickAt.Value).ShouldBeInRange(TimeSpan.Zero, TimeSpan.FromMinutes(1));
    }

    [Fact]
    public async Task A_job_that_fails_twice_is_followed_to_its_third_attempt()
    {
        var directory = fixture.NewDirectory();
        await using var cli = fixture.Run("jobs", "run", "--tag", "gpu", "--any", "--retries", "3", "--retry-backoff", "1", "--env", $"DIR={directory}", "--shell",
            "echo x >> \"$DIR/tries\"; n=$(wc -l < \"$DIR/tries\"); echo \"try $n\"; [ \"$n\" -ge 3 ]");
        (await cli.EndAsync()).ShouldBe(0, $"{cli.Describe()}{Environment.NewLine}{fixture.Scene.Evidence()}");
        cli.Output.Text.ShouldBe("try 1\ntry 2\ntry 3\n");
        cli.Error.Text.ShouldContain("attempt 2 of 4 in ");
        cli.Error.Text.ShouldContain("attempt 3 of 4 in ");

        var failed = (await RunAsync("jobs", "list", "--status", "failed", "-o", "id")).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        var attempts = new List<TaskBody>();
        foreach (var id in failed) attempts.Add(await fixture.Scene.Workspace.TaskAsync(id));
        attempts.Where(t => t.Retry is not null).Select(t => t.Attempt).ShouldBe([2, 1]);
    }

    private async Task<ScheduleBody> OfAsync(params string[] arguments) =>
        JsonSerializer.Deserialize(await RunAsync(["schedules", .. arguments]), WireJson.Default.ScheduleBody)!;

    private async Task<string> RunAsync(params string[] arguments)
    {
        await using var cli = fixture.Run(arguments);
        (await cli.EndAsync()).ShouldBe(0, cli.Describe());
        return cli.Output.Text;
    }
}
