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

    /// <summary>Why the step may not start on this machine now; what follows from it has been written. Null: it may, and its approval is used.</summary>
    public async Task<ClaimRefusal?> AdmitAsync(WriteTransaction tx, LockedExecution locked, StepRow step, string instanceId, IReadOnlyCollection<string> tags)
    {
        var (decision, verdict, covering) = await JudgeAsync(tx, locked.Subject, step.ApprovalFrom, tags);
        switch (verdict)
        {
            case ClaimRefusal.Forbidden: return await ForbidAsync(tx, locked, step, instanceId, decision);
            case ClaimRefusal.Frozen: return await FreezeAsync(tx, locked, step, instanceId, decision.FrozenUntil!.Value);
            case ClaimRefusal.NeedsApproval: return await AskAsync(tx, locked, step, decision);
        }
        if (covering is null) return null;
        if (covering.ParsedState == ApprovalState.Approved)
        {
            if (!await ApprovalBook.MoveAsync(tx, covering, ApprovalState.Consumed, locked.Now)) return ClaimRefusal.NeedsApproval;
            locked.SetApproval(ApprovalStatus.Consumed);
        }
        // Known from now on to have run under one: its next start, if it is lost, needs another.
        if (step.ApprovalFrom == 0) await WaitFromAsync(tx, step, covering.Number);
        return null;
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
        var covering = await ApprovalBook.CoveringAsync(sql, task, Math.Max(1, approvalFrom), decision.Class);
        return (decision, covering is null ? ClaimRefusal.NeedsApproval : null, covering);
    }

    /// <summary>
    /// For a step that is queued again after a start that may have happened: the approval that it ran under is used up, so another is asked for, together with the
    /// question that is pending; unless the doctrine lets it inherit the old one. A step that provably never started is not passed here.
    /// </summary>
    public async Task AskForAnotherStartAsync(WriteTransaction tx, LockedExecution locked, StepRow step)
    {
        if (step.ApprovalFrom == 0) return;
        // A plan that can't be made inherits nothing.
        if (await planner.TryPlanAsync(tx, locked) is { } plan && plan.Inherits(await ApprovalBook.RanUnderAsync(tx, step))) return;
        var newest = (await ApprovalBook.NewestAsync(tx, locked.TaskId))!;
        if (newest.ParsedState == ApprovalState.Pending)
        {
            await ApprovalBook.NoteAsync(tx, newest, Naming(newest.ParseFindings(), step, newest.Class));
            await WaitFromAsync(tx, step, newest.Number);
            return;
        }
        // Whoever gave the one that is open did not know of this step: they are asked for all of them again, and its steps wait with this one, for the newer number.
        IReadOnlyList<ApprovalFindingBody> earlier = [];
        if (newest.ParsedState == ApprovalState.Approved)
        {
            earlier = newest.ParseFindings();
            await ApprovalBook.WithdrawAsync(tx, locked);
        }
        await WaitFromAsync(tx, step, await ApprovalBook.AskAsync(tx, locked, newest.ParsedClass, Naming(earlier, step, newest.Class)));
    }

    /// <summary>With what is asked for this step; so many are named, and that there are more.</summary>
    private static IReadOnlyList<ApprovalFindingBody> Naming(IReadOnlyList<ApprovalFindingBody> findings, StepRow step, string effect)
    {
        if (findings.Count > MaxNamed) return findings;
        var because = findings.Count == MaxNamed ? "Further steps have, too." : $"Step {step.Id} lost its workstation and may have run; it shall start again.";
        return [.. findings, new ApprovalFindingBody { Rule = "onWorkerLost", Effect = effect, Because = because }];
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
        await StepHolds.HoldAsync(tx, locked, step, instanceId, long.MaxValue, forbidden: true);
        if (await StepHolds.AnyRemainsAsync(tx, locked, step, directory)) return ClaimRefusal.Forbidden;
        var rules = string.Join("; ", decision.Findings.Select(f => $"{f.Rule} ({f.Because})"));
        await StepEnding.EndQueuedAsync(tx, locked, StepState.Failed, StepReason.ForbiddenByDoctrine, rules.Length <= 2000 ? rules : rules[..2000], step.Id);
        await StepEnding.StopRolloutAsync(tx, locked);
        await locked.SaveAsync(wakeUps, metrics);
        return ClaimRefusal.Forbidden;
    }

    /// <summary>Of this machine only: what its tags bring about holds nobody else back.</summary>
    private async Task<ClaimRefusal> FreezeAsync(WriteTransaction tx, LockedExecution locked, StepRow step, string instanceId, DateTimeOffset until)
    {
        if (await StepHolds.HoldAsync(tx, locked, step, instanceId, until.ToUnixTimeMilliseconds(), forbidden: false)) locked.AddEvent("frozen", step.Id, instanceId: instanceId);
        await locked.SaveAsync(wakeUps, metrics);
        return ClaimRefusal.Frozen;
    }

    private async Task<ClaimRefusal> AskAsync(WriteTransaction tx, LockedExecution locked, StepRow step, DoctrineDecision decision)
    {
        var newest = await ApprovalBook.NewestAsync(tx, locked.TaskId);
        // It ran out a moment ago: the loop, which tells everybody, is about to come by.
        if (newest is { ParsedState: ApprovalState.Approved } && newest.ExpiresAt <= locked.Now)
        {
            // Till then it is not offered again.
            await WaitFromAsync(tx, step, newest.Number);
            return ClaimRefusal.NeedsApproval;
        }
        var wanted = TaskPlanner.HigherOf(decision.Class, newest?.ParsedClass ?? ApprovalClass.None);
        IReadOnlyList<ApprovalFindingBody> findings = [.. decision.Findings.Select(f => new ApprovalFindingBody { Rule = f.Rule, Effect = f.Effect, Because = f.Because })];
        if (locked.TaskState == TaskState.Queued)
        {
            await BackToPlannedAsync(tx, locked, wanted, findings);
        }
        else if (newest is { ParsedState: ApprovalState.Pending } && newest.ParsedClass == wanted)
        {
            await WaitFromAsync(tx, step, newest.Number);
        }
        else
        {
            await ApprovalBook.WithdrawAsync(tx, locked);
            if (wanted > locked.ApprovalClass) locked.SetPlan(wanted, locked.DoctrineVersion, locked.ActionHash);
            await WaitFromAsync(tx, step, await ApprovalBook.AskAsync(tx, locked, wanted, findings));
        }
        await locked.SaveAsync(wakeUps, metrics);
        return ClaimRefusal.NeedsApproval;
    }

    private static Task WaitFromAsync(WriteTransaction tx, StepRow step, int number) =>
        tx.ExecuteAsync("UPDATE steps SET approval_from = @number WHERE id = @id AND state = 'queued'", new { id = step.Id, number });
}
