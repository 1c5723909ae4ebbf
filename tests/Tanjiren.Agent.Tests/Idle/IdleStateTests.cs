using Tanjiren.Agent.Idle;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.Idle;

/// <summary>The word between the loops, on a clock that the test moves.</summary>
public sealed class IdleStateTests
{
    private static readonly TimeSpan After = TimeSpan.FromSeconds(600);

    private readonly ManualTimeProvider clock = new();
    private readonly IdleState idle;

    public IdleStateTests() => idle = new IdleState(After, clock);

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public void It_suspends_only_after_its_time_and_once_nobody_waits_for_work()
    {
        clock.Advance(After - TimeSpan.FromMilliseconds(1));
        idle.TrySettle().ShouldBeFalse();
        idle.TrySuspend().ShouldBeFalse("it was not settled");
        var visit = idle.TryEnter()!;
        clock.Advance(TimeSpan.FromMilliseconds(1));

        idle.TrySettle().ShouldBeTrue();
        visit.BreakOff.IsCancellationRequested.ShouldBeTrue();
        idle.TryEnter().ShouldBeNull();
        idle.TrySuspend().ShouldBeFalse("the poll that was broken off has not left");
        idle.Since.ShouldBeNull();
        visit.Dispose();

        idle.TrySuspend().ShouldBeTrue();
        (idle.Phase, idle.Since).ShouldBe((IdlePhase.Suspended, clock.GetUtcNow()));
        idle.Hanging!.Value.IsCancellationRequested.ShouldBeFalse();
    }

    [Fact]
    public void Work_in_the_moment_of_settling_is_worked_on_and_the_time_begins_anew()
    {
        clock.Advance(After);
        var visit = idle.TryEnter()!;
        idle.TrySettle().ShouldBeTrue();

        // The poll was answered just before it was broken off.
        idle.Stir().ShouldBeTrue();
        visit.Dispose();

        idle.TrySuspend().ShouldBeFalse();
        idle.TrySettle().ShouldBeFalse();
        idle.Left.ShouldBe(After);
        idle.TryEnter()!.BreakOff.IsCancellationRequested.ShouldBeFalse();
    }

    [Fact]
    public void What_is_taken_away_for_a_suspension_is_taken_in_it_or_never()
    {
        var taken = 0;
        idle.WhileSuspended(() => taken++).ShouldBeFalse();
        Suspend();
        idle.WhileSuspended(() => taken++).ShouldBeTrue();
        idle.Stir();
        idle.WhileSuspended(() => taken++).ShouldBeFalse();
        taken.ShouldBe(1);
    }

    [Fact]
    public void A_stir_ends_the_hanging_request_and_the_next_suspension_has_one_of_its_own()
    {
        Suspend();
        var hanging = idle.Hanging!.Value;
        idle.Stir().ShouldBeTrue();
        hanging.IsCancellationRequested.ShouldBeTrue();
        (idle.Hanging, idle.Since, idle.Phase).ShouldBe((null, null, IdlePhase.Awake));
        idle.Stir().ShouldBeFalse("it was awake");

        Suspend();
        idle.Hanging!.Value.IsCancellationRequested.ShouldBeFalse();
    }

    [Fact]
    public async Task What_looks_now_and_then_looks_at_once_while_awake_and_with_each_heartbeat_while_suspended()
    {
        await idle.BeatAsync(Ct);
        Suspend();
        var look = idle.BeatAsync(Ct);
        look.IsCompleted.ShouldBeFalse();
        idle.Beaten();
        await look;

        look = idle.BeatAsync(Ct);
        look.IsCompleted.ShouldBeFalse();
        idle.Stir();
        await look;
        clock.PendingTimers.ShouldBe(0, "nothing here wakes the machine by itself");
    }

    [Fact]
    public async Task Waits_are_level_triggered()
    {
        await idle.AwakeAsync(Ct);
        var suspended = idle.SuspendedAsync(Ct);
        Suspend();
        await suspended;
        await idle.SuspendedAsync(Ct);
        var awake = idle.AwakeAsync(Ct);
        awake.IsCompleted.ShouldBeFalse();
        idle.Stir();
        await awake;
    }

    [Fact]
    public void Zero_seconds_means_never()
    {
        var never = new IdleState(TimeSpan.Zero, clock);
        clock.Advance(TimeSpan.FromDays(365));
        never.IsEnabled.ShouldBeFalse();
        never.TrySettle().ShouldBeFalse();
        never.TryEnter().ShouldNotBeNull();
    }

    [Theory]
    // asked for by the server, cut before -> seconds
    [InlineData(30, false, 30)]
    [InlineData(60, false, 60)]
    [InlineData(300, false, 60)]
    [InlineData(30, true, 25)]
    [InlineData(10, true, 10)]
    [InlineData(0, false, 1)]
    public void It_hangs_as_long_as_the_server_asks_for_and_as_something_in_between_allows(int asked, bool cut, int seconds) =>
        IdleRules.HangSeconds(TimeSpan.FromSeconds(asked), cut, new AgentTimeouts()).ShouldBe(seconds);

    [Fact]
    public void A_hang_of_more_than_the_server_holds_is_refused_at_the_start() =>
        new AgentTimeouts { IdleHang = TimeSpan.FromSeconds(61) }.Validate().ShouldHaveSingleItem().ShouldContain("IdleHang");

    private void Suspend()
    {
        clock.Advance(After);
        idle.TrySettle().ShouldBeTrue();
        idle.TrySuspend().ShouldBeTrue();
    }
}
