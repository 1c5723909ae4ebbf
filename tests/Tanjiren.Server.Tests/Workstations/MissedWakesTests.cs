using Tanjiren.Server.Workstations;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Workstations;

public sealed class MissedWakesTests
{
    [Fact]
    public void They_are_counted_by_machine_up_to_a_limit_halved_every_minute_and_forgotten_at_a_claim()
    {
        var clock = new ManualTimeProvider();
        var missed = new MissedWakes(clock);
        missed.Of("a").ShouldBe(0);
        for (var i = 1; i <= 3; i++)
        {
            missed.Add("a");
            missed.Of("a").ShouldBe(i);
        }
        missed.Of("b").ShouldBe(0);
        clock.Advance(MissedWakes.HalfLife - TimeSpan.FromTicks(1));
        missed.Of("a").ShouldBe(3);
        clock.Advance(TimeSpan.FromTicks(1));
        missed.Of("a").ShouldBe(1);
        missed.Add("a");
        missed.Of("a").ShouldBe(2, "counted from what was left");
        for (var i = 0; i < 100; i++) missed.Add("a");
        missed.Of("a").ShouldBe(MissedWakes.Most);
        clock.Advance(MissedWakes.HalfLife * 4);
        missed.Of("a").ShouldBe(0);
        missed.Add("a");
        missed.Claimed("a");
        missed.Of("a").ShouldBe(0);
        missed.Add("a");
        clock.Advance(TimeSpan.FromDays(10_000));
        missed.Of("a").ShouldBe(0);
    }
}
