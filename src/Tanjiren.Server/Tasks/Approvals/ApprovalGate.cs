using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Governance;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Workstations;

namespace Tanjiren.Server.Tasks.Approvals;

/// <summary>
/// What doctrine and approvals say to a claim, and when a task has to ask again. All under the execution's lock, in the transaction of what brings it about: nothing
/// can start between the decision and its record.
/// </summary>
internal sealed class ApprovalGate(TaskPlanner planner, InstanceDirectory directory, WakeUps wakeUps, RunMetrics metrics)
{
    /// <summary>Findings of one approval; a thousand machines that are lost together need not be listed one by one.</summary>
    private const int MaxNamed = 20;

    /// <summary>Machines with different tags that one transaction asks the doctrine about.</summary>
    private const int MaxKinds = 5;

    private const string Further = "Further steps wait for it, too.";

    /// <summary>Why the step may not start on this machine now; what follows from it has been written. None: it may, and the approval that covers it, if it needs one, is used.</summary>
    public async Task<(ClaimRefusal? Refusal, ApprovalRow? Covering)> AdmitAsync(WriteTransaction tx, LockedExecution locked, StepRow step, string instanceId, IReadOnlyCollection<string> tags)
    {
        var (decision, verdict, covering) = await JudgeAsync(tx, locked.Subject, step.ApprovalFrom, tags);
        switch (verdict)
        {
            case ClaimRefusal.Forbidden: return (await ForbidAsync(tx, locked, step, instanceId, decision), null);
            case ClaimRefusal.Frozen: return (await FreezeAsync(tx, locked, step, instanceId, decision.FrozenUntil!.Value), null);
            case ClaimRefusal.NeedsApproval: return (await AskAsync(tx, locked, step, decision), null);
        }
        if (covering?.ParsedState == ApprovalState.Approved)
        {
            if (!await ApprovalBook.MoveAsync(tx, covering, ApprovalState.Consumed, locked.Now)) return (ClaimRefusal.NeedsApproval, null);
            locked.SetApproval(ApprovalStatus.Consumed);
        }
        return (null, covering);
    }

    /// <summary>
    /// What they say to a start on a machine with these tags; nothing is written, and nothing need be locked by who only wants to tell it. No verdict: it may start, under
    /// this approval if there is one.
    /// </summary>
    public async Task<(DoctrineDecision Decision, ClaimRefusal? Verdict, ApprovalRow? Covering)> JudgeAsync(
        SqlSession sql, StartSubject task, int approvalFrom, IReadOnlyCollection<string> tags)
    {
        var decision = await planner.DecideAtClaimAsync(sql, task, tags);
        if (decision.Forbidden) return (decision, ClaimRefusal.Forbidden, null);
        if (decision.FrozenUntil is { } until && until.ToUnixTimeMilliseconds() > task.Now) return (decision, ClaimRefusal.Frozen, null);
        if (decision.Class == ApprovalClass.None && approvalFrom == 0) return (decision, null, null);
        var covering = await ApprovalBook.CoveringAsync(sql, task, approvalFrom, decision.Class);
        return (decision, covering is null ? ClaimRefusal.NeedsApproval : null, covering);
    }

    /// <summary>
    /// Until when (Unix milliseconds) freezes of the present doctrine keep the machines that fit the step from it; of many kinds of machines the first few stand for all. Null:
    /// one is not kept by a freeze, or this server can't read the doctrine. Not by the snapshot: what stands there alone was corrected, and can't hold a step for ever.
    /// </summary>
    public async Task<long?> FrozenUntilAsync(WriteTransaction tx, LockedExecution locked, StepRow step)
    {
        var fitting = await StepHolds.FittingAsync(tx, locked, step, directory);
        long? first = null;
        foreach (var tags in fitting.Select(m => m.Tags).DistinctBy(tags => string.Join('\n', tags.Order(StringComparer.Ordinal))).DefaultIfEmpty([]).Take(MaxKinds))
        {
            var decision = await planner.DecideNowAsync(tx, locked.Subject, tags);
            if (decision.Unreadable || decision.FrozenUntil?.ToUnixTimeMilliseconds() is not { } end || end <= locked.Now) return null;
            first = Math.Min(first ?? end, end);
        }
        return first;
    }

    /// <summary>
    /// For a step that is queued again after a start that may have happened: the approval that it ran under is used up, so another is asked for, together with what
    /// is open; unless the doctrine lets it inherit the old one. A step that provably never started is not passed here.
    /// </summary>
    public async Task AskForAnotherStartAsync(WriteTransaction tx, LockedExecution locked, StepRow step)
    {
        if (step.ApprovalFrom == 0) return;
        // A plan that can't be made inherits nothing.
        if (await planner.TryPlanAsync(tx, locked) is { } plan && plan.Inherits(await ApprovalBook.RanUnderAsync(tx, step))) return;
        var newest = (await ApprovalBook.NewestAsync(tx, locked.TaskId))!;
        var because = $"Step {step.Id} lost its workstation and may have run; it shall start again.";
        await WaitFromAsync(tx, step, await AskForMoreAsync(tx, locked, newest, newest.ParsedClass, [new ApprovalFindingBody { Rule = "onWorkerLost", Effect = newest.Class, Because = because }]));
    }

    /// <summary>
    /// Asks for what an executing task needs more. What is open, pending or given, ends for a new question that names all of it: whoever answered the old one, or was
    /// looking at it, did not know of this step. The steps of the old one wait with this one, for the newer number, which is returned.
    /// </summary>
    private static async Task<int> AskForMoreAsync(
        WriteTransaction tx, LockedExecution locked, ApprovalRow? newest, ApprovalClass wanted, IReadOnlyList<ApprovalFindingBody> more)
    {
        var open = newest is { ParsedState: ApprovalState.Pending or ApprovalState.Approved } ? newest : null;
        var earlier = open?.ParseFindings() ?? [];
        var all = Joined(earlier, more);
        // It says already that there are more than it names.
        if (open is { ParsedState: ApprovalState.Pending } && open.ParsedClass == wanted && all.Count == earlier.Count) return open.Number;
        if (open is { ParsedState: ApprovalState.Approved } && open.ExpiresAt <= locked.Now) await ApprovalBook.ExpireAsync(tx, locked, open);
        else await ApprovalBook.WithdrawAsync(tx, locked);
        return await ApprovalBook.AskAsync(tx, locked, wanted, all);
    }

    /// <summary>Both, each once; so many are named, and that there are more.</summary>
    private static IReadOnlyList<ApprovalFindingBody> Joined(IReadOnlyList<ApprovalFindingBody> earlier, IReadOnlyList<ApprovalFindingBody> more)
    {
        var added = more.Except(earlier).ToList();
        if (added.Count == 0 || earlier.Any(f => f.Because == Further)) return earlier;
        if (earlier.Count + added.Count <= MaxNamed) return [.. earlier, .. added];
        return [.. earlier, .. added.Take(Math.Max(0, MaxNamed - earlier.Count)), added[0] with { Because = Further }];
    }

    /// <summary>
    /// From queued back to planned: the approval that it was queued by counts no more, or one of a higher class is needed. Its steps, none of which was ever claimed, go;
    /// they are written again, for the targets of then, when it is approved.
    /// </summary>
    public async Task BackToPlannedAsync(WriteTransaction tx, LockedExecution locked, ApprovalClass atLeast, IReadOnlyList<ApprovalFindingBody> findings)
    {
        await ApprovalBook.WithdrawAsync(tx, locked);
        await locked.RemoveStepsAsync();
        locked.MoveTask(TaskState.Planned);
        locked.Freeze(null);
        var plan = await planner.TryPlanAsync(tx, locked);
        // Without its targets, or a doctrine that can be read, it asks for what it was; whoever wants to approve it is told what is missing.
        var wanted = TaskPlanner.HigherOf(atLeast, plan?.Class ?? ApprovalClass.None);
        locked.SetPlan(wanted, plan?.Decision.Version ?? locked.DoctrineVersion, plan?.ActionHash ?? locked.ActionHash);
        await ApprovalBook.AskAsync(tx, locked, wanted, findings.Count > 0 ? findings : plan?.Findings(locked.ParsedSpec.ApprovalClass) ?? []);
    }

    /// <summary>
    /// What waited for this machine ends, or it would be offered and refused for ever. What any of several may run waits for the others, and ends when all that fit it
    /// have been refused.
    /// </summary>
    private async Task<ClaimRefusal> ForbidAsync(WriteTransaction tx, LockedExecution locked, StepRow step, string instanceId, DoctrineDecision decision)
    {
        var isNew = await StepHolds.HoldAsync(tx, locked, step, instanceId, long.MaxValue, forbidden: true);
        if (await StepHolds.AnyRemainsAsync(tx, locked, step, directory))
        {
            if (!isNew) return ClaimRefusal.Forbidden;
            locked.AddEvent("forbidden", step.Id, instanceId: instanceId, detail: string.Join("; ", decision.Findings.Select(f => f.Rule)));
            await locked.SaveAsync(wakeUps, metrics);
            return ClaimRefusal.Forbidden;
        }
        var rules = string.Join("; ", decision.Findings.Select(f => $"{f.Rule} ({f.Because})"));
        await StepEnding.EndQueuedAsync(tx, locked, StepState.Failed, StepReason.ForbiddenByDoctrine, rules.Length <= 2000 ? rules : rules[..2000], step.Id);
        await StepEnding.StopRolloutAsync(tx, locked);
        await locked.SaveAsync(wakeUps, metrics);
        return ClaimRefusal.Forbidden;
    }

    /// <summary>Of this machine only: what its tags bring about holds nobody else back. The step's queue time begins when the hold ends.</summary>
    private async Task<ClaimRefusal> FreezeAsync(WriteTransaction tx, LockedExecution locked, StepRow step, string instanceId, DateTimeOffset until)
    {
        if (await StepHolds.HoldAsync(tx, locked, step, instanceId, until.ToUnixTimeMilliseconds(), forbidden: false)) locked.AddEvent("frozen", step.Id, instanceId: instanceId);
        await tx.ExecuteAsync("""
            UPDATE steps SET queue_expires_at = tanjiren_now() + @heldMs + @QueueTimeoutMs WHERE id = @Id AND state = 'queued'
            """, new { step.Id, locked.QueueTimeoutMs, heldMs = (long)StepHolds.Longest.TotalMilliseconds });
        await locked.SaveAsync(wakeUps, metrics);
        return ClaimRefusal.Frozen;
    }

    private async Task<ClaimRefusal> AskAsync(WriteTransaction tx, LockedExecution locked, StepRow step, DoctrineDecision decision)
    {
        var newest = await ApprovalBook.NewestAsync(tx, locked.TaskId);
        // It ran out a moment ago: the loop, which sends the task back, is about to come by, and none of its steps is offered any more.
        if (locked.TaskState == TaskState.Queued && newest is { ParsedState: ApprovalState.Approved } && newest.ExpiresAt <= locked.Now) return ClaimRefusal.NeedsApproval;
        var wanted = TaskPlanner.HigherOf(decision.Class, newest?.ParsedClass ?? ApprovalClass.None);
        if (locked.TaskState == TaskState.Queued)
        {
            var earlier = newest is { ParsedState: ApprovalState.Approved } ? newest.ParseFindings() : [];
            await BackToPlannedAsync(tx, locked, wanted, Joined(earlier, Findings(decision)));
        }
        else if (newest is { ParsedState: ApprovalState.Pending } && newest.ParsedClass == wanted && step.ApprovalFrom > await ApprovalBook.UsedAsync(tx, locked.TaskId))
        {
            // The question that is open names it, or the one that was joined to it did.
            await WaitFromAsync(tx, step, newest.Number);
        }
        else
        {
            if (wanted > locked.ApprovalClass) locked.SetPlan(wanted, locked.DoctrineVersion, locked.ActionHash);
            await WaitFromAsync(tx, step, await AskForMoreAsync(tx, locked, newest, wanted, Findings(decision, $"Step {step.Id}: ")));
        }
        await locked.SaveAsync(wakeUps, metrics);
        return ClaimRefusal.NeedsApproval;
    }

    private static IReadOnlyList<ApprovalFindingBody> Findings(DoctrineDecision decision, string of = "") =>
        [.. decision.Findings.Select(f => new ApprovalFindingBody { Rule = f.Rule, Effect = f.Effect, Because = of + f.Because })];

    private static Task WaitFromAsync(WriteTransaction tx, StepRow step, int number) =>
        tx.ExecuteAsync("UPDATE steps SET approval_from = @number WHERE id = @id AND state = 'queued'", new { id = step.Id, number });
}
