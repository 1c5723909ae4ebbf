using Tanjiren.Protocol;
using Tanjiren.Server.Schedules;

namespace Tanjiren.Server.Tests.Schedules;

public sealed class ScheduleRulesTests
{
    private static readonly DateTimeOffset Ten = new(2026, 1, 5, 10, 0, 0, TimeSpan.Zero);

    [Theory]
    // The due tick, seconds later: which is fired (minutes after ten; -1 none), how many were missed, which is next.
    [InlineData("*/10 * * * *", 0, MissedRunRule.Skip, 0, 0, 10)]
    [InlineData("*/10 * * * *", 60, MissedRunRule.Skip, 0, 0, 10)]
    [InlineData("*/10 * * * *", 61, MissedRunRule.Skip, -1, 1, 10)]
    [InlineData("*/10 * * * *", 61, MissedRunRule.Once, 0, 0, 10)]
    [InlineData("*/10 * * * *", 35 * 60, MissedRunRule.Skip, -1, 4, 40)]
    [InlineData("*/10 * * * *", 35 * 60, MissedRunRule.Once, 30, 3, 40)]
    [InlineData("*/10 * * * *", 30 * 60 + 5, MissedRunRule.Skip, 30, 3, 40)]
    [InlineData("*/10 * * * *", 30 * 60, MissedRunRule.Once, 30, 3, 40)]
    public void Of_several_due_ticks_the_latest_is_fired_unless_it_is_too_late(string cron, int secondsLater, MissedRunRule rule, int fired, long missed, int next)
    {
        var plan = ScheduleRules.Plan(CronScheduleTests.Parse(cron, "UTC"), Ten, Ten.AddSeconds(secondsLater), rule);
        plan.Fire.ShouldBe(fired < 0 ? null : Ten.AddMinutes(fired));
        (plan.Missed, plan.Next).ShouldBe((missed, Ten.AddMinutes(next)));
    }

    [Fact]
    public void After_a_year_away_the_count_stops_and_the_latest_tick_is_still_the_latest()
    {
        var now = Ten.AddYears(1).AddSeconds(90);
        var plan = ScheduleRules.Plan(CronScheduleTests.Parse("* * * * *", "UTC"), Ten, now, MissedRunRule.Once);
        (plan.Fire, plan.Missed, plan.Next).ShouldBe((Ten.AddYears(1).AddMinutes(1), ScheduleRules.MaxCounted, Ten.AddYears(1).AddMinutes(2)));
    }
}
