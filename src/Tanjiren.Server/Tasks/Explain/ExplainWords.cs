using System.Globalization;
using Tanjiren.Protocol;
using Tanjiren.Server.Governance;
using Tanjiren.Server.Workstations;

namespace Tanjiren.Server.Tasks.Explain;

/// <summary>What is known of a wait, in words. Pure; it decides nothing.</summary>
internal static class ExplainWords
{
    /// <summary>Phrases of machines go after their name, those of steps after "It waits for".</summary>
    public static Wait Of(UnmetCondition unmet) => unmet.Kind switch
    {
        ConditionKind.Name => new Wait(WaitReason.NoMatch, "is not among the workstations that are named"),
        ConditionKind.Tag => new Wait(WaitReason.NoMatch, $"lacks the tag {unmet.Name}"),
        ConditionKind.CodingAgent => new Wait(WaitReason.NoMatch, unmet.Name == TargetSelector.AnyCodingAgent ? "has no coding agent" : $"has no coding agent {unmet.Name}"),
        _ => new Wait(unmet.Kind == ConditionKind.Resource ? WaitReason.Resources : WaitReason.NoMatch,
            unmet.Actual is null ? $"announces no {unmet.Name} ({unmet.Required} is asked for)" : $"has {unmet.Name} {unmet.Actual}, not {unmet.Required}"),
    };

    public static Wait Of(WaitReason unready, InstanceRow machine) => new(unready, unready switch
    {
        WaitReason.Offline => machine.LastHeartbeatAt is { } at ? $"is offline since {Instant(TaskMapping.Instant(at))}" : "was never online",
        WaitReason.Untrusted => "is not paired",
        WaitReason.SignedOut => "is signed out",
        WaitReason.AtCapacity => $"runs {machine.ActiveSteps} of {machine.MaxConcurrent} steps that it takes at once",
        WaitReason.Draining => "is draining",
        _ => throw new ArgumentOutOfRangeException(nameof(unready), unready, "Not a reason of a worker."),
    });

    /// <summary>That the doctrine is asked again is no end of what it said, which is not kept with the refusal.</summary>
    public static Wait Of(ExplainedHold hold) => hold.Forbidden != 0
        ? new Wait(WaitReason.Forbidden, $"was refused it by the doctrine{Again(hold)}")
        : new Wait(WaitReason.Frozen, $"was frozen by the doctrine{Again(hold)}");

    /// <summary>The same where it is known what the doctrine says <paramref name="now"/>: if it still refuses, why and until when; if not, it begins when it is asked again.</summary>
    public static Wait Of(ExplainedHold hold, Wait? now)
    {
        var again = TaskMapping.Instant(hold.HeldUntil);
        if (now is not { Reason: WaitReason.Frozen or WaitReason.Forbidden } still) return Of(hold) with { Until = again };
        return still with { Phrase = still.Phrase + Again(hold), Until = still.Until < again ? again : still.Until };
    }

    /// <summary>Phrases of the doctrine end with its name and what it names, so that what is said of it may follow.</summary>
    public static Wait Forbidden(DoctrineDecision decision) => new(WaitReason.Forbidden, $"is forbidden it by the doctrine{Named(decision, f => f.Effect == "forbid", f => f.Rule)}");

    /// <summary>One that can't be read is no freeze, and nobody knows when somebody mends it.</summary>
    public static Wait Frozen(DoctrineDecision decision) => decision.Unreadable
        ? new Wait(WaitReason.Frozen, $"is kept from it by the doctrine{Named(decision, f => f.Rule == DoctrineGate.Itself, f => f.Because)}")
        : new Wait(WaitReason.Frozen, $"is frozen until {Instant(decision.FrozenUntil!.Value)} by the doctrine{Named(decision, f => f.Effect is "wait" or "refuse", f => f.Rule)}", decision.FrozenUntil);

    public static readonly Wait Held = new(WaitReason.Held, "the owner to resume the tasks that are held since the server was restored (`jobs resume`)");

    public static Wait Frozen(DateTimeOffset until) => new(WaitReason.Frozen, $"the end of a freeze at {Instant(until)}", until);

    public static Wait MaxParallel(ExplainedTask task, IReadOnlyList<ExplainedStep> steps, DateTimeOffset now)
    {
        var stale = steps.FirstOrDefault(s => s.IsStale);
        var silent = stale is null ? "" : $", and '{stale.InstanceName}' is silent and keeps its place until {Instant(stale.GraceEnds(now))}";
        return new Wait(WaitReason.MaxParallel, $"a place under maxParallel ({task.MaxParallel}): as many of its steps run{silent}");
    }

    public static Wait Approval(string approvalClass) => new(WaitReason.Approval, $"an approval of class {approvalClass} by an admin or the owner");

    /// <summary>A claim of this machine would be refused and ask for one.</summary>
    public static Wait ApprovalOfMachine(string approvalClass) => new(WaitReason.Approval, $"may run it only with an approval of class {approvalClass}");

    /// <summary>"'a' lacks the tag gpu; 'b' is offline since … and is draining".</summary>
    public static string Machines(IEnumerable<MachineCase> machines) => string.Join("; ", machines.Select(m => $"'{m.Machine.Name}' {string.Join(" and ", m.Waits.Select(w => w.Phrase))}"));

    public static string Running(ExplainedStep step, DateTimeOffset now)
    {
        if (!step.IsStale) return $"It runs on '{step.InstanceName}' since {Instant(TaskMapping.Instant(step.ClaimedAt!.Value))}{(step.CancelRequestedAt is not null ? " and is being cancelled" : step.AskedUntil is { } until ? $", and its coding agent waits for an answer, which is no at {Instant(TaskMapping.Instant(until))} unless somebody gives it (`jobs approvals`)" : "")}.";
        var then = StepRules.AfterLoss(step.CancelRequestedAt is not null, WireNames.Parse<OnWorkerLost>(step.OnWorkerLost)) switch
        {
            StepState.Queued => "it is queued again",
            StepState.Cancelled => "it ends as cancelled",
            _ => "it fails with workerLost",
        };
        return $"Its workstation '{step.InstanceName}' is silent since its lease ran out at {Instant(step.LeaseEnds(now))}; unless it comes back by {Instant(step.GraceEnds(now))}, {then}.";
    }

    public static string Ended(ExplainedStep step)
    {
        var where = step.InstanceName is null ? "" : $" on '{step.InstanceName}'";
        var at = step.EndedAt is { } ended ? $" at {Instant(TaskMapping.Instant(ended))}" : "";
        var why = step.Reason is null ? "" : $" ({step.Reason}{(step.ExitCode is { } code and not 0 ? $" {code}" : "")})";
        return $"It {(step.State == "cancelled" ? "was cancelled" : step.State)}{where}{at}{why}.";
    }

    public static string Ended(ExplainedTask task)
    {
        var ended = $"It {(task.State == "cancelled" ? "was cancelled" : task.State)} at {Instant(TaskMapping.Instant(task.EndedAt!.Value))}";
        if (task.RetriedByTaskId is { } next) return $"{ended}; {next} is the attempt after it.";
        if (task.RetryDueAt is not { } due) return $"{ended} and waits for nothing.";
        return $"{ended}; attempt {task.Attempt + 1} of {task.ParseSpec().Retry!.MaxAttempts} is made at {Instant(TaskMapping.Instant(due))}{(task.NotHeld ? "" : ", when the owner has resumed the tasks that are held since the server was restored (`jobs resume`)")}.";
    }

    private static string Again(ExplainedHold hold) => $", which is asked again at {Instant(TaskMapping.Instant(hold.HeldUntil))}";

    /// <summary>In brackets, each once; the present and the snapshot may say the same.</summary>
    private static string Named(DoctrineDecision decision, Func<DoctrineFinding, bool> which, Func<DoctrineFinding, string> say)
    {
        var said = decision.Findings.Where(which).Select(say).Distinct().ToList();
        return said.Count == 0 ? "" : $" ({string.Join("; ", said)})";
    }

    public static string Instant(DateTimeOffset instant) => instant.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);
}
