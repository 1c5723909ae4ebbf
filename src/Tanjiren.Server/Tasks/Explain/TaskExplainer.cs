using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Tasks.Approvals;
using Tanjiren.Server.Workstations;

namespace Tanjiren.Server.Tasks.Explain;

/// <summary>
/// W-13: why it is waiting. It decides nothing by itself: the conditions are those of the offer (<see cref="StartRules"/>), of workers (<see cref="WorkerRules"/>), of targets
/// (<see cref="TargetSelector"/>) and of doctrine and approvals at the claim (<see cref="ApprovalGate.JudgeAsync"/>), each asked for its reason. Only reads, and locks
/// nothing: what it says was true a moment ago.
/// </summary>
internal sealed class TaskExplainer(Database database, InstanceDirectory directory, ApprovalGate gate, DoctrineTags doctrineTags, MissedWakes missed, TimeProvider clock, WorkstationOptions workstations)
{
    private const int MaxCandidates = 5;
    private const int MaxTold = 3;

    /// <summary>Who lacks the least comes first, then who waits for the fewest things, then whoever would be asked first.</summary>
    private static readonly Comparer<MachineCase> Nearest = Comparer<MachineCase>.Create((a, b) =>
        a.UnmetConditions != b.UnmetConditions ? a.UnmetConditions - b.UnmetConditions : a.Waits.Count != b.Waits.Count ? a.Waits.Count - b.Waits.Count : WorkerRank.FirstAsked.Compare(a.Rank, b.Rank));

    /// <summary>Null when the organization has no such task.</summary>
    public Task<TaskExplanationBody?> ExplainAsync(string organizationId, string taskId, CancellationToken cancellationToken) => database.ReadAsync(async sql =>
    {
        var now = clock.GetUtcNow();
        var task = await sql.FirstAsync<ExplainedTask>($"""
            SELECT t.*, e.max_parallel, {StartRules.NotHeldSql} AS not_held, {StartRules.NotFrozenSql} AS not_frozen, {StartRules.HasPlaceSql} AS has_place,
              (SELECT m.role FROM memberships m WHERE m.organization_id = t.organization_id AND m.user_id = coalesce(t.changed_by, t.created_by)) AS actor_role,
              (SELECT r.due_at FROM retries r WHERE r.task_id = t.id) AS retry_due_at, (SELECT n.id FROM tasks n WHERE n.retry_of_task_id = t.id) AS retried_by_task_id
            FROM tasks t JOIN executions e ON e.task_id = t.id WHERE t.id = @taskId AND t.organization_id = @organizationId
            """, new { taskId, organizationId, now = now.ToUnixTimeMilliseconds() });
        if (task is null) return null;
        var steps = await sql.ListAsync<ExplainedStep>($"""
            SELECT s.id, s.state, s.target_instance_id, c.canonical, s.reason, s.exit_code, s.approval_from, s.on_worker_lost, s.claimed_at, s.lease_state,
              s.lease_expires_at - tanjiren_now() AS lease_left_ms, s.lease_expires_at + s.lease_grace_ms - tanjiren_now() AS grace_left_ms,
              s.cancel_requested_at, s.ended_at, i.name AS instance_name, {StartRules.ApprovedSql} AS approved,
              (SELECT min(p.expires_at) FROM permissions p WHERE p.step_id = s.id AND p.state = 'pending') AS asked_until
            FROM steps s LEFT JOIN selectors c ON c.id = s.selector_id LEFT JOIN instances i ON i.id = coalesce(s.target_instance_id, s.claimed_by)
            WHERE s.task_id = @taskId ORDER BY s.ordinal
            """, new { taskId, now = now.ToUnixTimeMilliseconds() });
        var explained = await ExplainStepsAsync(sql, task, steps, now);
        return await ExplainTaskAsync(sql, task, explained);
    }, cancellationToken);

    private static async Task<TaskExplanationBody?> ExplainTaskAsync(SqlSession sql, ExplainedTask task, IReadOnlyList<StepExplanationBody> steps)
    {
        var (summary, waits) = task.ParsedState switch
        {
            TaskState.Planned => await PlannedAsync(sql, task),
            TaskState.Queued or TaskState.Executing => (Summarize(steps), OfTheWhole(task).ToList()),
            _ => (ExplainWords.Ended(task), task.RetryDueAt is { } due ? [new Wait(WaitReason.RetryBackoff, "", TaskMapping.Instant(due))] : []),
        };
        return new TaskExplanationBody { TaskId = task.Id, State = task.ParsedState, Summary = summary, WaitingFor = [.. waits.Select(w => w.Reason)], Until = waits.Min(w => w.Until), Steps = steps };
    }

    private static async Task<(string Summary, List<Wait> Waits)> PlannedAsync(SqlSession sql, ExplainedTask task)
    {
        var open = await ApprovalBook.OpenAsync(sql, task.Id);
        List<Wait> waits = [ExplainWords.Approval(open?.Class ?? task.ApprovalClass)];
        if (!task.NotHeld) waits.Insert(0, ExplainWords.Held);
        var because = open is null ? "" : $" until {ExplainWords.Instant(TaskMapping.Instant(open.ExpiresAt))}, because of {string.Join("; ", open.ParseFindings().Select(f => $"{f.Rule} ({f.Because})"))}";
        return ($"It waits for {string.Join(", and for ", waits.Select(w => w.Phrase))}{because}.", waits);
    }

    /// <summary>Of one step its own sentence; of several how they stand, and the first that waits.</summary>
    private static string Summarize(IReadOnlyList<StepExplanationBody> steps)
    {
        if (steps.Count == 1) return steps[0].Sentence;
        var queued = steps.Count(s => s.State == StepState.Queued);
        var running = steps.Count(s => s.State == StepState.Running);
        var counts = $"Of {steps.Count} steps {queued} {(queued == 1 ? "is" : "are")} queued, {running} {(running == 1 ? "runs" : "run")} and {steps.Count - queued - running} {(steps.Count - queued - running == 1 ? "has" : "have")} ended";
        var first = steps.FirstOrDefault(s => s.WaitingFor.Count > 0 && s.State == StepState.Queued) ?? steps.FirstOrDefault(s => s.WaitingFor.Count > 0);
        return first is null ? counts + "." : $"{counts}. The first that waits: {first.Sentence}";
    }

    /// <summary>What keeps every step of the task.</summary>
    private static IEnumerable<Wait> OfTheWhole(ExplainedTask task)
    {
        if (!task.NotHeld) yield return ExplainWords.Held;
        if (!task.NotFrozen) yield return ExplainWords.Frozen(TaskMapping.Instant(task.FrozenUntil!.Value));
    }

    private async Task<IReadOnlyList<StepExplanationBody>> ExplainStepsAsync(SqlSession sql, ExplainedTask task, IReadOnlyList<ExplainedStep> steps, DateTimeOffset now)
    {
        var queued = steps.Where(s => s.State == "queued").ToList();
        var fleet = queued.Count == 0 ? []
            : queued.Any(s => s.Canonical is not null) ? await directory.ListAsync(sql, task.OrganizationId)
            : await directory.OfIdsAsync(sql, task.OrganizationId, [.. queued.Select(s => s.TargetInstanceId!)]);
        var holds = queued.Count == 0 ? [] : await sql.ListAsync<ExplainedHold>($"""
            SELECT h.step_id, h.instance_id, h.held_until, h.forbidden FROM step_holds h JOIN steps s ON s.id = h.step_id WHERE s.task_id = @Id AND {StartRules.KeptFromSql}
            """, new { task.Id, now = now.ToUnixTimeMilliseconds() });
        var judgements = new Judgements(gate, doctrineTags, sql, task, now);
        var explained = new List<StepExplanationBody>();
        foreach (var step in steps)
        {
            explained.Add(step.State switch
            {
                "queued" => await ExplainQueuedAsync(task, step, steps, fleet, holds, judgements, now),
                "running" => Body(step, ExplainWords.Running(step, now), [.. OfRunning(step, now)]),
                _ => Body(step, ExplainWords.Ended(step), []),
            });
        }
        return explained;
    }

    private static IEnumerable<Wait> OfRunning(ExplainedStep step, DateTimeOffset now)
    {
        if (step.IsStale) yield return new Wait(WaitReason.StaleLease, "", step.GraceEnds(now));
        else if (step.AskedUntil is { } until) yield return new Wait(WaitReason.Permission, "", TaskMapping.Instant(until));
    }

    private async Task<StepExplanationBody> ExplainQueuedAsync(
        ExplainedTask task, ExplainedStep step, IReadOnlyList<ExplainedStep> steps, IReadOnlyList<InstanceRow> fleet, IReadOnlyList<ExplainedHold> holds, Judgements judgements,
        DateTimeOffset now)
    {
        var waits = OfTheWhole(task).ToList();
        if (!task.HasPlace) waits.Add(ExplainWords.MaxParallel(task, steps, now));
        if (!step.Approved) waits.Add(ExplainWords.Approval(task.ApprovalClass));
        if (step.TargetInstanceId is { } target && fleet.All(m => m.Id != target))
            return Body(step, $"Its workstation '{step.InstanceName}' has been removed; it fails with workstationRemoved at once.", [new Wait(WaitReason.Removed, "")]);

        var selector = step.Canonical is null ? null : TargetSelector.Parse(step.Canonical);
        var kept = holds.Where(h => h.StepId == step.Id).ToDictionary(h => h.InstanceId);
        var cases = (selector is null ? fleet.Where(m => m.Id == step.TargetInstanceId) : fleet).Select(m => Look(m, selector, kept.GetValueOrDefault(m.Id), now))
            .Order(Nearest).ToList();
        var notAsked = 0;
        if (waits.Count == 0) (cases, notAsked) = await JudgedAsync(step, cases, judgements);
        if (notAsked > 0 && cases.All(c => c.UnmetConditions > 0))
            return Body(step, $"Nothing else keeps it; the doctrine was not asked about {(selector is null ? "its workstation" : $"the {notAsked} workstations that match")}.", []);

        if (!cases.Any(c => c.IsFree)) waits.AddRange(OfMachines(cases, selector is not null, notAsked));
        var sentence = waits.Count == 0 ? $"Nothing keeps it: '{cases[0].Machine.Name}' may claim it at any moment." : $"It waits for {string.Join(", and for ", waits.Select(w => w.Phrase).Distinct())}.";
        return Body(step, sentence, waits, cases.Take(MaxCandidates));
    }

    /// <summary>The nearest ones tell what they wait for or lack, in one phrase.</summary>
    private static IEnumerable<Wait> OfMachines(IReadOnlyList<MachineCase> cases, bool isAny, int notAsked)
    {
        if (cases.Count == 0) return [new Wait(WaitReason.NoMatch, "a workstation: the organization has none that it could be given to")];
        var matching = cases.Count(c => c.UnmetConditions == 0);
        var told = (matching > 0 ? cases.Where(c => c.UnmetConditions == 0) : cases).Take(MaxTold).ToList();
        var which = !isAny ? "its workstation" : matching > 0 ? $"one of the workstations that match ({matching + notAsked})" : "a workstation that matches";
        var phrase = $"{which}: {ExplainWords.Machines(told)}{(notAsked == 0 ? "" : $"; or for one of {notAsked} more that the doctrine was not asked about")}";
        // None matches: whether the one that lacks least is online is of no account.
        return told.SelectMany(c => matching > 0 ? c.Waits : c.Waits.Take(c.UnmetConditions)).DistinctBy(w => w.Reason).Select(w => w with { Phrase = phrase });
    }

    /// <summary>Everything but the doctrine's judgement, which is asked only where nothing else keeps the step.</summary>
    private MachineCase Look(InstanceRow machine, TargetSelector? selector, ExplainedHold? hold, DateTimeOffset now)
    {
        var state = machine.AsWorker(now, workstations) with { MissedWakes = missed.Of(machine.Id) };
        List<Wait> waits = [.. selector?.Unmet(machine.Id, machine.Tags, machine.Labels, machine.CodingAgents).Select(unmet => ExplainWords.Of(unmet)) ?? []];
        var conditions = waits.Count;
        waits.AddRange(WorkerRules.Unready(state).Select(reason => ExplainWords.Of(reason, machine)));
        if (hold is not null) waits.Add(ExplainWords.Of(hold));
        return new MachineCase(machine, WorkerRules.Rank(state, machine.Id), conditions, waits, hold);
    }

    /// <summary>
    /// Until one is free: the first in order is the one that is told. Of those that were not asked about nothing is told but their number. Who was refused a moment ago is
    /// asked about too, for the words: the refusal itself says neither why nor until when.
    /// </summary>
    private static async Task<(List<MachineCase> Cases, int NotAsked)> JudgedAsync(ExplainedStep step, List<MachineCase> cases, Judgements judgements)
    {
        var judged = new List<MachineCase>();
        var (found, notAsked) = (false, 0);
        foreach (var machine in cases)
        {
            var (asked, wait) = found || !machine.IsFree ? (true, null) : await judgements.OfAsync(machine.Machine, step.ApprovalFrom);
            if (!asked)
            {
                notAsked++;
                continue;
            }
            judged.Add(wait is null ? machine : machine with { Waits = [wait.Value] });
            found |= judged[^1].IsFree;
        }
        judged = [.. judged.Order(Nearest)];
        for (var i = 0; !found && i < Math.Min(MaxCandidates, judged.Count); i++)
        {
            if (!judged[i].IsOnlyHeld) continue;
            var (asked, now) = await judgements.OfAsync(judged[i].Machine, step.ApprovalFrom);
            if (asked) judged[i] = judged[i] with { Waits = [ExplainWords.Of(judged[i].Hold!, now)] };
        }
        return (judged, notAsked);
    }

    private static StepExplanationBody Body(ExplainedStep step, string sentence, IReadOnlyList<Wait> waits, IEnumerable<MachineCase>? candidates = null) => new()
    {
        StepId = step.Id, State = WireNames.Parse<StepState>(step.State), Sentence = sentence, WaitingFor = [.. waits.Select(w => w.Reason).Distinct()], Until = waits.Min(w => w.Until),
        Candidates = [.. candidates?.Select(c => c.ToBody()) ?? []],
    };
}
