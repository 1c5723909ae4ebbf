using System.Diagnostics.CodeAnalysis;
using Tanjiren.Agent.CodingAgents;
using Tanjiren.Agent.Outbox;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Execution;

/// <summary>Why a step is stopped. A later reason with a higher number wins over an earlier one.</summary>
internal enum StopReason
{
    None = 0,
    /// <summary>An operator asked; the process gets SIGTERM and a grace.</summary>
    Cancel = 1,
    /// <summary>Its hard deadline passed.</summary>
    Timeout = 2,
    /// <summary>It took more memory than it may. Above a cancel: what exceeds its cap while it has its grace is killed at once, and for that.</summary>
    ResourceExceeded = 3,
    /// <summary>The agent was told to abort.</summary>
    Abort = 4,
    /// <summary>Its lease could not be renewed in time.</summary>
    LeaseExpired = 5,
    /// <summary>Its session ended; the next session reports it.</summary>
    SessionEnded = 6,
    /// <summary>The server gave the step away: kill, and report nothing.</summary>
    LeaseLost = 7,
}

/// <summary>From the end of a process to the words of its result. Pure.</summary>
internal static class StepResult
{
    /// <summary>
    /// What counts as the reason of this end. A process that ended before our first signal keeps its own outcome, whoever asked for its end
    /// (unless the step is not ours any more); one that somebody killed hard after the watchdog's deadline was killed by the watchdog: for its
    /// lease, or, when that reaches further, for its time.
    /// </summary>
    /// <param name="stop">The strongest that was asked for.</param>
    /// <param name="exit">Of the root process.</param>
    /// <param name="firstSignalAtBootMs">When the agent first signalled the tree; null: never.</param>
    /// <param name="leaseDeadlineBootMs">Until when the lease was trusted.</param>
    /// <param name="watchdogDeadlineBootMs">When the watchdog kills.</param>
    /// <param name="overMemory">
    /// The kernel killed in the step's cgroup for its memory. It does so without asking, so there was no signal of ours: a root that a SIGKILL ended before the watchdog's deadline was
    /// ended by that. One that ended with a code of its own had its say.
    /// </param>
    public static StopReason Effective(StopReason stop, ProcessExit exit, long? firstSignalAtBootMs, long leaseDeadlineBootMs, long watchdogDeadlineBootMs, bool overMemory = false)
    {
        if (stop == StopReason.LeaseLost) return stop;
        if (overMemory && stop < StopReason.Abort && exit.Signal == "SIGKILL" && exit.EndedAtBootMs < watchdogDeadlineBootMs) return StopReason.ResourceExceeded;
        if (stop != StopReason.None && firstSignalAtBootMs is { } signalled && exit.EndedAtBootMs >= signalled) return stop;
        if (exit.Signal != "SIGKILL" || exit.EndedAtBootMs < watchdogDeadlineBootMs) return StopReason.None;
        return watchdogDeadlineBootMs < leaseDeadlineBootMs ? StopReason.Timeout : StopReason.LeaseExpired;
    }

    /// <param name="reason">From <see cref="Effective"/>.</param>
    /// <param name="exit">Of the root process.</param>
    /// <param name="exceeded">Which cap, and by how much, when it was that.</param>
    public static CompleteRequest Of(StopReason reason, ProcessExit exit, string? exceeded = null) => reason switch
    {
        StopReason.Cancel => new CompleteRequest { Outcome = StepOutcome.Cancelled, Reason = StepReason.Cancelled, ExitCode = exit.ExitCode, Signal = exit.Signal },
        StopReason.Timeout => new CompleteRequest { Outcome = StepOutcome.Failed, Reason = StepReason.Timeout, ExitCode = exit.ExitCode, Signal = exit.Signal },
        StopReason.ResourceExceeded => new CompleteRequest { Outcome = StepOutcome.Failed, Reason = StepReason.ResourceExceeded, Detail = exceeded, ExitCode = exit.ExitCode, Signal = exit.Signal },
        StopReason.Abort => Unknown("The agent was aborted and killed it."),
        StopReason.LeaseExpired => Unknown("The lease could not be renewed in time, so it was killed."),
        _ when exit is { ExitCode: null, Signal: null } => Unknown("The process is gone and nobody saw its exit code."),
        _ when exit.ExitCode == 0 => new CompleteRequest { Outcome = StepOutcome.Succeeded, ExitCode = 0 },
        _ => new CompleteRequest { Outcome = StepOutcome.Failed, Reason = StepReason.ExitCode, ExitCode = exit.ExitCode, Signal = exit.Signal },
    };

    public static CompleteRequest Unknown(string detail) =>
        new() { Outcome = StepOutcome.Failed, Reason = StepReason.UnknownOutcome, Detail = detail };

    public static CompleteRequest Failed(StepReason reason, string detail) =>
        new() { Outcome = StepOutcome.Failed, Reason = reason, Detail = detail };

    /// <summary>Names what outlived the step: whoever reads the result is to know that something of it still runs.</summary>
    public static CompleteRequest WithSurvivors(CompleteRequest words, KillReport? report) => report is not { IsComplete: false } ? words
        : words with { Detail = $"{words.Detail} Not all of its processes could be ended: {report}.".Trim() };

    /// <summary>Fills in what belongs to the claim and its output, and the digest over all of it.</summary>
    public static CompleteRequest Seal(CompleteRequest words, string stepId, long generation, long durationMs, long finalLogSeq, StepOutput? output)
    {
        var result = words with
        {
            LeaseGeneration = generation,
            DurationMs = durationMs,
            FinalLogSeq = finalLogSeq,
            LogBytes = output?.Kept ?? 0,
            Truncated = output?.Truncated ?? false,
            OutputPreview = output is null ? null : Convert.ToBase64String(output.Preview),
        };
        return result with { ResultDigest = ResultDigest.Compute(stepId, result) };
    }

    /// <summary>After the masks. Words of programs may be in it: no database takes a NUL, and a result that the server refuses is lost.</summary>
    [return: NotNullIfNotNull(nameof(detail))]
    public static string? Cut(string? detail) => detail is null ? null : TextCut.Keep(detail.Replace("\0", "", StringComparison.Ordinal), 2000);
}
