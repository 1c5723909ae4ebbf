using Microsoft.Extensions.Logging.Abstractions;
using Tanjiren.Server.Hosting;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Hosting;

/// <summary>A loop that sleeps until something is due: to the millisecond, and never for long.</summary>
public sealed class DueLoopTests
{
    [Fact]
    public async Task It_sleeps_until_the_next_thing_is_due_and_no_longer()
    {
        using var loop = new Loop();
        await loop.StartAsync(TestContext.Current.CancellationToken);
        await loop.SleepsAfterAsync(1);
        loop.Next = loop.Clock.GetUtcNow().AddMilliseconds(3210);
        loop.WakeUps.Notify("due");
        await loop.SleepsAfterAsync(2);
        loop.Record.Status().NextRunAt.ShouldBe(loop.Next);

        loop.Clock.Advance(TimeSpan.FromMilliseconds(3209));
        loop.Passes.ShouldBe(2);
        loop.Next = null;
        loop.Clock.Advance(TimeSpan.FromMilliseconds(1));
        await loop.SleepsAfterAsync(3);
        await loop.StopAsync(CancellationToken.None);
    }

    [Fact]
    public async Task A_lost_wake_up_costs_five_seconds_and_a_failed_pass_one()
    {
        using var loop = new Loop { Next = DateTimeOffset.MaxValue };
        await loop.StartAsync(TestContext.Current.CancellationToken);
        await loop.SleepsAfterAsync(1);
        loop.Fails = true;
        loop.Clock.Advance(TimeSpan.FromSeconds(5));
        await loop.SleepsAfterAsync(2);
        loop.Record.Status().LastError.ShouldBe("broken");
        loop.Fails = false;
        loop.Clock.Advance(TimeSpan.FromSeconds(1));
        await loop.SleepsAfterAsync(3);
        await loop.StopAsync(CancellationToken.None);
    }

    [Fact]
    public async Task One_that_can_not_be_dealt_with_does_not_hold_up_the_others()
    {
        using var loop = new Loop { Ids = ["a", "bad", "c"] };
        (await Should.ThrowAsync<InvalidOperationException>(() => loop.RunOnceAsync(TestContext.Current.CancellationToken))).Message.ShouldBe("bad");
        loop.Done.ShouldBe(["a", "c"]);
    }

    [Fact]
    public async Task It_ends_with_the_server()
    {
        using var loop = new Loop();
        await loop.StartAsync(TestContext.Current.CancellationToken);
        await loop.SleepsAfterAsync(1);
        await loop.WakeUps.CloseAsync();
        await loop.ExecuteTask!.WaitAsync(TimeSpan.FromSeconds(90), TestContext.Current.CancellationToken);
        loop.Passes.ShouldBe(1);
    }

    private sealed class Loop(ManualTimeProvider clock, WakeUps wakeUps) : DueLoop("due", "due", wakeUps, clock, NullLogger.Instance)
    {
        private int _passes;

        public Loop() : this(new ManualTimeProvider(), new WakeUps())
        {
        }

        public new ManualTimeProvider Clock { get; } = clock;
        public WakeUps WakeUps { get; } = wakeUps;
        public DateTimeOffset? Next { get; set; }
        public bool Fails { get; set; }
        public string[] Ids { get; init; } = [];
        public List<string> Done { get; } = [];
        public int Passes => Volatile.Read(ref _passes);

        public Task SleepsAfterAsync(int passes) => Eventually.TrueAsync(() => Passes == passes && Clock.PendingTimers == 1, () => $"{Passes} passes, {Clock.PendingTimers} timers");

        public override async Task<DateTimeOffset?> RunOnceAsync(CancellationToken cancellationToken)
        {
            Interlocked.Increment(ref _passes);
            if (Fails) throw new InvalidOperationException("broken");
            await EachAsync(Ids, id =>
            {
                if (id == "bad") throw new InvalidOperationException(id);
                Done.Add(id);
                return Task.CompletedTask;
            }, cancellationToken);
            return Next;
        }

        public override void Dispose()
        {
            base.Dispose();
            WakeUps.Dispose();
        }
    }
}
