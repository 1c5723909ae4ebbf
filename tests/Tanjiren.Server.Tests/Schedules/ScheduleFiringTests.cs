using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Governance;
using Tanjiren.Server.Schedules;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tests.Tasks;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Schedules;

/// <summary>Ticks in virtual time: what each makes, and what it does when it can't. The clock starts at midnight, 1 January 2026, UTC.</summary>
public sealed class ScheduleFiringTests
{
    private static readonly DateTimeOffset Midnight = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Each_tick_makes_a_new_task_in_the_owners_name_and_sets_the_next(DatabaseKind kind)
    {
        await using var scene = await Scene.StartAsync(kind, "*/5 * * * *", OverlapRule.Allow);
        (await scene.PassAsync()).ShouldBe(Midnight.AddMinutes(5));
        (await scene.TasksAsync()).ShouldBeEmpty("nothing is due");

        scene.Engine.Clock.Advance(TimeSpan.FromMinutes(5));
        (await scene.PassAsync()).ShouldBe(Midnight.AddMinutes(10));
        await scene.PassAsync();
        scene.Engine.Clock.Advance(TimeSpan.FromMinutes(5));
        await scene.PassAsync();

        var tasks = await scene.TasksAsync();
        tasks.Select(t => t.ScheduleTickAt).ShouldBe([Midnight.AddMinutes(5), Midnight.AddMinutes(10)]);
        tasks.ShouldAllBe(t => t.ScheduleId == scene.Id && t.CreatedBy == scene.Engine.Owner.UserId && t.State == TaskState.Queued && t.Intent == "tick");
        var schedule = await scene.ScheduleAsync();
        (schedule.Runs, schedule.LastTickAt, schedule.LastTaskId, schedule.NextRunAt).ShouldBe((2, Midnight.AddMinutes(10), tasks[1].Id, Midnight.AddMinutes(15)));
        (await scene.Engine.QueryAsync<long>("SELECT count(*) FROM audit_events WHERE action = 'task.created'")).ShouldBe(2);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Forbid_skips_a_tick_while_the_task_before_runs(DatabaseKind kind)
    {
        await using var scene = await Scene.StartAsync(kind, "* * * * *", OverlapRule.Forbid);
        await scene.TickAsync(3);
        (await scene.TasksAsync()).Count.ShouldBe(1);
        await scene.EndAsync(0);
        await scene.TickAsync();
        (await scene.TasksAsync()).Select(t => t.ScheduleTickAt).ShouldBe([Midnight.AddMinutes(1), Midnight.AddMinutes(4)]);
        var schedule = await scene.ScheduleAsync();
        (schedule.Runs, schedule.Skipped, schedule.LastTickAt).ShouldBe((2, 2, Midnight.AddMinutes(4)));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Allow_runs_them_beside_each_other(DatabaseKind kind)
    {
        await using var scene = await Scene.StartAsync(kind, "* * * * *", OverlapRule.Allow);
        await scene.TickAsync(3);
        (await scene.TasksAsync()).Count.ShouldBe(3);
        (await scene.ScheduleAsync()).Skipped.ShouldBe(0);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Queue_makes_one_task_when_the_one_before_has_ended(DatabaseKind kind)
    {
        await using var scene = await Scene.StartAsync(kind, "* * * * *", OverlapRule.Queue);
        await scene.TickAsync(4);
        (await scene.TasksAsync()).Count.ShouldBe(1);
        var waiting = await scene.ScheduleAsync();
        (waiting.WaitingTickAt, waiting.Skipped).ShouldBe((Midnight.AddMinutes(2), 2), "one waits, the others are counted");

        await scene.EndAsync(0);
        await scene.PassAsync();
        (await scene.TasksAsync()).Select(t => t.ScheduleTickAt).ShouldBe([Midnight.AddMinutes(1), Midnight.AddMinutes(2)], "without waiting for the next tick");
        (await scene.ScheduleAsync()).WaitingTickAt.ShouldBeNull();
        await scene.TickAsync();
        (await scene.ScheduleAsync()).WaitingTickAt.ShouldBe(Midnight.AddMinutes(5));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_task_that_will_be_tried_again_has_not_ended(DatabaseKind kind)
    {
        await using var scene = await Scene.StartAsync(kind, "* * * * *", OverlapRule.Queue, retry: new RetryPolicy { MaxAttempts = 2, BackoffSeconds = 300 });
        await scene.TickAsync();
        await scene.EndAsync(0, StepOutcome.Failed);
        await scene.TickAsync();
        (await scene.TasksAsync()).Count.ShouldBe(1, "its retry is pending");
        scene.Engine.Clock.Advance(TimeSpan.FromMinutes(5));
        await scene.Engine.Retries.RunOnceAsync(Token);
        await scene.PassAsync();
        var tasks = await scene.TasksAsync();
        (tasks.Count, tasks[1].RetryOfTaskId, tasks[1].ScheduleTickAt).ShouldBe((2, tasks[0].Id, null), "the retry runs");
        await scene.EndAsync(1, StepOutcome.Failed);
        scene.Engine.Clock.Advance(TimeSpan.FromSeconds(1)); // ids of one millisecond have no order
        await scene.PassAsync();
        (await scene.TasksAsync())[2].ScheduleTickAt.ShouldBe(Midnight.AddMinutes(2), "it was the last attempt");
    }

    [Theory]
    [InlineData(DatabaseKind.Sqlite, OverlapRule.Forbid)]
    [InlineData(DatabaseKind.Sqlite, OverlapRule.Queue)]
    [InlineData(DatabaseKind.Postgres, OverlapRule.Forbid)]
    [InlineData(DatabaseKind.Postgres, OverlapRule.Queue)]
    public async Task A_task_that_waits_for_its_approval_has_not_ended(DatabaseKind kind, OverlapRule overlap)
    {
        await using var scene = await Scene.StartAsync(kind, "* * * * *", overlap);
        scene.Engine.Doctrine = _ => new DoctrineDecision(ApprovalClass.SensitiveWrite, [], false, null, false, 0);
        await scene.TickAsync(3);
        var asked = (await scene.TasksAsync()).ShouldHaveSingleItem();
        asked.State.ShouldBe(TaskState.Planned);
        var schedule = await scene.ScheduleAsync();
        (schedule.Skipped, schedule.WaitingTickAt).ShouldBe(overlap == OverlapRule.Forbid ? (2, null) : (1, Midnight.AddMinutes(2)));

        (await scene.Engine.Approvals.RejectAsync(scene.Engine.Owner, asked.Id, null, "no", Token)).ShouldBeNull();
        if (overlap == OverlapRule.Queue) await scene.PassAsync();
        else await scene.TickAsync();
        (await scene.TasksAsync()).Select(t => t.ScheduleTickAt).ShouldBe([Midnight.AddMinutes(1), Midnight.AddMinutes(overlap == OverlapRule.Forbid ? 4 : 2)]);
    }

    [Theory]
    [InlineData(DatabaseKind.Sqlite, MissedRunRule.Skip)]
    [InlineData(DatabaseKind.Sqlite, MissedRunRule.Once)]
    [InlineData(DatabaseKind.Postgres, MissedRunRule.Skip)]
    [InlineData(DatabaseKind.Postgres, MissedRunRule.Once)]
    public async Task Ticks_that_no_server_saw_are_missed_by_the_rule(DatabaseKind kind, MissedRunRule rule)
    {
        await using var scene = await Scene.StartAsync(kind, "*/10 * * * *", OverlapRule.Allow, rule);
        await scene.TickAsync(1, minutes: 10);
        // The server dies, and comes back 35 minutes later.
        scene.Engine.Clock.Advance(TimeSpan.FromMinutes(35));
        (await scene.PassAsync()).ShouldBe(Midnight.AddMinutes(50));

        DateTimeOffset?[] expected = rule == MissedRunRule.Skip ? [Midnight.AddMinutes(10)] : [Midnight.AddMinutes(10), Midnight.AddMinutes(40)];
        (await scene.TasksAsync()).Select(t => t.ScheduleTickAt).ShouldBe(expected);
        var schedule = await scene.ScheduleAsync();
        (schedule.Missed, schedule.LastTickAt).ShouldBe((rule == MissedRunRule.Skip ? 3 : 2, Midnight.AddMinutes(40)));
        await scene.TickAsync(1, minutes: 5);
        (await scene.TasksAsync())[^1].ScheduleTickAt.ShouldBe(Midnight.AddMinutes(50));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_restart_within_a_minute_misses_nothing(DatabaseKind kind)
    {
        await using var scene = await Scene.StartAsync(kind, "*/10 * * * *", OverlapRule.Allow);
        scene.Engine.Clock.Advance(TimeSpan.FromMinutes(10) + TimeSpan.FromSeconds(59));
        await scene.PassAsync();
        (await scene.TasksAsync()).ShouldHaveSingleItem().ScheduleTickAt.ShouldBe(Midnight.AddMinutes(10));
    }

    [Theory]
    [InlineData(DatabaseKind.Sqlite, "DELETE FROM memberships WHERE user_id = @userId")]
    [InlineData(DatabaseKind.Postgres, "UPDATE memberships SET role = 'viewer' WHERE user_id = @userId")]
    public async Task A_schedule_whose_owner_may_run_nothing_any_more_is_paused_with_the_reason(DatabaseKind kind, string loss)
    {
        await using var scene = await Scene.StartAsync(kind, "* * * * *", OverlapRule.Allow);
        var owner = scene.Engine.Owner;
        await scene.Engine.ExecuteAsync(loss, new { userId = owner.UserId });
        await scene.TickAsync(2);

        (await scene.TasksAsync()).ShouldBeEmpty();
        var paused = await scene.ScheduleAsync();
        (paused.PausedAt, paused.NextRunAt).ShouldBe((Midnight.AddMinutes(1), null));
        paused.PauseReason.ShouldBe($"Its owner {owner.UserId} may run no tasks here any more.");
        (await scene.Engine.QueryAsync<string>("SELECT actor || ' ' || detail FROM audit_events WHERE action = 'schedule.paused' AND subject = @Id", new { scene.Id }))
            .ShouldBe($"server tick: {paused.PauseReason}");

        // Somebody else takes it over by resuming it.
        var heir = await scene.Engine.AddMemberAsync("heir", Role.Member);
        (await scene.Engine.Schedules.ResumeAsync(heir, scene.Id, Token)).Row!.OwnerId.ShouldBe(heir.UserId);
        await scene.TickAsync();
        (await scene.TasksAsync()).ShouldHaveSingleItem().CreatedBy.ShouldBe(heir.UserId);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_tick_whose_task_can_not_be_made_is_recorded_and_the_next_goes_on(DatabaseKind kind)
    {
        await using var scene = await Scene.StartAsync(kind, "* * * * *", OverlapRule.Forbid);
        await scene.Engine.ExecuteAsync("UPDATE instances SET removed_at = 1");
        await scene.TickAsync();
        (await scene.TasksAsync()).ShouldBeEmpty();
        var failed = await scene.ScheduleAsync();
        (failed.Failed, failed.Runs, failed.LastErrorTickAt, failed.NextRunAt).ShouldBe((1, 0, Midnight.AddMinutes(1), Midnight.AddMinutes(2)));
        failed.LastError!.ShouldContain("there is no workstation 'box'");

        await scene.Engine.ExecuteAsync("UPDATE instances SET removed_at = NULL");
        await scene.TickAsync();
        (await scene.TasksAsync()).Count.ShouldBe(1);
        (await scene.ScheduleAsync()).LastErrorTickAt.ShouldBe(Midnight.AddMinutes(1), "what was lost stays on record");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Nothing_runs_while_paused_and_nothing_is_made_up_for(DatabaseKind kind)
    {
        await using var scene = await Scene.StartAsync(kind, "* * * * *", OverlapRule.Queue, MissedRunRule.Once);
        await scene.TickAsync(2);
        (await scene.Engine.Schedules.PauseAsync(scene.Engine.Owner, scene.Id, "holiday", Token)).Row!.PauseReason.ShouldBe("holiday");
        await scene.EndAsync(0);
        await scene.TickAsync(10);
        (await scene.TasksAsync()).Count.ShouldBe(1, "the tick that waited is dropped too");

        await scene.Engine.Schedules.ResumeAsync(scene.Engine.Owner, scene.Id, Token);
        await scene.PassAsync();
        (await scene.TasksAsync()).Count.ShouldBe(1);
        await scene.TickAsync();
        (await scene.TasksAsync())[^1].ScheduleTickAt.ShouldBe(Midnight.AddMinutes(13));
        var schedule = await scene.ScheduleAsync();
        (schedule.Missed, schedule.Skipped, schedule.PausedAt).ShouldBe((0, 1, null));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task However_many_look_at_once_a_tick_makes_one_task(DatabaseKind kind)
    {
        await using var scene = await Scene.StartAsync(kind, "* * * * *", OverlapRule.Allow);
        await using var others = scene.Engine.Observed(_ => Task.CompletedTask);
        var second = (ScheduleFiring)others.GetService(typeof(ScheduleFiring))!;
        var first = (ScheduleFiring)scene.Engine.Service(typeof(ScheduleFiring));
        for (var tick = 1; tick <= 5; tick++)
        {
            scene.Engine.Clock.Advance(TimeSpan.FromMinutes(1));
            var outcomes = await Task.WhenAll(Enumerable.Range(0, 6).Select(i => (i % 2 == 0 ? first : second).FireAsync(scene.Id, Token)));
            outcomes.Count(o => o == TickOutcome.Made).ShouldBe(1);
            outcomes.Count(o => o == TickOutcome.Nothing).ShouldBe(5);
            (await scene.TasksAsync()).Count.ShouldBe(tick);
        }
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_clock_that_is_put_back_brings_no_tick_a_second_time(DatabaseKind kind)
    {
        await using var scene = await Scene.StartAsync(kind, "*/10 * * * *", OverlapRule.Allow);
        await scene.TickAsync(1, minutes: 10);
        scene.Engine.Clock.StepWall(TimeSpan.FromMinutes(-5));
        var changed = await scene.Engine.Schedules.UpdateAsync(scene.Engine.Owner, scene.Id, new UpdateScheduleRequest { Cron = "*/2 * * * *" }, Token);
        changed.Row!.ToBody().NextRunAt.ShouldBe(Midnight.AddMinutes(12));
        await scene.TickAsync(4, minutes: 2);
        (await scene.TasksAsync()).Select(t => t.ScheduleTickAt).ShouldBe([Midnight.AddMinutes(10), Midnight.AddMinutes(12)]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task After_a_restore_no_tick_fires_before_somebody_resumes_and_none_from_before_ever(DatabaseKind kind)
    {
        await using var scene = await Scene.StartAsync(kind, "*/10 * * * *", OverlapRule.Queue, MissedRunRule.Once);
        await scene.TickAsync(times: 2, minutes: 10);
        (await scene.ScheduleAsync()).WaitingTickAt.ShouldBe(Midnight.AddMinutes(20));
        scene.Engine.Clock.Advance(TimeSpan.FromMinutes(25));

        (await scene.Engine.Firing.PauseAllAsync("restored", Token)).ShouldBe(1);
        (await scene.Engine.Firing.PauseAllAsync("restored once more", Token)).ShouldBe(0, "whoever paused it before has said why");
        await scene.EndAsync(0);
        await scene.TickAsync(times: 3, minutes: 10);
        (await scene.TasksAsync()).Count.ShouldBe(1);
        var schedule = await scene.ScheduleAsync();
        (schedule.PauseReason, schedule.NextRunAt, schedule.WaitingTickAt, schedule.Skipped).ShouldBe(("restored", null, null, 1));
        (await scene.Engine.QueryAsync<string>("SELECT actor || ' ' || detail FROM audit_events WHERE action = 'schedule.paused'")).ShouldBe("server tick: restored");

        await scene.Engine.Schedules.ResumeAsync(scene.Engine.Owner, scene.Id, Token);
        await scene.TickAsync(minutes: 5);
        (await scene.TasksAsync()).Select(t => t.ScheduleTickAt).ShouldBe([Midnight.AddMinutes(10), Midnight.AddMinutes(80)]);
    }

    /// <summary>A workstation, and one schedule that runs on it.</summary>
    private sealed class Scene : IAsyncDisposable
    {
        public required Engine Engine { get; init; }
        public required Device Box { get; init; }
        public string Id { get; private set; } = "";

        public static async Task<Scene> StartAsync(DatabaseKind kind, string cron, OverlapRule overlap, MissedRunRule missed = MissedRunRule.Skip, RetryPolicy? retry = null)
        {
            var engine = await Engine.StartAsync(kind);
            var scene = new Scene { Engine = engine, Box = await engine.AddWorkstationAsync("box") };
            var made = await engine.Schedules.CreateAsync(engine.Owner, new CreateScheduleRequest
            {
                Name = "tick", Cron = cron, Overlap = overlap, MissedRuns = missed,
                Task = new CreateTaskRequest { Intent = "tick", Command = new CommandSpec { Argv = ["true"] }, Targets = new TargetSpec { Workstations = ["box"] }, Retry = retry },
            }, null, Token);
            made.Problem?.Value.Detail.ShouldBeNull();
            scene.Id = made.Row!.Id;
            return scene;
        }

        public Task<DateTimeOffset?> PassAsync() => Engine.Ticks.RunOnceAsync(Token);

        /// <summary>The clock goes on, with a pass after each step.</summary>
        public async Task TickAsync(int times = 1, int minutes = 1)
        {
            for (var i = 0; i < times; i++)
            {
                Engine.Clock.Advance(TimeSpan.FromMinutes(minutes));
                await PassAsync();
            }
        }

        public async Task<ScheduleBody> ScheduleAsync() => (await Engine.Schedules.FindAsync(Engine.Owner.OrganizationId, Id, Token))!.ToBody();

        /// <summary>In the order in which they were made.</summary>
        public async Task<IReadOnlyList<TaskBody>> TasksAsync() => [.. (await Engine.Store.ListAsync(Engine.Owner.OrganizationId, null, null, null, null, null, 100, null, Token)).Items.Reverse()];

        public async Task EndAsync(int task, StepOutcome outcome = StepOutcome.Succeeded)
        {
            var step = (await Engine.TaskAsync((await TasksAsync())[task].Id)).Execution!.Steps[0];
            await Engine.ClaimAsync(Box, step);
            (await Engine.CompleteAsync(Box, step.Id, 1, outcome)).Kind.ShouldBe(StepMoveKind.Applied);
        }

        public ValueTask DisposeAsync() => Engine.DisposeAsync();
    }
}
