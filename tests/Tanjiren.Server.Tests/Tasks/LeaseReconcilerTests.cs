using Tanjiren.Protocol;
using Tanjiren.Server.Tasks;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Tasks;

public sealed class LeaseReconcilerTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_silent_worker_loses_its_step_after_ttl_and_grace(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var task = await engine.CreateTaskAsync([machine]);
        await engine.ClaimAsync(machine, task.Execution!.Steps[0]);

        await engine.ServeAsync(Engine.TtlSeconds + 1);
        (await engine.StepAsync(task)).LeaseState.ShouldBe(LeaseState.Stale);
        (await engine.StepAsync(task)).State.ShouldBe(StepState.Running);

        await engine.ServeAsync(Engine.GraceSeconds + 1);
        var step = await engine.StepAsync(task);
        (step.State, step.Reason, step.LeaseGeneration).ShouldBe((StepState.Failed, StepReason.WorkerLost, 2));
        (await engine.TaskAsync(task.Id)).State.ShouldBe(TaskState.Failed);
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_worker_that_returns_within_the_grace_holds_the_same_generation_again(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var task = await engine.CreateTaskAsync([machine]);
        var step = task.Execution!.Steps[0];
        await engine.ClaimAsync(machine, step);
        await engine.ServeAsync(Engine.TtlSeconds + 3);

        var renewed = (await engine.BeatAsync(machine, (step.Id, 1)))!.Leases.Single();
        (renewed.Standing, renewed.ClaimId).ShouldBe((LeaseStanding.Held, await engine.QueryAsync<string>("SELECT claim_id FROM steps")));

        (await engine.StepAsync(task)).LeaseState.ShouldBe(LeaseState.Held);
        (await engine.StepAsync(task)).LeaseGeneration.ShouldBe(1);
        await engine.ServeAsync(Engine.TtlSeconds - 2);
        (await engine.StepAsync(task)).LeaseState.ShouldBe(LeaseState.Held);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_executor_without_a_sign_of_life_is_not_renewed(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var task = await engine.CreateTaskAsync([machine]);
        var step = task.Execution!.Steps[0];
        await engine.ClaimAsync(machine, step);
        var before = await engine.QueryAsync<long>("SELECT lease_expires_at FROM steps");

        var answer = await engine.Heartbeats.BeatAsync(machine, new HeartbeatRequest
        {
            MaxConcurrent = 1,
            Leases = [new HeldLease { StepId = step.Id, LeaseGeneration = 1, Phase = StepPhase.Running, TickAgeMs = 60_001 }],
        }, Token);

        answer!.Leases.Single().Standing.ShouldBe(LeaseStanding.NotRenewed);
        (await engine.QueryAsync<long>("SELECT lease_expires_at FROM steps")).ShouldBe(before);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_server_that_was_away_waits_before_it_judges(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var task = await engine.CreateTaskAsync([machine]);
        var step = task.Execution!.Steps[0];
        await engine.ClaimAsync(machine, step);
        await engine.ServeAsync(2);

        await engine.MoveClocksAsync(TimeSpan.FromHours(1));
        await engine.ServeAsync(Engine.TtlSeconds + Engine.GraceSeconds - 2);
        (await engine.StepAsync(task)).State.ShouldBe(StepState.Running, "the holder could not reach a server that was not there");

        (await engine.BeatAsync(machine, (step.Id, 1)))!.Leases.Single().Standing.ShouldBe(LeaseStanding.Held);
        await engine.ServeAsync(3);
        (await engine.StepAsync(task)).State.ShouldBe(StepState.Running);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_cancel_that_a_silent_holder_never_resolves_is_resolved_for_it(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var (silent, other) = (await engine.AddWorkstationAsync("silent"), await engine.AddWorkstationAsync("other"));
        var task = await engine.CreateTaskAsync([silent, other], onWorkerLost: OnWorkerLost.Requeue);
        await engine.ClaimAsync(silent, task.Execution!.Steps[0]);

        (await engine.Canceller.CancelAsync(engine.Owner, task.Id, "enough", Token)).Kind.ShouldBe(CancelResultKind.Applied);

        var steps = (await engine.TaskAsync(task.Id)).Execution!.Steps;
        (steps[0].State, steps[1].State).ShouldBe((StepState.Running, StepState.Cancelled));
        (await engine.BeatAsync(silent, (steps[0].Id, 1)))!.Leases.Single().CancelRequested.ShouldBeTrue();
        await engine.ServeAsync(Engine.TtlSeconds + Engine.GraceSeconds + 2);
        (await engine.TaskAsync(task.Id)).State.ShouldBe(TaskState.Cancelled);
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Nothing_stays_running_past_its_hard_deadline(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var task = await engine.CreateTaskAsync(new CreateTaskRequest
        {
            Command = new CommandSpec { Argv = ["true"] }, Targets = new TargetSpec { Workstations = ["one"] }, TimeoutSeconds = 20,
        });
        var step = task.Execution!.Steps[0];
        await engine.ClaimAsync(machine, step);

        for (var i = 0; i < 27; i++)
        {
            await engine.ServeAsync(1);
            await engine.BeatAsync(machine, (step.Id, 1));
        }

        var ended = await engine.StepAsync(task);
        (ended.State, ended.Reason).ShouldBe((StepState.Failed, StepReason.Timeout));
        (await engine.BeatAsync(machine, (step.Id, 1)))!.Leases.Single().Standing.ShouldBe(LeaseStanding.Lost);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_step_that_nobody_claims_fails_after_its_queue_timeout(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("one");
        var task = await engine.CreateTaskAsync(new CreateTaskRequest
        {
            Command = new CommandSpec { Argv = ["true"] }, Targets = new TargetSpec { Workstations = ["one"] }, QueueTimeoutSeconds = 5,
        });

        await engine.ServeAsync(6);

        var ended = await engine.TaskAsync(task.Id);
        ended.State.ShouldBe(TaskState.Failed);
        ended.Execution!.Steps[0].Reason.ShouldBe(StepReason.QueueTimeout);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Steps_of_a_removed_workstation_fail_instead_of_waiting_for_ever(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var task = await engine.CreateTaskAsync([machine]);

        await engine.ExecuteAsync("UPDATE instances SET removed_at = 1 WHERE id = @id", new { id = machine.InstanceId });
        await engine.ServeAsync(1);

        (await engine.StepAsync(task)).Reason.ShouldBe(StepReason.WorkstationRemoved);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task StopAfterFailures_cancels_what_is_still_queued(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machines = new[] { await engine.AddWorkstationAsync("a"), await engine.AddWorkstationAsync("b"), await engine.AddWorkstationAsync("c") };
        var task = await engine.CreateTaskAsync(machines, stopAfterFailures: 1);
        await engine.ClaimAsync(machines[0], task.Execution!.Steps[0]);

        await engine.CompleteAsync(machines[0], task.Execution.Steps[0].Id, 1, StepOutcome.Failed);

        var ended = await engine.TaskAsync(task.Id);
        ended.State.ShouldBe(TaskState.Failed);
        ended.Execution!.Steps.Skip(1).ShouldAllBe(s => s.State == StepState.Cancelled && s.Reason == StepReason.RolloutStopped);
        await engine.CheckInvariantsAsync(task.Id);
    }
}
