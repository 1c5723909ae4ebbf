using System.Text;
using Tanjiren.Protocol;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Workstations.Sessions;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Tasks;

/// <summary>Who does not hold the lease moves nothing: zombies, other workstations, other sessions, other organizations.</summary>
public sealed class FencingTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Strangers_are_refused_on_every_route_and_nothing_moves(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var holder = await engine.AddWorkstationAsync("holder");
        var neighbour = await engine.AddWorkstationAsync("neighbour");
        var foreign = await engine.AddWorkstationAsync("foreign", owner: await engine.CreateOrganizationAsync("elsewhere"));
        var oldSession = holder with { SessionId = Ids.New(Ids.Session, engine.Clock) };
        var task = await engine.CreateTaskAsync([holder]);
        var step = task.Execution!.Steps[0];
        var generation = (await engine.ClaimAsync(holder, step)).Response!.LeaseGeneration;
        var before = await SnapshotAsync(engine, step.Id);

        foreach (var stranger in new[] { neighbour, foreign })
        {
            (await engine.ClaimAsync(stranger, step)).Refusal.ShouldBe(ClaimRefusal.NotFound);
            (await engine.Logs.AppendAsync(stranger, step.Id, generation, [Chunk(1, "x")], Token)).Kind.ShouldBe(AppendKind.NotFound);
            (await engine.CompleteAsync(stranger, step.Id, generation)).Kind.ShouldBe(StepMoveKind.NotFound);
            (await engine.Resolver.ReleaseAsync(stranger, step.Id, generation, null, Token)).Kind.ShouldBe(StepMoveKind.NotFound);
            (await engine.BeatAsync(stranger, (step.Id, generation)))!.Leases.Single().Standing.ShouldBe(LeaseStanding.Lost);
            (await engine.Heartbeats.WorkAsync(stranger, 0, 1, new HashSet<string>(), Token)).Response!.Assignments.ShouldBeEmpty();
        }
        (await engine.ClaimAsync(oldSession, step)).Refusal.ShouldBe(ClaimRefusal.SessionEnded);
        (await engine.Logs.AppendAsync(oldSession, step.Id, generation, [Chunk(1, "x")], Token)).Kind.ShouldBe(AppendKind.SessionEnded);
        (await engine.CompleteAsync(oldSession, step.Id, generation)).Kind.ShouldBe(StepMoveKind.SessionEnded);
        (await engine.Resolver.ReleaseAsync(oldSession, step.Id, generation, null, Token)).Kind.ShouldBe(StepMoveKind.SessionEnded);
        (await engine.BeatAsync(oldSession, (step.Id, generation))).ShouldBeNull();
        (await engine.Heartbeats.BeatAsync(oldSession, new HeartbeatRequest { MaxConcurrent = 1, Draining = true }, Token)).ShouldBeNull();
        (await engine.QueryAsync<long>("SELECT agent_draining FROM instances WHERE id = @id", new { id = holder.InstanceId })).ShouldBe(0, "a late beat does not speak for the machine");
        (await engine.Heartbeats.WorkAsync(oldSession, 0, 1, new HashSet<string>(), Token)).Standing.ShouldBe(SessionStanding.Ended);

        (await SnapshotAsync(engine, step.Id)).ShouldBe(before);
        (await engine.CompleteAsync(holder, step.Id, generation)).Kind.ShouldBe(StepMoveKind.Applied);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_zombies_late_result_is_refused_noted_once_and_its_output_kept(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var (zombie, heir) = (await engine.AddWorkstationAsync("zombie", ["gpu"]), await engine.AddWorkstationAsync("heir", ["gpu"]));
        var task = await engine.CreateTaskAsync(ClaimTests.AnyGpu(OnWorkerLost.Requeue));
        var step = task.Execution!.Steps[0];
        await engine.ClaimAsync(zombie, step);
        await engine.ServeAsync(Engine.TtlSeconds + Engine.GraceSeconds + 2);
        var second = await engine.ClaimAsync(heir, await engine.StepAsync(task));

        (await engine.CompleteAsync(zombie, step.Id, 1)).Kind.ShouldBe(StepMoveKind.LeaseLost);
        (await engine.CompleteAsync(zombie, step.Id, 1)).Kind.ShouldBe(StepMoveKind.LeaseLost);
        (await engine.Resolver.ReleaseAsync(zombie, step.Id, 1, null, Token)).Kind.ShouldBe(StepMoveKind.LeaseLost);
        (await engine.Logs.AppendAsync(zombie, step.Id, 1, [Chunk(1, "late words")], Token)).Kind.ShouldBe(AppendKind.Stored);

        (await engine.StepAsync(task)).State.ShouldBe(StepState.Running);
        (await engine.QueryAsync<long>("SELECT count(*) FROM step_events WHERE kind = 'lateResult'")).ShouldBe(1);
        (await engine.CompleteAsync(heir, step.Id, second.Response!.LeaseGeneration)).Kind.ShouldBe(StepMoveKind.Applied);
        (await engine.TaskAsync(task.Id)).State.ShouldBe(TaskState.Completed);
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_repeated_result_is_answered_and_another_one_conflicts(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var task = await engine.CreateTaskAsync([machine]);
        var step = task.Execution!.Steps[0];
        await engine.ClaimAsync(machine, step);

        (await engine.CompleteAsync(machine, step.Id, 1, StepOutcome.Failed, exitCode: 7)).Kind.ShouldBe(StepMoveKind.Applied);
        (await engine.CompleteAsync(machine, step.Id, 1, StepOutcome.Failed, exitCode: 7)).Kind.ShouldBe(StepMoveKind.AlreadyDone);
        (await engine.CompleteAsync(machine, step.Id, 1)).Kind.ShouldBe(StepMoveKind.ResultConflict);

        var ended = await engine.TaskAsync(task.Id);
        ended.State.ShouldBe(TaskState.Failed);
        ended.OutcomeSummary.ShouldBe("Failed. one: exit code 7 after 0.005 s.");
        ended.Execution!.Steps[0].LeaseGeneration.ShouldBe(2);
        ended.Execution.Steps[0].ExitCode.ShouldBe(7);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_gives_a_step_back_is_answered_when_it_is_repeated(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var task = await engine.CreateTaskAsync([machine], onWorkerLost: OnWorkerLost.Requeue);
        var step = task.Execution!.Steps[0];

        await engine.ClaimAsync(machine, step);
        (await engine.Resolver.ReleaseAsync(machine, step.Id, 1, null, Token)).Kind.ShouldBe(StepMoveKind.Applied);
        (await engine.Resolver.ReleaseAsync(machine, step.Id, 1, null, Token)).Kind.ShouldBe(StepMoveKind.AlreadyDone);

        var again = (await engine.ClaimAsync(machine, await engine.StepAsync(task))).Response!.LeaseGeneration;
        (await engine.CompleteAsync(machine, step.Id, again, StepOutcome.Failed, StepReason.UnknownOutcome)).Kind.ShouldBe(StepMoveKind.Applied);
        (await engine.CompleteAsync(machine, step.Id, again, StepOutcome.Failed, StepReason.UnknownOutcome)).Kind.ShouldBe(StepMoveKind.AlreadyDone);
        (await engine.CompleteAsync(machine, step.Id, again)).Kind.ShouldBe(StepMoveKind.LeaseLost);
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_step_that_an_agent_calls_cancelled_unasked_has_failed(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var task = await engine.CreateTaskAsync([machine]);
        await engine.ClaimAsync(machine, task.Execution!.Steps[0]);

        await engine.CompleteAsync(machine, task.Execution.Steps[0].Id, 1, StepOutcome.Cancelled, StepReason.Cancelled);

        (await engine.TaskAsync(task.Id)).State.ShouldBe(TaskState.Failed);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_last_two_steps_completing_at_once_end_the_task_once(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machines = new[] { await engine.AddWorkstationAsync("a"), await engine.AddWorkstationAsync("b") };
        for (var round = 0; round < 25; round++)
        {
            var task = await engine.CreateTaskAsync(machines, maxParallel: 0);
            for (var i = 0; i < 2; i++) (await engine.ClaimAsync(machines[i], task.Execution!.Steps[i])).Refusal.ShouldBeNull();

            await Task.WhenAll(machines.Select((m, i) => engine.CompleteAsync(m, task.Execution!.Steps[i].Id, 1)));

            (await engine.TaskAsync(task.Id)).State.ShouldBe(TaskState.Completed);
            (await engine.QueryAsync<long>("SELECT count(*) FROM step_events WHERE task_id = @id AND kind = 'taskEnded'", new { id = task.Id })).ShouldBe(1);
            await engine.CheckInvariantsAsync(task.Id);
        }
    }

    internal static LogChunk Chunk(long seq, string text, LogStream stream = LogStream.Stdout) =>
        new() { Seq = seq, Stream = stream, At = DateTimeOffset.UnixEpoch.AddDays(1), Data = Encoding.UTF8.GetBytes(text) };

    private static Task<string> SnapshotAsync(Engine engine, string stepId) => engine.QueryAsync<string>("""
        SELECT s.state || '|' || s.lease_state || '|' || s.lease_holder || '|' || s.lease_session || '|' || s.lease_generation || '|' || e.event_seq
        FROM steps s JOIN executions e ON e.id = s.execution_id WHERE s.id = @stepId
        """, new { stepId });
}
