using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tests.Tasks.Approvals;
using Tanjiren.Server.Workstations.Sessions;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Tasks;

/// <summary>A restored database gives nothing out by itself, believes nothing from before, and goes on when its owner says so.</summary>
public sealed class HeldTaskTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_ran_ends_as_its_task_says_and_no_result_from_before_counts(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("a");
        var once = await engine.CreateTaskAsync([machine], onWorkerLost: OnWorkerLost.Fail);
        var again = await engine.CreateTaskAsync([machine], onWorkerLost: OnWorkerLost.Requeue);
        var cancelled = await engine.CreateTaskAsync([machine], onWorkerLost: OnWorkerLost.Requeue);
        foreach (var task in new[] { once, again, cancelled }) (await engine.ClaimAsync(machine, task.Execution!.Steps[0])).Refusal.ShouldBeNull();
        await engine.Canceller.CancelAsync(engine.Owner, cancelled.Id, null, Cancelled);

        (await engine.Held.HoldAllAsync(Cancelled)).ShouldBe(1);
        var ended = await engine.TaskAsync(once.Id);
        (ended.State, ended.Held, ended.Execution!.Steps[0].Reason).ShouldBe((TaskState.Failed, false, StepReason.WorkerLost));
        (await engine.TaskAsync(cancelled.Id)).State.ShouldBe(TaskState.Cancelled);
        var held = await engine.TaskAsync(again.Id);
        (held.State, held.Held, held.Execution!.Steps[0].State).ShouldBe((TaskState.Executing, true, StepState.Queued));
        foreach (var task in new[] { once, again, cancelled })
        {
            (await engine.StepAsync(task)).LeaseGeneration.ShouldBeGreaterThan(1L << 32);
            // Its session has ended; with a new one it is told that the lease is lost.
            (await engine.CompleteAsync(machine, task.Execution!.Steps[0].Id, 1)).Kind.ShouldBe(StepMoveKind.SessionEnded);
            await engine.CheckInvariantsAsync(task.Id);
        }
        var back = await NewSessionAsync(engine, machine);
        foreach (var task in new[] { once, again, cancelled }) (await engine.CompleteAsync(back, task.Execution!.Steps[0].Id, 1)).Kind.ShouldBe(StepMoveKind.LeaseLost);
        (await engine.BeatAsync(back, (again.Execution!.Steps[0].Id, 1)))!.Leases.Single().Standing.ShouldBe(LeaseStanding.Lost);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Held_work_is_not_offered_not_granted_and_does_not_run_out_until_the_owner_resumes(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("a");
        var waiting = await engine.CreateTaskAsync(new CreateTaskRequest
        {
            Command = new CommandSpec { Argv = ["true"] }, Targets = new TargetSpec { Workstations = [machine.InstanceId] }, QueueTimeoutSeconds = 30,
        });
        (await engine.Held.HoldAllAsync(Cancelled)).ShouldBe(1);
        machine = await NewSessionAsync(engine, machine);
        await engine.ServeAsync(60);
        (await engine.TaskAsync(waiting.Id)).State.ShouldBe(TaskState.Queued, "its 30 s do not count while it is held");
        (await engine.BeatAsync(machine))!.PendingTasks.ShouldBeEmpty();
        var refused = await engine.ClaimAsync(machine, await engine.StepAsync(waiting));
        (refused.Refusal, refused.CurrentState).ShouldBe((ClaimRefusal.HeldAfterRestore, "held_after_restore"));

        // What is made afterwards never waited for anything.
        var later = await engine.CreateTaskAsync([machine]);
        (await engine.ClaimAsync(machine, await engine.StepAsync(later))).Refusal.ShouldBeNull();
        (await engine.CompleteAsync(machine, later.Execution!.Steps[0].Id, 1)).Kind.ShouldBe(StepMoveKind.Applied);

        var stranger = await engine.CreateOrganizationAsync("another");
        (await engine.Held.ResumeAsync(stranger, Cancelled)).Tasks.ShouldBe(0, "each owner for their own");
        (await engine.Held.ResumeAsync(engine.Owner, Cancelled)).Tasks.ShouldBe(1);
        (await engine.Held.ResumeAsync(engine.Owner, Cancelled)).Tasks.ShouldBe(0);
        (await engine.QueryAsync<string>("SELECT actor || ' ' || organization_id FROM audit_events WHERE action = 'tasks.resumed'")).ShouldBe($"{engine.Owner.UserId} {engine.Owner.OrganizationId}");
        (await engine.TaskAsync(waiting.Id)).Held.ShouldBeFalse();
        await engine.ServeAsync(20);
        (await engine.BeatAsync(machine))!.PendingTasks.ShouldHaveSingleItem().ExpectedGeneration.ShouldBe(1L << 32);
        (await engine.ClaimAsync(machine, await engine.StepAsync(waiting))).Response!.LeaseGeneration.ShouldBe((1L << 32) + 1);
        (await engine.CompleteAsync(machine, waiting.Execution!.Steps[0].Id, (1L << 32) + 1)).Kind.ShouldBe(StepMoveKind.Applied);
        (await engine.TaskAsync(waiting.Id)).State.ShouldBe(TaskState.Completed);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Nothing_is_resumed_while_an_agent_that_is_cut_off_may_still_run_it(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("a");
        var request = new CreateTaskRequest { Command = new CommandSpec { Argv = ["true"] }, Targets = new TargetSpec { Workstations = [machine.InstanceId] } };
        await engine.CreateTaskAsync(request);
        var longest = await engine.CreateTaskAsync(request with { LeaseGraceSeconds = 40 });
        // One that ended with a longer lease: what was claimed after the backup may have had as long a one, before the setting was changed.
        var ended = await engine.CreateTaskAsync(request);
        await engine.ClaimAsync(machine, await engine.StepAsync(ended));
        await engine.CompleteAsync(machine, ended.Execution!.Steps[0].Id, 1);
        await engine.ExecuteAsync("UPDATE steps SET lease_ttl_ms = 25000 WHERE task_id = @Id", new { ended.Id });
        var restored = engine.Clock.GetUtcNow();
        (await engine.Held.HoldAllAsync(Cancelled)).ShouldBe(2);

        (await engine.Held.ResumeAsync(engine.Owner, Cancelled)).ShouldBe(new ResumeResult(0, restored.AddSeconds(25 + 40)));
        engine.Clock.Advance(TimeSpan.FromSeconds(64));
        (await engine.Held.ResumeAsync(engine.Owner, Cancelled)).Tasks.ShouldBe(0);
        (await engine.QueryAsync<long>("SELECT count(*) FROM tasks WHERE held_at IS NOT NULL")).ShouldBe(2);
        (await engine.QueryAsync<long>("SELECT count(*) FROM audit_events WHERE action = 'tasks.resumed'")).ShouldBe(0);
        // What is cancelled is waited for no more: 25 s, and a grace of 10 s.
        await engine.Canceller.CancelAsync(engine.Owner, longest.Id, null, Cancelled);
        (await engine.Held.ResumeAsync(engine.Owner, Cancelled)).ShouldBe(new ResumeResult(1));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_attempt_to_come_waits_for_the_owner_also_one_that_only_the_restore_planned(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("a");
        var request = new CreateTaskRequest
        {
            Command = new CommandSpec { Argv = ["true"] }, Targets = new TargetSpec { Workstations = ["a"] },
            Retry = new RetryPolicy { MaxAttempts = 2, BackoffSeconds = 10, On = [StepReason.ExitCode, StepReason.WorkerLost] },
        };
        var failed = await engine.CreateTaskAsync(request);
        await engine.ClaimAsync(machine, failed.Execution!.Steps[0]);
        await engine.CompleteAsync(machine, failed.Execution.Steps[0].Id, 1, StepOutcome.Failed);
        var running = await engine.CreateTaskAsync(request);
        await engine.ClaimAsync(machine, running.Execution!.Steps[0]);

        (await engine.Held.HoldAllAsync(Cancelled)).ShouldBe(2);
        foreach (var task in new[] { failed, running })
            (await engine.TaskAsync(task.Id)).ShouldSatisfyAllConditions(t => t.State.ShouldBe(TaskState.Failed), t => t.Held.ShouldBeTrue(), t => t.RetryDueAt.ShouldNotBeNull());
        engine.Clock.Advance(TimeSpan.FromHours(1));
        (await engine.Retries.RunOnceAsync(Cancelled)).ShouldBeNull("nothing is due while they are held");
        (await engine.QueryAsync<long>("SELECT count(*) FROM tasks WHERE retry_of_task_id IS NOT NULL")).ShouldBe(0);

        // By hand neither: it would be the second, should one have run since the backup.
        (await engine.Retrying.RetryAsync(engine.Owner, failed.Id, null, null, Cancelled)).Problem!.Value.CurrentState.ShouldBe("held_after_restore");

        // Whoever knows that an attempt ran drops it.
        await engine.Canceller.CancelAsync(engine.Owner, running.Id, null, Cancelled);
        (await engine.Held.ResumeAsync(engine.Owner, Cancelled)).Tasks.ShouldBe(1);
        await engine.Retries.RunOnceAsync(Cancelled);
        (await engine.QueryAsync<string>("SELECT retry_of_task_id FROM tasks WHERE retry_of_task_id IS NOT NULL")).ShouldBe(failed.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_approval_that_was_given_and_not_used_is_void_and_asked_for_again(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("one");
        var task = await ApprovalTests.ApprovedAsync(engine);
        (await engine.Held.HoldAllAsync(Cancelled)).ShouldBe(1);
        await engine.ApprovalLoop.RunOnceAsync(Cancelled);
        (await engine.TaskAsync(task.Id)).ShouldSatisfyAllConditions(t => t.State.ShouldBe(TaskState.Planned), t => t.ApprovalStatus.ShouldBe(ApprovalStatus.Pending), t => t.Held.ShouldBeTrue());
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_nobody_has_answered_yet_does_not_run_out_and_has_its_seven_days_again(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("one");
        engine.Doctrine = _ => DoctrineOfTasksTests.Wanting(ApprovalClass.SensitiveWrite, 0);
        var (task, refused) = (await engine.CreateTaskAsync(ApprovalTests.Request()), await engine.CreateTaskAsync(ApprovalTests.Request()));
        (await engine.Held.HoldAllAsync(Cancelled)).ShouldBe(2);
        await PassAsync(TimeSpan.FromDays(9), TaskState.Planned);
        // It may be answered all the while.
        (await engine.Approvals.RejectAsync(engine.Owner, refused.Id, null, "it ran", Cancelled)).ShouldBeNull();

        (await engine.Held.ResumeAsync(engine.Owner, Cancelled)).Tasks.ShouldBe(1);
        await PassAsync(TimeSpan.FromDays(6), TaskState.Planned);
        await PassAsync(TimeSpan.FromDays(1), TaskState.Failed);
        await engine.CheckInvariantsAsync(task.Id);

        async Task PassAsync(TimeSpan time, TaskState then)
        {
            await engine.MoveClocksAsync(time);
            await engine.ApprovalLoop.RunOnceAsync(Cancelled);
            (await engine.TaskAsync(task.Id)).State.ShouldBe(then);
        }
    }

    private static async Task<Device> NewSessionAsync(Engine engine, Device machine)
    {
        var next = machine with { SessionId = Ids.New(Ids.Session, engine.Clock) };
        var opened = await engine.Sessions.OpenAsync(next, new OpenSessionRequest { SessionId = next.SessionId, MachineId = "a", BootId = "boot", HostName = "a" }, Cancelled);
        opened.Kind.ShouldBe(OpenSessionKind.Opened);
        return next;
    }
}
