using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tests.Tasks;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Schedules;

/// <summary>Attempts of a schedule that lets none of its tasks run beside another, and ticks beside one that can't be dealt with.</summary>
public sealed class OverlappingRetryTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(DatabaseKind.Sqlite, OverlapRule.Forbid)]
    [InlineData(DatabaseKind.Postgres, OverlapRule.Forbid)]
    [InlineData(DatabaseKind.Sqlite, OverlapRule.Queue)]
    [InlineData(DatabaseKind.Postgres, OverlapRule.Queue)]
    public async Task By_hand_none_is_made_beside_another_task_of_the_schedule(DatabaseKind kind, OverlapRule rule)
    {
        await using var engine = await Engine.StartAsync(kind);
        var box = await engine.AddWorkstationAsync("box");
        await MakeAsync(engine, rule, retry: null);
        var failed = await TickAsync(engine);
        await EndAsync(engine, box, failed, StepOutcome.Failed);
        var open = await TickAsync(engine);
        var refused = (await engine.Retrying.RetryAsync(engine.Owner, failed, null, null, Token)).Problem!.Value;
        (refused.Status, refused.CurrentState).ShouldBe((409, "running"));
        refused.Hint!.ShouldContain(open);

        await EndAsync(engine, box, open, StepOutcome.Succeeded);
        (await engine.Retrying.RetryAsync(engine.Owner, failed, null, null, Token)).Problem.ShouldBeNull();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task One_that_is_planned_waits_for_another_task_of_the_schedule_and_is_made_when_that_ends(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var box = await engine.AddWorkstationAsync("box");
        var id = await MakeAsync(engine, OverlapRule.Allow, new RetryPolicy { MaxAttempts = 2, BackoffSeconds = 600 });
        var (one, two) = (await TickAsync(engine), await TickAsync(engine));
        foreach (var task in new[] { one, two }) await EndAsync(engine, box, task, StepOutcome.Failed);
        (await engine.Schedules.UpdateAsync(engine.Owner, id, new UpdateScheduleRequest { Overlap = OverlapRule.Forbid }, Token)).Problem.ShouldBeNull();
        engine.Clock.Advance(TimeSpan.FromMinutes(10));
        (await engine.Retries.RunOnceAsync(Token)).ShouldBeNull("what waits for another task is not due, and the loop need not hurry");
        var attempts = await engine.ListAsync<string>("SELECT id FROM tasks WHERE retry_of_task_id IS NOT NULL");
        attempts.Count.ShouldBe(1);
        (await engine.QueryAsync<long>("SELECT count(*) FROM retries")).ShouldBe(1, "the other is not lost");

        await EndAsync(engine, box, attempts[0], StepOutcome.Succeeded);
        await engine.Retries.RunOnceAsync(Token);
        (await engine.QueryAsync<long>("SELECT count(*) FROM tasks WHERE retry_of_task_id IS NOT NULL")).ShouldBe(2);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_waiting_tick_that_can_not_be_dealt_with_does_not_stop_the_ticks_of_others(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var box = await engine.AddWorkstationAsync("box");
        var bad = await MakeAsync(engine, OverlapRule.Queue, retry: null);
        var task = await TickAsync(engine);
        engine.Clock.Advance(TimeSpan.FromMinutes(1));
        await engine.Ticks.RunOnceAsync(Token);
        await EndAsync(engine, box, task, StepOutcome.Succeeded);
        await engine.ExecuteAsync("UPDATE schedules SET task = 'no json', next_run_at = next_run_at + 86400000 WHERE id = @bad AND waiting_tick_at IS NOT NULL", new { bad });
        await MakeAsync(engine, OverlapRule.Allow, retry: null, name: "good");
        engine.Clock.Advance(TimeSpan.FromMinutes(1));
        await Should.ThrowAsync<System.Text.Json.JsonException>(() => engine.Ticks.RunOnceAsync(Token));
        (await engine.QueryAsync<long>("SELECT count(*) FROM tasks")).ShouldBe(2);
        (await engine.QueryAsync<long>("SELECT runs FROM schedules WHERE name = 'good'")).ShouldBe(1);
    }

    private static async Task<string> MakeAsync(Engine engine, OverlapRule overlap, RetryPolicy? retry, string name = "tick")
    {
        var made = await engine.Schedules.CreateAsync(engine.Owner, new CreateScheduleRequest
        {
            Name = name, Cron = "* * * * *", Overlap = overlap,
            Task = new CreateTaskRequest { Command = new CommandSpec { Argv = ["true"] }, Targets = new TargetSpec { Workstations = ["box"] }, Retry = retry },
        }, null, Token);
        made.Problem?.Value.Detail.ShouldBeNull();
        return made.Row!.Id;
    }

    /// <summary>The task of the next tick.</summary>
    private static async Task<string> TickAsync(Engine engine)
    {
        engine.Clock.Advance(TimeSpan.FromMinutes(1));
        await engine.Ticks.RunOnceAsync(Token);
        return (await engine.QueryAsync<string>("SELECT id FROM tasks ORDER BY id DESC LIMIT 1"))!;
    }

    private static async Task EndAsync(Engine engine, Device box, string taskId, StepOutcome outcome)
    {
        var step = (await engine.TaskAsync(taskId)).Execution!.Steps[0];
        (await engine.ClaimAsync(box, step)).Refusal.ShouldBeNull();
        (await engine.CompleteAsync(box, step.Id, 1, outcome)).Kind.ShouldBe(StepMoveKind.Applied);
    }
}
