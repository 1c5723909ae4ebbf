using Tanjiren.Protocol;

namespace Tanjiren.Server.Tasks;

/// <summary>The legal transitions of a task and how it ends. Pure; DESIGN §3 and docs/concepts/tasks.md draw the same picture.</summary>
internal static class TaskRules
{
    public static bool IsTerminal(TaskState state) => state is TaskState.Completed or TaskState.Failed or TaskState.Cancelled;

    public static bool MayMove(TaskState from, TaskState to) => (from, to) switch
    {
        (TaskState.Planned, TaskState.Queued) => true,      // approved, or needed no longer
        (TaskState.Planned, TaskState.Failed) => true,      // rejected, or never answered
        (TaskState.Planned, TaskState.Cancelled) => true,
        (TaskState.Queued, TaskState.Executing) => true,    // the first claim
        (TaskState.Queued, TaskState.Cancelled) => true,
        (TaskState.Queued, TaskState.Failed) => true,       // queue timeout, workstation removed
        (TaskState.Queued, TaskState.Planned) => true,      // the approval expired unused, the task was changed, or a claimer needs a higher one
        (TaskState.Executing, TaskState.Completed) => true,
        (TaskState.Executing, TaskState.Failed) => true,
        (TaskState.Executing, TaskState.Cancelled) => true,
        _ => false,
    };

    /// <summary>
    /// How a task ends when its last step has ended: cancelled if an operator's cancel took effect on any step, else failed if any failed,
    /// else completed.
    /// </summary>
    public static TaskState Conclude(int cancelledByOperator, int failed) =>
        cancelledByOperator > 0 ? TaskState.Cancelled : failed > 0 ? TaskState.Failed : TaskState.Completed;
}

/// <summary>The legal transitions of a step.</summary>
internal static class StepRules
{
    public static bool IsTerminal(StepState state) => state is StepState.Succeeded or StepState.Failed or StepState.Cancelled;

    public static bool MayMove(StepState from, StepState to) => (from, to) switch
    {
        (StepState.Queued, StepState.Running) => true,      // a claim
        (StepState.Queued, StepState.Cancelled) => true,    // an operator, or the rollout stopped
        (StepState.Queued, StepState.Failed) => true,       // queue timeout, workstation removed
        (StepState.Running, StepState.Queued) => true,      // never started, or onWorkerLost: requeue
        (StepState.Running, StepState.Succeeded) => true,
        (StepState.Running, StepState.Failed) => true,
        (StepState.Running, StepState.Cancelled) => true,
        _ => false,
    };

    /// <summary>The state that an outcome leads to.</summary>
    public static StepState StateOf(StepOutcome outcome) => outcome switch
    {
        StepOutcome.Succeeded => StepState.Succeeded,
        StepOutcome.Failed => StepState.Failed,
        StepOutcome.Cancelled => StepState.Cancelled,
        _ => throw new ArgumentOutOfRangeException(nameof(outcome), outcome, "Not an outcome."),
    };

    /// <summary>What becomes of a step whose holder is gone for good, or cannot say how it ended.</summary>
    public static StepState AfterLoss(bool cancelRequested, OnWorkerLost policy) =>
        cancelRequested ? StepState.Cancelled : policy == OnWorkerLost.Requeue ? StepState.Queued : StepState.Failed;
}

/// <summary>The legal transitions of a lease.</summary>
internal static class LeaseRules
{
    public static bool MayMove(LeaseState from, LeaseState to) => (from, to) switch
    {
        (LeaseState.Free, LeaseState.Held) => true,         // a claim
        (LeaseState.Released, LeaseState.Held) => true,     // a claim after a requeue
        (LeaseState.Held, LeaseState.Stale) => true,        // the TTL passed
        (LeaseState.Stale, LeaseState.Held) => true,        // the same session came back within the grace, same generation
        (LeaseState.Held, LeaseState.Released) => true,     // complete, release, cancel
        (LeaseState.Stale, LeaseState.Released) => true,    // the grace passed, or the holder completed after all
        (LeaseState.Free, LeaseState.Released) => true,     // ended without ever being claimed
        _ => false,
    };
}
