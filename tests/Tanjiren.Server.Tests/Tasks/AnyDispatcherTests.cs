using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Workstations;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Tasks;

/// <summary>Who is woken for a step that anybody may run, and in which order. Waiting for a hint takes real time; between two hints passes only the clock of the test.</summary>
public sealed class AnyDispatcherTests
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(90);

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_healthier_is_woken_before_the_less_loaded_and_who_is_not_ready_never(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var wide = await engine.AddWorkstationAsync("wide", ["gpu"], maxConcurrent: 100);
        var narrow = await engine.AddWorkstationAsync("narrow", ["gpu"], maxConcurrent: 2);
        var (untrusted, draining, offline) = (await engine.AddWorkstationAsync("untrusted", ["gpu"]), await engine.AddWorkstationAsync("draining", ["gpu"]), await engine.AddWorkstationAsync("offline", ["gpu"]));
        // Three of a hundred cost health, one of two does not: narrow is asked first although it is the more loaded one.
        for (var i = 0; i < 3; i++) await RunAsync(engine, wide);
        await RunAsync(engine, narrow);
        await engine.ExecuteAsync("UPDATE instance_keys SET revoked_at = 1 WHERE instance_id = @InstanceId", new { untrusted.InstanceId });
        await engine.ExecuteAsync("UPDATE instances SET draining = 1 WHERE id = @InstanceId", new { draining.InstanceId });
        await engine.ExecuteAsync("UPDATE instances SET last_heartbeat_at = 0 WHERE id = @InstanceId", new { offline.InstanceId });

        using var woken = new Hints(engine, wide, narrow, untrusted, draining, offline);
        var task = await engine.CreateTaskAsync(ClaimTests.AnyGpu());
        (await woken.NextAsync()).ShouldBe(narrow.InstanceId);
        woken.Any.ShouldBeFalse("it has 250 ms for itself");
        await woken.AdvanceToNextAsync(wide.InstanceId);
        (await engine.ClaimAsync(wide, task.Execution!.Steps[0])).Refusal.ShouldBeNull();
        await Eventually.TrueAsync(() =>
        {
            engine.Clock.Advance(TimeSpan.FromSeconds(5));
            return engine.Clock.PendingTimers == 0;
        }, what: "the dispatcher has ended");
        woken.Any.ShouldBeFalse();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Steps_that_come_together_are_spread(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        Device[] machines = [await engine.AddWorkstationAsync("a", ["gpu"]), await engine.AddWorkstationAsync("b", ["gpu"]), await engine.AddWorkstationAsync("c", ["gpu"])];
        using var woken = new Hints(engine, machines);
        var first = new List<string>();
        for (var i = 0; i < 3; i++)
        {
            await engine.CreateTaskAsync(ClaimTests.AnyGpu());
            first.Add(await woken.NextAsync());
        }
        first.ShouldBe(machines.Select(m => m.InstanceId), ignoreOrder: true, "nobody has claimed anything, and yet each wakes another one");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Who_came_after_the_fleet_was_looked_at_is_woken_within_a_second(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var old = await engine.AddWorkstationAsync("old", ["gpu"]);
        using (var woken = new Hints(engine, old))
        {
            var looked = await engine.CreateTaskAsync(ClaimTests.AnyGpu());
            (await woken.NextAsync()).ShouldBe(old.InstanceId);
            (await engine.ClaimAsync(old, looked.Execution!.Steps[0])).Refusal.ShouldBeNull();
        }
        await engine.MoveClocksAsync(TimeSpan.FromMilliseconds(500));
        var young = await engine.AddWorkstationAsync("young", ["gpu"]);
        await engine.ExecuteAsync("UPDATE instances SET draining = 1 WHERE id = @InstanceId", new { old.InstanceId });
        using (var woken = new Hints(engine, young, old))
        {
            await engine.CreateTaskAsync(ClaimTests.AnyGpu());
            await woken.AdvanceToNextAsync(young.InstanceId);
        }
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Who_misses_a_wake_up_is_asked_after_the_others_until_it_claims_something_or_time_has_passed(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var hangs = await engine.AddWorkstationAsync("hangs", ["gpu"]);
        engine.Clock.Advance(TimeSpan.FromMilliseconds(1));
        var works = await engine.AddWorkstationAsync("works", ["gpu"]);
        var dispatcher = (AnyDispatcher)engine.Service(typeof(AnyDispatcher));
        using var woken = new Hints(engine, hangs, works);
        var runs = 0;
        async Task<string> DispatchAsync()
        {
            var task = await engine.CreateTaskAsync(ClaimTests.AnyGpu());
            var first = await woken.NextAsync();
            if (first == hangs.InstanceId) await woken.AdvanceToNextAsync(works.InstanceId);
            // Claimed and ended: nothing of it counts when the next one is dispatched.
            (await engine.ClaimAsync(works, task.Execution!.Steps[0])).Refusal.ShouldBeNull();
            await engine.CompleteAsync(works, task.Execution.Steps[0].Id, 1);
            runs++;
            await Eventually.TrueAsync(() =>
            {
                engine.Clock.Advance(TimeSpan.FromMilliseconds(50));
                return dispatcher.Record.Status().Runs == runs;
            });
            return first;
        }

        (await DispatchAsync()).ShouldBe(hangs.InstanceId, "the older of two equals");
        (await DispatchAsync()).ShouldBe(works.InstanceId, "it missed the last one");
        (await RunOnAsync(engine, hangs)).Refusal.ShouldBeNull();
        (await woken.NextAsync()).ShouldBe(hangs.InstanceId, "that was for its own step");
        (await DispatchAsync()).ShouldBe(hangs.InstanceId, "it claimed something");
        (await DispatchAsync()).ShouldBe(works.InstanceId);
        engine.Clock.Advance(MissedWakes.HalfLife);
        await engine.ExecuteAsync("UPDATE instances SET last_heartbeat_at = @now", new { now = engine.Clock.GetUtcNow().ToUnixTimeMilliseconds() });
        (await DispatchAsync()).ShouldBe(hangs.InstanceId, "that was long ago");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_fleet_is_read_once_a_second_however_many_ask(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("one");
        var fleets = (FleetView)engine.Service(typeof(FleetView));
        Task<FleetSnapshot> RecentAsync() => fleets.RecentAsync(engine.Owner.OrganizationId, Cancelled);
        var first = await RecentAsync();
        first.Ready.ShouldHaveSingleItem();
        engine.Clock.Advance(TimeSpan.FromMilliseconds(999));
        foreach (var again in await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => RecentAsync()))) again.ShouldBeSameAs(first);

        // One that is of now comes when the second is over, and is shared by all who want one.
        var newer = Enumerable.Range(0, 20).Select(_ => fleets.AfterAsync(engine.Owner.OrganizationId, engine.Clock.GetTimestamp(), Cancelled)).ToList();
        newer.ShouldAllBe(n => !n.IsCompleted);
        engine.Clock.Advance(TimeSpan.FromMilliseconds(1));
        var second = await newer[0];
        second.ShouldNotBeSameAs(first);
        foreach (var other in await Task.WhenAll(newer)) other.ShouldBeSameAs(second);
        (await RecentAsync()).ShouldBeSameAs(second);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task For_a_step_that_nobody_may_claim_nobody_is_woken(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("one", ["gpu"]);
        var dispatcher = (AnyDispatcher)engine.Service(typeof(AnyDispatcher));
        var stepId = (await engine.CreateTaskAsync(ClaimTests.AnyGpu())).Execution!.Steps[0].Id;
        await Eventually.TrueAsync(() => Woken(dispatcher) == 1);
        await engine.Clock.AdvanceOnceSleepingAsync(TimeSpan.FromMilliseconds(250));
        await Eventually.TrueAsync(() => dispatcher.Record.Status().Runs == 1);

        var now = engine.Clock.GetUtcNow().ToUnixTimeMilliseconds();
        var runs = 1;
        foreach (var (keep, release) in new[]
        {
            ("UPDATE tasks SET held_at = 1", "UPDATE tasks SET held_at = NULL"),
            ($"UPDATE tasks SET frozen_until = {now + 1}", $"UPDATE tasks SET frozen_until = {now}"),
            ("UPDATE steps SET approval_from = 1", "UPDATE steps SET approval_from = 0"),
            ("UPDATE executions SET active_steps = 1", "UPDATE executions SET active_steps = 0"),
        })
        {
            await engine.ExecuteAsync(keep);
            dispatcher.Dispatch(stepId);
            runs++;
            await Eventually.TrueAsync(() => dispatcher.Record.Status().Runs == runs, what: keep);
            Woken(dispatcher).ShouldBe(1, keep);
            await engine.ExecuteAsync(release);
        }
        dispatcher.Dispatch(stepId);
        await Eventually.TrueAsync(() => Woken(dispatcher) == 2);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_step_that_comes_back_starts_over_at_once_and_leaves_out_who_was_refused_it(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var first = await engine.AddWorkstationAsync("first", ["gpu"]);
        engine.Clock.Advance(TimeSpan.FromMilliseconds(1));
        var second = await engine.AddWorkstationAsync("second", ["gpu"]);
        using var woken = new Hints(engine, first, second);
        var stepId = (await engine.CreateTaskAsync(ClaimTests.AnyGpu())).Execution!.Steps[0].Id;
        (await woken.NextAsync()).ShouldBe(first.InstanceId);
        await engine.ExecuteAsync("INSERT INTO step_holds (step_id, instance_id, held_until, forbidden) VALUES (@stepId, @InstanceId, @until, 0)",
            new { stepId, first.InstanceId, until = engine.Clock.GetUtcNow().AddMinutes(5).ToUnixTimeMilliseconds() });

        // Not a millisecond of the 250 has passed.
        ((AnyDispatcher)engine.Service(typeof(AnyDispatcher))).Dispatch(stepId);
        (await woken.NextAsync()).ShouldBe(second.InstanceId);
        await engine.ExecuteAsync("UPDATE step_holds SET held_until = @now", new { now = engine.Clock.GetUtcNow().ToUnixTimeMilliseconds() });
        ((AnyDispatcher)engine.Service(typeof(AnyDispatcher))).Dispatch(stepId);
        (await woken.NextAsync()).ShouldBe(first.InstanceId, "that is over");
    }

    [Fact]
    public async Task So_many_are_dispatched_at_once_and_the_others_when_their_turn_comes()
    {
        await using var engine = await Engine.StartAsync(DatabaseKind.Sqlite);
        await engine.AddWorkstationAsync("one", ["gpu"]);
        var dispatcher = (AnyDispatcher)engine.Service(typeof(AnyDispatcher));
        for (var i = 0; i < AnyDispatcher.MaxAtOnce + 20; i++) await engine.CreateTaskAsync(ClaimTests.AnyGpu());
        await Eventually.TrueAsync(() => Woken(dispatcher) == AnyDispatcher.MaxAtOnce, () => $"{Woken(dispatcher)} woken");
        await engine.Clock.AdvanceOnceSleepingAsync(TimeSpan.FromMilliseconds(250), AnyDispatcher.MaxAtOnce);
        await Eventually.TrueAsync(() => Woken(dispatcher) == AnyDispatcher.MaxAtOnce + 20, () => $"{Woken(dispatcher)} woken");
    }

    private static long Woken(AnyDispatcher dispatcher) => dispatcher.Record.Status().Counters.GetValueOrDefault("woken");

    /// <summary>A step that it claims and ends.</summary>
    private static async Task<ClaimResult> RunOnAsync(Engine engine, Device machine)
    {
        var step = (await engine.CreateTaskAsync([machine])).Execution!.Steps[0];
        var claim = await engine.ClaimAsync(machine, step);
        await engine.CompleteAsync(machine, step.Id, 1);
        return claim;
    }

    private static async Task RunAsync(Engine engine, Device machine) =>
        (await engine.ClaimAsync(machine, (await engine.CreateTaskAsync([machine])).Execution!.Steps[0])).Refusal.ShouldBeNull();

    /// <summary>Hints for these machines, in the order in which they come.</summary>
    private sealed class Hints : IDisposable
    {
        private readonly Engine _engine;
        private readonly CancellationTokenSource _stop = CancellationTokenSource.CreateLinkedTokenSource(Cancelled);
        private readonly System.Threading.Channels.Channel<string> _woken = System.Threading.Channels.Channel.CreateUnbounded<string>();

        public Hints(Engine engine, params Device[] machines)
        {
            _engine = engine;
            foreach (var machine in machines) _ = ListenAsync(machine.InstanceId, engine.WakeUps.Subscribe(WakeUps.Work(machine.InstanceId)));
        }

        public bool Any => _woken.Reader.Count > 0;

        public async Task<string> NextAsync() => await _woken.Reader.ReadAsync(Cancelled).AsTask().WaitAsync(Soon, TimeProvider.System, Cancelled);

        /// <summary>Moves the clock, a little at a time, until somebody is woken.</summary>
        public async Task AdvanceToNextAsync(string expected)
        {
            var next = NextAsync();
            var steps = 0;
            await Eventually.TrueAsync(() =>
            {
                if (steps++ < 40) _engine.Clock.Advance(TimeSpan.FromMilliseconds(50));
                return next.IsCompleted;
            });
            (await next).ShouldBe(expected);
        }

        public void Dispose()
        {
            _stop.Cancel();
            _stop.Dispose();
        }

        private async Task ListenAsync(string instanceId, WakeUps.Subscription subscription)
        {
            using (subscription)
            {
                while (!_stop.IsCancellationRequested)
                    if (await subscription.WaitAsync(TimeSpan.FromMinutes(1), TimeProvider.System, _stop.Token)) _woken.Writer.TryWrite(instanceId);
            }
        }
    }
}
