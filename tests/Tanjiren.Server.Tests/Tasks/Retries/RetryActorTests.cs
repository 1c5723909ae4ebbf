using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Governance;
using Tanjiren.Server.Tasks;
using Tanjiren.Tests;
using static Tanjiren.Server.Tests.Tasks.Approvals.ApprovalTests;

namespace Tanjiren.Server.Tests.Tasks.Retries;

/// <summary>In whose name an attempt runs, whose it is when it needs an approval, and what the doctrine does to it.</summary>
public sealed class RetryActorTests
{
    private static readonly DoctrineDecision Free = new(ApprovalClass.None, [], false, null, false, 1);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_attempt_runs_in_the_name_of_who_changed_the_task_and_is_a_persons_request(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var box = await engine.AddWorkstationAsync("one");
        var mia = await engine.AddMemberAsync("mia", Role.Member);
        var task = await engine.CreateTaskAsync(Flaky());
        (await engine.Editor.UpdateAsync(mia, task.Id, new UpdateTaskRequest { Command = new CommandSpec { Argv = ["evil"] } }, Token)).ShouldBeNull();
        await FailAsync(engine, box, task);
        DoctrineQuestion? asked = null;
        engine.Doctrine = question => { asked = question; return Free; };
        var attempt = await AttemptAsync(engine, task.Id);
        (attempt.CreatedBy, attempt.Command!.Argv![0]).ShouldBe((mia.UserId, "evil"));
        (asked!.ActorRole, asked.Origin.ByPerson).ShouldBe((Role.Member, true));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Nobody_approves_an_attempt_after_a_task_that_they_had_a_part_in(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("one");
        var (ann, bob, cid) = (await engine.AddMemberAsync("ann", Role.Admin), await engine.AddMemberAsync("bob", Role.Admin), await engine.AddMemberAsync("cid", Role.Admin));
        var mia = await engine.AddMemberAsync("mia", Role.Member);
        var task = await AskAsync(engine, ApprovalClass.ProductionMutation, by: ann);
        (await engine.Editor.UpdateAsync(bob, task.Id, new UpdateTaskRequest { Priority = 1 }, Token)).ShouldBeNull();
        (await engine.Approvals.RejectAsync(cid, task.Id, null, "no", Token)).ShouldBeNull();

        var again = await engine.Retrying.RetryAsync(mia, task.Id, null, null, Token);
        await engine.Approvals.RejectAsync(cid, again.TaskId!, null, "still no", Token);
        var third = (await engine.Retrying.RetryAsync(mia, again.TaskId!, null, null, Token)).TaskId!;
        foreach (var maker in new[] { ann, bob })
            (await engine.Approvals.ApproveAsync(maker, third, null, "fine", Token))!.Value.Is(ErrorCode.OwnApproval).ShouldBeTrue(maker.Email);
        (await engine.Approvals.ApproveAsync(cid, third, null, null, Token)).ShouldBeNull();
        await engine.CheckInvariantsAsync(third);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_task_that_somebody_cancels_is_not_tried_again_by_itself(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machines = new[] { await engine.AddWorkstationAsync("one"), await engine.AddWorkstationAsync("two") };
        var task = await engine.CreateTaskAsync(Flaky() with { Targets = new TargetSpec { Workstations = ["one", "two"] }, MaxParallel = 0 });
        for (var i = 0; i < 2; i++) await engine.ClaimAsync(machines[i], task.Execution!.Steps[i]);
        await engine.CompleteAsync(machines[0], task.Execution!.Steps[0].Id, 1, StepOutcome.Failed);
        (await engine.Canceller.CancelAsync(engine.Owner, task.Id, "enough", Token)).Kind.ShouldBe(CancelResultKind.Applied);
        // Its process ended before the signal, with a failure of its own.
        await engine.CompleteAsync(machines[1], task.Execution.Steps[1].Id, 1, StepOutcome.Failed);
        (await engine.TaskAsync(task.Id)).ShouldSatisfyAllConditions(t => t.State.ShouldBe(TaskState.Failed), t => t.RetryDueAt.ShouldBeNull());
        (await engine.QueryAsync<long>("SELECT count(*) FROM retries")).ShouldBe(0);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_freeze_that_refuses_puts_an_attempt_off_until_its_end(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var box = await engine.AddWorkstationAsync("one");
        var task = await engine.CreateTaskAsync(Flaky());
        await FailAsync(engine, box, task);
        var end = engine.Clock.GetUtcNow() + TimeSpan.FromHours(2);
        engine.Doctrine = question => question.Now < end ? Free with { FrozenUntil = question.Now + TimeSpan.FromHours(1), FreezeRefuses = true } : Free;
        for (var hour = 0; hour < 2; hour++)
        {
            engine.Clock.Advance(TimeSpan.FromMinutes(hour == 0 ? 1 : 60));
            (await engine.Retries.RunOnceAsync(Token)).ShouldBe(engine.Clock.GetUtcNow() + TimeSpan.FromHours(1));
        }
        (await engine.TaskAsync(task.Id)).RetryDueAt.ShouldBe(engine.Clock.GetUtcNow() + TimeSpan.FromHours(1));
        (await KindsAsync(engine, task.Id)).ShouldEndWith("retryPlanned retryFrozen");
        engine.Clock.Advance(TimeSpan.FromMinutes(60));
        await engine.Retries.RunOnceAsync(Token);
        (await engine.TaskAsync(task.Id)).ShouldSatisfyAllConditions(t => t.RetriedByTaskId.ShouldNotBeNull(), t => t.RetryDueAt.ShouldBeNull());
        (await KindsAsync(engine, task.Id)).ShouldEndWith("retryFrozen retried");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_this_server_can_not_read_the_doctrine_for_stays_due_for_another(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var box = await engine.AddWorkstationAsync("one");
        var made = await engine.Schedules.CreateAsync(engine.Owner, new CreateScheduleRequest { Name = "tick", Cron = "*/5 * * * *", Overlap = OverlapRule.Allow, Task = Flaky() }, null, Token);
        var task = await engine.CreateTaskAsync(Flaky());
        await FailAsync(engine, box, task);
        engine.Clock.Advance(TimeSpan.FromMinutes(5));
        engine.Doctrine = question => Free with { FrozenUntil = question.Now + TimeSpan.FromMinutes(1), FreezeRefuses = true, Unreadable = true };
        await Should.ThrowAsync<InvalidOperationException>(() => engine.Retries.RunOnceAsync(Token));
        await Should.ThrowAsync<InvalidOperationException>(() => engine.Ticks.RunOnceAsync(Token));
        (await engine.QueryAsync<long>("SELECT count(*) FROM audit_events WHERE action = 'task.frozen'")).ShouldBe(0, "nothing was decided");
        (await engine.Schedules.FindAsync(engine.Owner.OrganizationId, made.Row!.Id, Token))!.ShouldSatisfyAllConditions(s => s.Failed.ShouldBe(0), s => s.NextRunAt.ShouldBe(made.Row.NextRunAt));

        engine.Doctrine = null;
        await engine.Retries.RunOnceAsync(Token);
        await engine.Ticks.RunOnceAsync(Token);
        (await engine.TaskAsync(task.Id)).RetriedByTaskId.ShouldNotBeNull();
        (await engine.Schedules.FindAsync(engine.Owner.OrganizationId, made.Row!.Id, Token))!.Runs.ShouldBe(1);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_attempt_of_the_same_action_in_the_same_name_inherits_the_approval_that_was_used_where_the_rules_say_so(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var box = await engine.AddWorkstationAsync("one");
        var (mia, ann) = (await engine.AddMemberAsync("mia", Role.Member), await engine.AddMemberAsync("ann", Role.Admin));
        var inherit = new DoctrineDecision(ApprovalClass.ProductionMutation, [new DoctrineFinding("careful", "production_mutation", "it is Friday")], false, null, false, 1) { Inherit = true };
        engine.Doctrine = _ => inherit;
        async Task<TaskBody> FailedAsync()
        {
            var task = await engine.CreateTaskAsync(Flaky(3), mia);
            (await engine.Approvals.ApproveAsync(ann, task.Id, null, "go", Token)).ShouldBeNull();
            await FailAsync(engine, box, task);
            return await engine.TaskAsync(task.Id);
        }

        var first = await FailedAsync();
        var attempt = await AttemptAsync(engine, first.Id);
        var repeated = attempt.Approvals!.Single();
        (attempt.State, repeated.State, repeated.InheritedFrom, repeated.DecidedBy, repeated.Reason).ShouldBe((TaskState.Queued, ApprovalState.Approved, first.Approvals!.Single().Id, ann.UserId, "go"));
        await engine.CheckInvariantsAsync(attempt.Id);
        (await engine.QueryAsync<long>("SELECT count(*) FROM audit_events WHERE action = 'task.approval_inherited' AND subject = @Id", new { attempt.Id })).ShouldBe(1);
        await FailAsync(engine, box, attempt);
        await engine.CheckInvariantsAsync(attempt.Id);
        (await AttemptAsync(engine, attempt.Id)).Approvals!.Single().InheritedFrom.ShouldBe(repeated.Id, "and so does the third");

        // Another action, another person, other rules, a higher class: somebody is asked.
        foreach (var (doctrine, by) in new[]
        {
            (inherit with { Version = 2 }, null), (inherit with { Inherit = false }, null), (inherit with { Class = ApprovalClass.SensitiveWrite }, null), (inherit, ann),
        })
        {
            engine.Doctrine = _ => inherit;
            var failed = await FailedAsync();
            engine.Doctrine = _ => doctrine;
            var asking = by is null ? await AttemptAsync(engine, failed.Id) : await engine.TaskAsync((await engine.Retrying.RetryAsync(by, failed.Id, null, null, Token)).TaskId!);
            (asking.State, asking.Approvals!.Single().State, asking.Approvals!.Single().InheritedFrom).ShouldBe((TaskState.Planned, ApprovalState.Pending, null), $"{doctrine}, {by?.Email}");
        }
    }

    private static CreateTaskRequest Flaky(int attempts = 2) => Request() with { Retry = new RetryPolicy { MaxAttempts = attempts } };

    private static async Task FailAsync(Engine engine, Device box, TaskBody task)
    {
        var step = (await engine.TaskAsync(task.Id)).Execution!.Steps[0];
        (await engine.ClaimAsync(box, step)).Refusal.ShouldBeNull();
        (await engine.CompleteAsync(box, step.Id, 1, StepOutcome.Failed)).Kind.ShouldBe(StepMoveKind.Applied);
    }

    /// <summary>The attempt that the loop makes when it is due.</summary>
    private static async Task<TaskBody> AttemptAsync(Engine engine, string failed)
    {
        engine.Clock.Advance(TimeSpan.FromSeconds(30));
        await engine.Retries.RunOnceAsync(Token);
        return await engine.TaskAsync((await engine.TaskAsync(failed)).RetriedByTaskId.ShouldNotBeNull());
    }
}
