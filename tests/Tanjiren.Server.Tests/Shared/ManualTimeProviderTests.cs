using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Shared;

public sealed class ManualTimeProviderTests
{
    [Fact]
    public async Task A_delay_ends_when_the_clock_reaches_it_and_not_before()
    {
        var time = new ManualTimeProvider();
        var delay = Task.Delay(TimeSpan.FromSeconds(10), time, TestContext.Current.CancellationToken);
        time.Advance(TimeSpan.FromSeconds(9.999));
        delay.IsCompleted.ShouldBeFalse();
        time.Advance(TimeSpan.FromMilliseconds(1));
        await delay.WaitAsync(TimeSpan.FromSeconds(10), TestContext.Current.CancellationToken);
        time.PendingTimers.ShouldBe(0);
    }

    [Fact]
    public void Timers_fire_in_order_each_at_its_own_instant()
    {
        var time = new ManualTimeProvider();
        var start = time.GetUtcNow();
        var fired = new List<double>();
        void Note(object? _) => fired.Add((time.GetUtcNow() - start).TotalSeconds);
        using var late = time.CreateTimer(Note, null, TimeSpan.FromSeconds(5), Timeout.InfiniteTimeSpan);
        using var periodic = time.CreateTimer(Note, null, TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(2));
        time.Advance(TimeSpan.FromSeconds(6));
        fired.ShouldBe([2, 4, 5, 6]);
        (time.GetUtcNow() - start).ShouldBe(TimeSpan.FromSeconds(6));
    }

    [Fact]
    public void A_wall_step_leaves_elapsed_time_and_timers_alone()
    {
        var time = new ManualTimeProvider();
        var (wall, stamp, fired) = (time.GetUtcNow(), time.GetTimestamp(), 0);
        using var timer = time.CreateTimer(_ => fired++, null, TimeSpan.FromMinutes(1), Timeout.InfiniteTimeSpan);
        time.StepWall(TimeSpan.FromMinutes(10));
        (time.GetUtcNow() - wall).ShouldBe(TimeSpan.FromMinutes(10));
        time.GetElapsedTime(stamp).ShouldBe(TimeSpan.Zero);
        fired.ShouldBe(0);
        time.Advance(TimeSpan.FromMinutes(1));
        fired.ShouldBe(1);
    }

    [Fact]
    public void A_disposed_timer_never_fires()
    {
        var time = new ManualTimeProvider();
        var fired = 0;
        var timer = time.CreateTimer(_ => fired++, null, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1));
        time.Advance(TimeSpan.FromSeconds(1));
        timer.Dispose();
        time.Advance(TimeSpan.FromSeconds(5));
        fired.ShouldBe(1);
        timer.Change(TimeSpan.Zero, TimeSpan.Zero).ShouldBeFalse();
    }
}
