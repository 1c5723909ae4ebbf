using Tanjiren.Protocol;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tasks.Leases;

namespace Tanjiren.Server.Tests.Tasks;

/// <summary>The transition tables, written out: every pair that is not listed must be refused.</summary>
public sealed class TaskRulesTests
{
    [Fact]
    public void Tasks_move_only_along_the_lifecycle()
    {
        (TaskState, TaskState)[] legal =
        [
            (TaskState.Planned, TaskState.Queued), (TaskState.Planned, TaskState.Failed), (TaskState.Planned, TaskState.Cancelled),
            (TaskState.Queued, TaskState.Executing), (TaskState.Queued, TaskState.Cancelled), (TaskState.Queued, TaskState.Failed),
            (TaskState.Queued, TaskState.Planned), (TaskState.Executing, TaskState.Completed), (TaskState.Executing, TaskState.Failed),
            (TaskState.Executing, TaskState.Cancelled),
        ];
        ForEachPair<TaskState>((from, to) => TaskRules.MayMove(from, to).ShouldBe(legal.Contains((from, to)), $"{from} to {to}"));
    }

    [Fact]
    public void Steps_move_only_along_the_lifecycle()
    {
        (StepState, StepState)[] legal =
        [
            (StepState.Queued, StepState.Running), (StepState.Queued, StepState.Cancelled), (StepState.Queued, StepState.Failed),
            (StepState.Running, StepState.Queued), (StepState.Running, StepState.Succeeded), (StepState.Running, StepState.Failed),
            (StepState.Running, StepState.Cancelled),
        ];
        ForEachPair<StepState>((from, to) => StepRules.MayMove(from, to).ShouldBe(legal.Contains((from, to)), $"{from} to {to}"));
    }

    [Fact]
    public void Leases_move_only_along_the_lifecycle()
    {
        (LeaseState, LeaseState)[] legal =
        [
            (LeaseState.Free, LeaseState.Held), (LeaseState.Released, LeaseState.Held), (LeaseState.Held, LeaseState.Stale), (LeaseState.Stale, LeaseState.Held),
            (LeaseState.Held, LeaseState.Released), (LeaseState.Stale, LeaseState.Released), (LeaseState.Free, LeaseState.Released),
        ];
        ForEachPair<LeaseState>((from, to) => LeaseRules.MayMove(from, to).ShouldBe(legal.Contains((from, to)), $"{from} to {to}"));
    }

    [Fact]
    public void Nothing_leaves_a_terminal_state()
    {
        ForEachPair<TaskState>((from, to) => (TaskRules.IsTerminal(from) && TaskRules.MayMove(from, to)).ShouldBeFalse());
        ForEachPair<StepState>((from, to) => (StepRules.IsTerminal(from) && StepRules.MayMove(from, to)).ShouldBeFalse());
    }

    [Theory]
    [InlineData(0, 0, TaskState.Completed)]
    [InlineData(0, 1, TaskState.Failed)]
    [InlineData(1, 0, TaskState.Cancelled)]
    [InlineData(1, 5, TaskState.Cancelled)]
    public void A_cancel_that_took_effect_outweighs_failures(int cancelled, int failed, TaskState expected) =>
        TaskRules.Conclude(cancelled, failed).ShouldBe(expected);

    [Theory]
    [InlineData(false, OnWorkerLost.Fail, StepState.Failed)]
    [InlineData(false, OnWorkerLost.Requeue, StepState.Queued)]
    [InlineData(true, OnWorkerLost.Fail, StepState.Cancelled)]
    [InlineData(true, OnWorkerLost.Requeue, StepState.Cancelled)]
    public void A_lost_worker_is_resolved_by_the_tasks_policy_unless_it_was_cancelled(bool cancelRequested, OnWorkerLost policy, StepState expected) =>
        StepRules.AfterLoss(cancelRequested, policy).ShouldBe(expected);

    private static void ForEachPair<T>(Action<T, T> check) where T : struct, Enum
    {
        foreach (var from in Enum.GetValues<T>())
        {
            foreach (var to in Enum.GetValues<T>()) check(from, to);
        }
    }
}

public sealed class ReconcilerGateTests
{
    private readonly ReconcilerGate _gate = new(maxGapMs: 5000, maxDriftMs: 1000);
    private long _elapsed;

    [Fact]
    public void A_start_begins_the_wait() => Pass(0).ShouldBe(0);

    [Fact]
    public void Service_without_a_gap_adds_up()
    {
        Pass(0);
        for (var i = 1; i <= 100; i++) Pass(1000).ShouldBe(i * 1000);
    }

    [Fact]
    public void A_gap_between_passes_restarts_the_wait()
    {
        Pass(0);
        Pass(4000).ShouldBe(4000);
        Pass(5001).ShouldBe(0);
        Pass(1000).ShouldBe(1000);
    }

    [Theory]
    [InlineData(600_000)]
    [InlineData(-600_000)]
    [InlineData(1_001)]
    public void A_step_of_either_clock_restarts_the_wait(long step)
    {
        Pass(0);
        Pass(1000).ShouldBe(1000);
        Pass(1000, leaseStep: step).ShouldBe(0);
        Pass(1000).ShouldBe(1000);
        Pass(1000, wallStep: step).ShouldBe(0);
    }

    [Fact]
    public void A_small_correction_of_the_clock_does_not()
    {
        Pass(0);
        Pass(1000, leaseStep: 900, wallStep: -900).ShouldBe(1000);
    }

    private long _lease;
    private long _wall;

    private long Pass(long after, long leaseStep = 0, long wallStep = 0)
    {
        _elapsed += after;
        _lease += after + leaseStep;
        _wall += after + wallStep;
        return _gate.Observe(_elapsed, _lease, _wall);
    }
}
