using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Governance;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tasks.Retries;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Tasks.Retries;

/// <summary>Attempts in virtual time, on a real database.</summary>
public sealed class RetryTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Three_attempts_are_three_linked_tasks_with_growing_pauses(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var box = await engine.AddWorkstationAsync("box");
        var first = await engine.CreateTaskAsync(Flaky(new RetryPolicy { MaxAttempts = 3, BackoffSeconds = 10, Backoff = BackoffKind.Exponential }));
        var began = engine.Clock.GetUtcNow();

        var failed = await FailAsync(engine, box, first);
        (failed.RetryDueAt, failed.RetriedByTaskId).ShouldBe((began.AddSeconds(10), null));
        engine.Clock.Advance(TimeSpan.FromSeconds(9.999));
        (await engine.Retries.RunOnceAsync(Token)).ShouldBe(began.AddSeconds(10));
        (await TasksAsync(engine)).Count.ShouldBe(1);
        engine.Clock.Advance(TimeSpan.FromSeconds(0.001));
        (await engine.Retries.RunOnceAsync(Token)).ShouldBeNull();
        var second = (await TasksAsync(engine))[1];
        (second.Attempt, second.RetryOfTaskId, second.RootTaskId, second.CreatedBy, second.TraceId).ShouldBe((2, first.Id, first.Id, engine.Owner.UserId, first.TraceId));
        failed = await engine.TaskAsync(first.Id);
        (failed.RetryDueAt, failed.RetriedByTaskId).ShouldBe((null, second.Id));

        (await FailAsync(engine, box, second)).RetryDueAt.ShouldBe(engine.Clock.GetUtcNow().AddSeconds(20));
        engine.Clock.Advance(TimeSpan.FromSeconds(20));
        await engine.Retries.RunOnceAsync(Token);
        var third = (await TasksAsync(engine))[2];
        (third.Attempt, third.RetryOfTaskId, third.RootTaskId).ShouldBe((3, second.Id, first.Id));

        (await FailAsync(engine, box, third)).RetryDueAt.ShouldBeNull("it was the last");
        engine.Clock.Advance(TimeSpan.FromDays(2));
        await engine.Retries.RunOnceAsync(Token);
        (await TasksAsync(engine)).Count.ShouldBe(3);
        (await EventsAsync(engine, first.Id)).ShouldBe(["queued", "claimed", "failed", "taskEnded", "retryPlanned", "retried"]);
        foreach (var task in await TasksAsync(engine)) await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_step_that_nobody_was_heard_of_until_its_time_was_over_counts_as_lost(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var box = await engine.AddWorkstationAsync("box");
        var byDefault = await engine.CreateTaskAsync(Flaky() with { TimeoutSeconds = 10 });
        var named = await engine.CreateTaskAsync(Flaky(new RetryPolicy { MaxAttempts = 2, On = [StepReason.WorkerLost] }) with { TimeoutSeconds = 10 });
        foreach (var task in new[] { byDefault, named }) (await engine.ClaimAsync(box, task.Execution!.Steps[0])).Refusal.ShouldBeNull();
        await engine.ServeAsync(80);

        foreach (var (task, isRetried) in new[] { (byDefault, false), (named, true) })
        {
            var failed = await engine.TaskAsync(task.Id);
            (failed.State, failed.Execution!.Steps[0].Reason, failed.RetryDueAt is not null).ShouldBe((TaskState.Failed, StepReason.Timeout, isRetried));
        }
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_success_a_cancel_and_a_failure_for_another_reason_are_not_retried(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var box = await engine.AddWorkstationAsync("box");
        var good = await engine.CreateTaskAsync(Flaky());
        await engine.ClaimAsync(box, good.Execution!.Steps[0]);
        await engine.CompleteAsync(box, good.Execution.Steps[0].Id, 1);
        var cancelled = await engine.CreateTaskAsync(Flaky());
        await engine.Canceller.CancelAsync(engine.Owner, cancelled.Id, null, Token);
        await FailAsync(engine, box, await engine.CreateTaskAsync(Flaky()), StepReason.SpawnFailed);
        await FailAsync(engine, box, await engine.CreateTaskAsync(Flaky()), StepReason.UnknownOutcome);
        (await engine.QueryAsync<long>("SELECT count(*) FROM retries")).ShouldBe(0);

        await FailAsync(engine, box, await engine.CreateTaskAsync(Flaky(new RetryPolicy { MaxAttempts = 2, On = [StepReason.UnknownOutcome] })), StepReason.UnknownOutcome);
        (await engine.QueryAsync<long>("SELECT count(*) FROM retries")).ShouldBe(1, "it is named");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_was_changed_before_the_start_decides_whether_an_attempt_follows(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var box = await engine.AddWorkstationAsync("box");
        async Task<DateTimeOffset?> DueAsync(TaskBody task, RetryPolicy change)
        {
            (await engine.Editor.UpdateAsync(engine.Owner, task.Id, new UpdateTaskRequest { Retry = change }, Token)).ShouldBeNull();
            return (await FailAsync(engine, box, await engine.TaskAsync(task.Id))).RetryDueAt;
        }
        (await DueAsync(await engine.CreateTaskAsync(Flaky()), new RetryPolicy())).ShouldBeNull("it was taken away");
        (await DueAsync(await engine.CreateTaskAsync([box]), new RetryPolicy { MaxAttempts = 2, BackoffSeconds = 7 })).ShouldBe(engine.Clock.GetUtcNow().AddSeconds(7));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Another_server_makes_the_attempt_when_the_first_dies_after_the_failure(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var box = await engine.AddWorkstationAsync("box");
        var task = await engine.CreateTaskAsync(Flaky());
        await FailAsync(engine, box, task);
        engine.Clock.Advance(TimeSpan.FromSeconds(30));
        await using var other = engine.Observed(_ => Task.CompletedTask);
        await ((RetryLoop)other.GetService(typeof(RetryLoop))!).RunOnceAsync(Token);
        (await TasksAsync(engine))[1].RetryOfTaskId.ShouldBe(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Loops_and_people_at_once_make_one_attempt_between_them(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var box = await engine.AddWorkstationAsync("box");
        await using var other = engine.Observed(_ => Task.CompletedTask);
        var elsewhere = (RetryService)other.GetService(typeof(RetryService))!;
        for (var round = 0; round < 5; round++)
        {
            var task = await engine.CreateTaskAsync(Flaky());
            await FailAsync(engine, box, task);
            engine.Clock.Advance(TimeSpan.FromSeconds(30));
            var loops = Enumerable.Range(0, 4).Select(i => (i % 2 == 0 ? engine.Retrying : elsewhere).MakeDueAsync(task.Id, Token)).ToList();
            var people = Enumerable.Range(0, 2).Select(i => (i % 2 == 0 ? engine.Retrying : elsewhere).RetryAsync(engine.Owner, task.Id, null, null, Token)).ToList();
            var made = (await Task.WhenAll(loops)).Count(o => o == RetryOutcome.Made) + (await Task.WhenAll(people)).Count(r => r.Problem is null);
            made.ShouldBe(1);
            (await engine.QueryAsync<long>("SELECT count(*) FROM tasks WHERE retry_of_task_id = @Id", new { task.Id })).ShouldBe(1);
            (await engine.QueryAsync<long>("SELECT count(*) FROM retries")).ShouldBe(0);
        }
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task By_hand_a_pending_attempt_is_made_at_once_and_a_second_is_refused_by_its_name(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var box = await engine.AddWorkstationAsync("box");
        var member = await engine.AddMemberAsync("ann", Role.Member);
        var task = await engine.CreateTaskAsync(Flaky());
        await FailAsync(engine, box, task);

        var made = await engine.Retrying.RetryAsync(member, task.Id, "now", null, Token);
        made.Problem.ShouldBeNull();
        var attempt = await engine.TaskAsync(made.TaskId!);
        (attempt.Attempt, attempt.RetryOfTaskId, attempt.CreatedBy).ShouldBe((2, task.Id, member.UserId));
        engine.Clock.Advance(TimeSpan.FromMinutes(5));
        await engine.Retries.RunOnceAsync(Token);
        (await TasksAsync(engine)).Count.ShouldBe(2, "the pending one was brought forward");
        (await engine.QueryAsync<string>("SELECT actor || ' ' || detail FROM audit_events WHERE action = 'task.retry'")).ShouldBe($"{member.UserId} {attempt.Id}: now");

        var second = (await engine.Retrying.RetryAsync(engine.Owner, task.Id, null, null, Token)).Problem!.Value;
        (second.Status, second.CurrentState).ShouldBe((409, "retried"));
        second.Detail!.ShouldContain(attempt.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task By_hand_only_what_failed_or_was_cancelled_is_retried(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var box = await engine.AddWorkstationAsync("box");
        var task = await engine.CreateTaskAsync([box]);
        async Task<string?> RefusedAsync(string id) => (await engine.Retrying.RetryAsync(engine.Owner, id, null, null, Token)).Problem?.Value.CurrentState;
        (await RefusedAsync(task.Id)).ShouldBe("queued");
        await engine.ClaimAsync(box, task.Execution!.Steps[0]);
        (await RefusedAsync(task.Id)).ShouldBe("executing");
        await engine.CompleteAsync(box, task.Execution.Steps[0].Id, 1);
        (await RefusedAsync(task.Id)).ShouldBe("completed");

        var cancelled = await engine.CreateTaskAsync([box]);
        await engine.Canceller.CancelAsync(engine.Owner, cancelled.Id, null, Token);
        (await RefusedAsync(cancelled.Id)).ShouldBeNull();
        (await engine.TaskAsync(cancelled.Id)).RetriedByTaskId.ShouldNotBeNull();
        var stranger = await engine.CreateOrganizationAsync("away");
        (await engine.Retrying.RetryAsync(stranger, cancelled.Id, null, null, Token)).Problem!.Value.Status.ShouldBe(404);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Cancelling_a_failed_task_drops_its_pending_attempt(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var box = await engine.AddWorkstationAsync("box");
        var task = await engine.CreateTaskAsync(Flaky());
        await FailAsync(engine, box, task);

        (await engine.Canceller.CancelAsync(engine.Owner, task.Id, "enough", Token)).ShouldBe(new CancelResult(CancelResultKind.Applied, TaskState.Failed));
        engine.Clock.Advance(TimeSpan.FromMinutes(5));
        await engine.Retries.RunOnceAsync(Token);
        (await TasksAsync(engine)).ShouldHaveSingleItem().RetryDueAt.ShouldBeNull();
        (await EventsAsync(engine, task.Id))[^1].ShouldBe("retryDropped");
        (await engine.QueryAsync<string>("SELECT detail FROM audit_events WHERE action = 'task.retry_cancelled' AND subject = @Id", new { task.Id })).ShouldBe("enough");
        (await engine.Canceller.CancelAsync(engine.Owner, task.Id, null, Token)).Kind.ShouldBe(CancelResultKind.AlreadyEnded);
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory]
    [InlineData(DatabaseKind.Sqlite, "UPDATE memberships SET role = 'viewer' WHERE user_id = @userId")]
    [InlineData(DatabaseKind.Postgres, "DELETE FROM memberships WHERE user_id = @userId")]
    public async Task A_creator_who_may_run_nothing_any_more_gets_no_further_attempt(DatabaseKind kind, string loss)
    {
        await using var engine = await Engine.StartAsync(kind);
        var box = await engine.AddWorkstationAsync("box");
        var task = await engine.CreateTaskAsync(Flaky());
        await FailAsync(engine, box, task);
        await engine.ExecuteAsync(loss, new { userId = engine.Owner.UserId });
        engine.Clock.Advance(TimeSpan.FromMinutes(5));
        await engine.Retries.RunOnceAsync(Token);

        (await TasksAsync(engine)).ShouldHaveSingleItem().RetryDueAt.ShouldBeNull();
        (await EventsAsync(engine, task.Id))[^1].ShouldBe("retryDropped");
        (await engine.QueryAsync<string>("SELECT actor || ' ' || detail FROM audit_events WHERE action = 'task.retry_dropped'"))
            .ShouldBe($"server {engine.Owner.UserId}, in whose name it ran, may run no tasks here any more.");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_attempt_without_targets_is_dropped_with_the_reason(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var box = await engine.AddWorkstationAsync("box");
        var task = await engine.CreateTaskAsync(Flaky());
        await FailAsync(engine, box, task);
        await engine.ExecuteAsync("UPDATE instances SET removed_at = 1");
        engine.Clock.Advance(TimeSpan.FromMinutes(5));
        await engine.Retries.RunOnceAsync(Token);
        (await TasksAsync(engine)).Count.ShouldBe(1);
        (await engine.QueryAsync<string>("SELECT detail FROM step_events WHERE kind = 'retryDropped'")).ShouldContain("targets.workstations[0]");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_nobody_approved_is_not_retried(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("box");
        var always = new RetryPolicy { MaxAttempts = 5, BackoffSeconds = 1, On = [.. Enum.GetValues<StepReason>().Except([StepReason.Cancelled, StepReason.RolloutStopped])] };
        var rejected = await engine.CreateTaskAsync(Flaky(always) with { ApprovalClass = ApprovalClass.SensitiveWrite });
        (await engine.Approvals.RejectAsync(engine.Owner, rejected.Id, null, "no", Token)).ShouldBeNull();
        var unanswered = await engine.CreateTaskAsync(Flaky(always) with { ApprovalClass = ApprovalClass.SensitiveWrite });
        engine.Clock.Advance(TimeSpan.FromDays(7));
        await engine.ApprovalLoop.RunOnceAsync(Token);
        foreach (var task in new[] { rejected, unanswered }) (await engine.TaskAsync(task.Id)).State.ShouldBe(TaskState.Failed);
        (await engine.QueryAsync<long>("SELECT count(*) FROM retries")).ShouldBe(0);
        engine.Clock.Advance(TimeSpan.FromHours(1));
        await engine.Retries.RunOnceAsync(Token);
        (await TasksAsync(engine)).Count.ShouldBe(2);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_attempt_of_approved_work_asks_again_unless_the_doctrine_lets_it_inherit(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var box = await engine.AddWorkstationAsync("box");
        foreach (var (inherit, version, goesOn) in new[] { (false, 1, false), (true, 1, true), (true, 2, false) })
        {
            DoctrineDecision Careful(int by) => new(ApprovalClass.SensitiveWrite, [new DoctrineFinding("careful", "sensitive_write", "it is Friday")], false, null, false, by) { Inherit = inherit };
            engine.Doctrine = _ => Careful(1);
            var first = await engine.CreateTaskAsync(Flaky(new RetryPolicy { MaxAttempts = 3, BackoffSeconds = 1 }));
            (await engine.Approvals.ApproveAsync(engine.Owner, first.Id, null, "once", Token)).ShouldBeNull();
            await FailAsync(engine, box, first);
            // Of another version it is another action, whatever that version says.
            engine.Doctrine = question => Careful(question.AtVersion ?? version);
            engine.Clock.Advance(TimeSpan.FromSeconds(2));
            await engine.Retries.RunOnceAsync(Token);

            var second = await engine.TaskAsync((await engine.TaskAsync(first.Id)).RetriedByTaskId!);
            (second.State, second.ApprovalStatus).ShouldBe(goesOn ? (TaskState.Queued, ApprovalStatus.Approved) : (TaskState.Planned, ApprovalStatus.Pending));
            await engine.CheckInvariantsAsync(second.Id);
            if (!goesOn) continue;
            var approval = second.Approvals!.ShouldHaveSingleItem();
            (approval.DecidedBy, approval.Reason, approval.ExpiresAt).ShouldBe((engine.Owner.UserId, "once", engine.Clock.GetUtcNow().AddMinutes(15)));
            (await engine.QueryAsync<string>("SELECT actor FROM audit_events WHERE action = 'task.approval_inherited' AND subject = @Id", new { second.Id })).ShouldBe("server");
            // Used by its own first claim, and handed on once more; a person's retry is asked about.
            await FailAsync(engine, box, second);
            (await engine.TaskAsync(second.Id)).ApprovalStatus.ShouldBe(ApprovalStatus.Consumed);
            engine.Clock.Advance(TimeSpan.FromSeconds(2));
            await engine.Retries.RunOnceAsync(Token);
            var third = await engine.TaskAsync((await engine.TaskAsync(second.Id)).RetriedByTaskId!);
            third.ApprovalStatus.ShouldBe(ApprovalStatus.Approved);
            await FailAsync(engine, box, third);
            var byHand = await engine.Retrying.RetryAsync(engine.Owner, third.Id, null, null, Token);
            (await engine.TaskAsync(byHand.TaskId!)).ApprovalStatus.ShouldBe(ApprovalStatus.Pending);
        }
    }

    private static CreateTaskRequest Flaky(RetryPolicy? retry = null) => new()
    {
        Command = new CommandSpec { Argv = ["false"] }, Targets = new TargetSpec { Workstations = ["box"] }, Retry = retry ?? new RetryPolicy { MaxAttempts = 2 },
    };

    private static async Task<TaskBody> FailAsync(Engine engine, Device box, TaskBody task, StepReason reason = StepReason.ExitCode)
    {
        var step = (await engine.TaskAsync(task.Id)).Execution!.Steps[0];
        await engine.ClaimAsync(box, step);
        (await engine.CompleteAsync(box, step.Id, 1, StepOutcome.Failed, reason)).Kind.ShouldBe(StepMoveKind.Applied);
        return await engine.TaskAsync(task.Id);
    }

    private static async Task<IReadOnlyList<TaskBody>> TasksAsync(Engine engine) =>
        [.. (await engine.Store.ListAsync(engine.Owner.OrganizationId, null, null, null, null, null, 100, null, Token)).Items.Reverse()];

    private static Task<IReadOnlyList<string>> EventsAsync(Engine engine, string taskId) =>
        engine.ListAsync<string>("SELECT kind FROM step_events WHERE task_id = @taskId ORDER BY event_seq", new { taskId });
}
