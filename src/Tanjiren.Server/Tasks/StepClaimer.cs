using System.Data.Common;
using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Secrets;
using Tanjiren.Server.Tasks.Approvals;
using Tanjiren.Server.Workstations;
using Tanjiren.Server.Workstations.Sessions;

namespace Tanjiren.Server.Tasks;

/// <summary>
/// The one door from queued to running. Everything that can forbid the start is checked in one transaction under the execution's lock; the claim raises the
/// fencing token. Exactly one claimer wins; the same claim id again gets the same answer, because a lost response must not cost the step.
/// </summary>
internal sealed class StepClaimer(Database database, TimeProvider clock, LeaseOptions options, ApprovalGate gate, SecretVault vault, MissedWakes missed, WakeUps wakeUps, Counters counters, RunMetrics metrics)
{
    public async Task<ClaimResult> ClaimAsync(Device device, string stepId, string claimId, long expectedGeneration, CancellationToken cancellationToken)
    {
        using var span = Spans.Source.StartActivity("claim step");
        span?.SetTag(Cicd.TaskRunId, stepId);
        ClaimResult result;
        try
        {
            result = await database.WriteAsync(tx => ClaimAsync(tx, device, stepId, claimId, expectedGeneration), cancellationToken);
        }
        catch (DbException e) when (database.Provider.IsUniqueViolation(e))
        {
            // This claim id claimed another step: an id names one claim for ever.
            result = ClaimResult.Refused(ClaimRefusal.Moved, "queued");
        }
        counters.Add(result.Refusal switch { null => result.Repeated ? Counted.ClaimsRepeated : Counted.Claims, _ => Counted.ClaimsRefused });
        span?.SetTag(ServerMeter.Result, result.Refusal is { } refusal ? JsonNamingPolicy.CamelCase.ConvertName(refusal.ToString()) : result.Repeated ? "repeated" : "granted");
        return result;
    }

    private async Task<ClaimResult> ClaimAsync(WriteTransaction tx, Device device, string stepId, string claimId, long expectedGeneration)
    {
        var locked = await LockedExecution.OfStepAsync(tx, stepId, clock, device.InstanceId, device.SessionId);
        if (locked is null || locked.OrganizationId != device.OrganizationId) return ClaimResult.Refused(ClaimRefusal.NotFound);

        // The workstation's row is locked before its running steps are counted, or two claims of one machine on two tasks would both fit its capacity.
        var claimer = await tx.FirstAsync<ClaimerRow>(
            "SELECT id, draining, agent_draining, max_concurrent, tags, labels, coding_agents FROM instances WHERE id = @id AND removed_at IS NULL" + tx.ForUpdate,
            new { id = device.InstanceId });
        if (claimer is null) return ClaimResult.Refused(ClaimRefusal.NotFound);
        // The standing is asked for anew, not read from the lock's own statement: that one may have waited with an old snapshot while a successor opened its
        // session under the workstation's row, and a claim for the predecessor would be carried along by nobody.
        var step = await tx.FirstAsync<OfferedStep>($"""
            SELECT s.*, (SELECT count(*) FROM steps r WHERE r.lease_holder = @instanceId AND r.state = 'running') AS running_here, {SessionStore.StandingSql} AS standing
            FROM steps s WHERE s.id = @stepId{(tx.ForUpdate.Length > 0 ? tx.ForUpdate + " OF s" : "")}
            """, new { stepId, instanceId = device.InstanceId, sessionId = device.SessionId });
        if (step is null) return ClaimResult.Refused(ClaimRefusal.NotFound);
        var standing = SessionStore.StandingOf(step.Standing);
        if (standing == SessionStanding.Ended) return ClaimResult.Refused(ClaimRefusal.SessionEnded);
        if (standing == SessionStanding.SignedOut) return ClaimResult.Refused(ClaimRefusal.SignedOut);

        if (!await IsTargetAsync(tx, step, claimer)) return ClaimResult.Refused(ClaimRefusal.NotFound);
        if (step.ClaimId == claimId) return await RepeatAsync(tx, device, locked, step);
        if (step.State != "queued" || step.LeaseGeneration != expectedGeneration)
            return ClaimResult.Refused(ClaimRefusal.Moved, step.State);
        if (locked.Held) return ClaimResult.Refused(ClaimRefusal.HeldAfterRestore, "held_after_restore");
        if (RefusalOf(WorkerRules.Unready(claimer.AsWorker(step.RunningHere))) is { } unready) return ClaimResult.Refused(unready, step.State);
        if (!StartRules.HasPlace(locked.MaxParallel, locked.ActiveSteps)) return ClaimResult.Refused(ClaimRefusal.MaxParallel, step.State);
        var secrets = await vault.OpenAsync(tx, locked.TaskId, locked.ParsedSpec);
        if (secrets.Fault is { } lost) return await EndWithoutSecretsAsync(tx, locked, step, lost);
        // Last, because it uses the approval up.
        var (refusal, covering) = await gate.AdmitAsync(tx, locked, step, claimer.Id, claimer.ParseTags());
        if (refusal is { } why) return ClaimResult.Refused(why, step.State);

        var generation = await tx.FirstAsync<long?>("""
            UPDATE steps SET state = 'running', lease_state = 'held', lease_holder = @instanceId, lease_session = @sessionId,
              lease_generation = lease_generation + 1, lease_expires_at = tanjiren_now() + @ttlMs, lease_ttl_ms = @ttlMs,
              deadline_at = tanjiren_now() + timeout_ms, claim_id = @claimId, claimed_by = @instanceId, claimed_at = @now, attempts = attempts + 1
            WHERE id = @stepId AND state = 'queued' AND lease_generation = @expectedGeneration
            RETURNING lease_generation
            """,
            new { stepId, instanceId = device.InstanceId, sessionId = device.SessionId, claimId, expectedGeneration, ttlMs = options.TtlMs, now = locked.Now });
        if (generation is null) return ClaimResult.Refused(ClaimRefusal.Moved, step.State);

        locked.Also("""
            INSERT INTO step_claims (step_id, generation, claim_id, instance_id, session_id, claimed_at, approval_id)
            VALUES (@stepId, @generation, @claimId, @instanceId, @sessionId, @now, @approvalId);
            """, new { stepId, generation, claimId, instanceId = device.InstanceId, sessionId = device.SessionId, now = locked.Now, approvalId = covering?.Id });
        if (locked.TaskState == TaskState.Queued) locked.MoveTask(TaskState.Executing);
        locked.Add(active: 1);
        locked.AddEvent("claimed", stepId, generation, device.InstanceId);
        await locked.SaveAsync(wakeUps, metrics);
        tx.OnCommit(() => missed.Claimed(device.InstanceId));
        if (step.Attempts == 0) tx.OnCommit(() => metrics.Dispatched(locked.Now - step.CreatedAt));
        return ClaimResult.Granted(Answer(locked, step, generation.Value, step.TimeoutMs, options.TtlMs, cancelRequested: false) with { Secrets = secrets.Values },
            covering is null ? null : new StartApproval { Id = covering.Id, ActionHash = covering.ActionHash });
    }

    /// <summary>Renews as well: the agent counts its trust from the start of this request. Not past the deadline: nothing starts that must end at once, and may be given up meanwhile.</summary>
    private async Task<ClaimResult> RepeatAsync(WriteTransaction tx, Device device, LockedExecution locked, StepRow step)
    {
        // They were there a moment ago; without them the job must not run, and the lease goes as that of a claim that nobody heard of.
        var secrets = await vault.OpenAsync(tx, locked.TaskId, locked.ParsedSpec);
        if (secrets.Fault is not null) return ClaimResult.Refused(ClaimRefusal.Lost, step.State);
        var left = await tx.FirstAsync<long?>("""
            UPDATE steps SET lease_state = 'held', lease_expires_at = tanjiren_now() + lease_ttl_ms
            WHERE id = @id AND state = 'running' AND lease_holder = @instanceId AND lease_session = @sessionId AND lease_generation = @generation AND deadline_at > tanjiren_now()
            RETURNING deadline_at - tanjiren_now()
            """, new { id = step.Id, instanceId = device.InstanceId, sessionId = device.SessionId, generation = step.LeaseGeneration });
        if (left is null) return ClaimResult.Refused(ClaimRefusal.Lost, step.State);
        var approval = await tx.FirstAsync<StartApproval>("""
            SELECT a.id, a.action_hash FROM step_claims c JOIN approvals a ON a.id = c.approval_id WHERE c.step_id = @id AND c.generation = @generation
            """, new { id = step.Id, generation = step.LeaseGeneration });
        return ClaimResult.Granted(
            Answer(locked, step, step.LeaseGeneration, left.Value, step.LeaseTtlMs, step.CancelRequestedAt is not null) with { Secrets = secrets.Values }, approval, repeated: true);
    }

    /// <summary>No other workstation could start it either: without an end it would be offered and refused for ever.</summary>
    private async Task<ClaimResult> EndWithoutSecretsAsync(WriteTransaction tx, LockedExecution locked, StepRow step, string why)
    {
        await StepEnding.EndQueuedAsync(tx, locked, StepState.Failed, StepReason.SecretsLost, why, step.Id);
        await StepEnding.StopRolloutAsync(tx, locked);
        await locked.SaveAsync(wakeUps, metrics);
        return ClaimResult.Refused(ClaimRefusal.Moved, "failed");
    }

    private static async Task<bool> IsTargetAsync(WriteTransaction tx, StepRow step, ClaimerRow claimer)
    {
        if (step.TargetInstanceId is { } target) return target == claimer.Id;
        var canonical = await tx.FirstAsync<string>("SELECT canonical FROM selectors WHERE id = @id", new { id = step.SelectorId });
        return TargetSelector.Parse(canonical!).Matches(claimer.Id, claimer.ParseTags(), claimer.ParseLabels(), claimer.ParseCodingAgents());
    }

    /// <summary>By the first of them.</summary>
    private static ClaimRefusal? RefusalOf(IEnumerable<WaitReason> unready) => unready.Select<WaitReason, ClaimRefusal?>(reason => reason switch
    {
        WaitReason.Draining => ClaimRefusal.Draining,
        WaitReason.AtCapacity => ClaimRefusal.AtCapacity,
        _ => throw new InvalidOperationException($"A workstation that claims is not {reason}."),
    }).FirstOrDefault();

    private static ClaimResponse Answer(LockedExecution locked, StepRow step, long generation, long timeoutMs, long ttlMs, bool cancelRequested)
    {
        var spec = locked.ParsedSpec;
        return new ClaimResponse
        {
            StepId = step.Id,
            TaskId = locked.TaskId,
            ExecutionId = locked.ExecutionId,
            Intent = locked.Intent,
            LeaseGeneration = generation,
            LeaseTtlMs = ttlMs,
            LeaseGraceMs = step.LeaseGraceMs,
            TimeoutMs = timeoutMs,
            // An agent of before there were prompts is never offered one: it announces no coding agents.
            Mode = spec.Mode is null or TaskMode.Command ? null : spec.Mode,
            Command = spec.Command,
            PromptText = spec.PromptText,
            Questions = spec.Questions,
            CodingAgent = spec.CodingAgent,
            PermissionTimeoutMs = spec.PermissionTimeoutSeconds * 1000L,
            WorkingDirectory = spec.WorkingDirectory,
            Environment = spec.Environment,
            EnvironmentFromMachine = spec.EnvironmentFromMachine,
            Resources = spec.Resources,
            CancelRequested = cancelRequested,
            TraceParent = locked.Trace.Parent,
            TraceState = locked.Trace.State,
        };
    }

    private sealed record OfferedStep : StepRow
    {
        /// <summary>Steps that the claiming workstation runs already.</summary>
        public long RunningHere { get; init; }
        public string Standing { get; init; } = "";
    }

    private sealed record ClaimerRow
    {
        public string Id { get; init; } = "";
        public int Draining { get; init; }
        public int AgentDraining { get; init; }
        public int MaxConcurrent { get; init; }
        public string Tags { get; init; } = "[]";
        public string Labels { get; init; } = "{}";
        public string CodingAgents { get; init; } = "[]";

        /// <summary>It is there, and is who it says: its request proved that. That its sign-in stands was asked with its session.</summary>
        public WorkerState AsWorker(long active) => new()
        {
            Online = true, Trusted = true, SignedOut = false, Draining = Draining != 0 || AgentDraining != 0, Active = active, MaxConcurrent = MaxConcurrent,
        };

        public IReadOnlyCollection<string> ParseTags() => JsonSerializer.Deserialize<string[]>(Tags)!;
        public IReadOnlyDictionary<string, string> ParseLabels() => JsonSerializer.Deserialize<Dictionary<string, string>>(Labels)!;
        public IReadOnlyCollection<string> ParseCodingAgents() => JsonSerializer.Deserialize<string[]>(CodingAgents)!;
    }
}

/// <summary>Why a claim was refused.</summary>
internal enum ClaimRefusal
{
    /// <summary>No such step, another organization's, or one that this workstation is no target of: all look the same from outside.</summary>
    NotFound,
    SessionEnded,
    /// <summary>The sign-in behind the workstation ended while the claim was under way.</summary>
    SignedOut,
    /// <summary>Somebody else claimed it, or it was requeued or ended since the offer.</summary>
    Moved,
    /// <summary>This very claim was granted before and its lease has ended since.</summary>
    Lost,
    /// <summary>The database was restored from a backup and the task's owner has not resumed yet.</summary>
    HeldAfterRestore,
    Draining,
    MaxParallel,
    AtCapacity,
    /// <summary>Nobody has approved this start; the task says so.</summary>
    NeedsApproval,
    /// <summary>A freeze of the doctrine, of now or of the snapshot, is in force.</summary>
    Frozen,
    /// <summary>The doctrine, of now or of the snapshot, forbids it on this machine; the step has ended, unless other machines may run it.</summary>
    Forbidden,
}

/// <summary>What was granted, not signed yet, and the approval that it was granted under; or why it was not.</summary>
internal sealed record ClaimResult(ClaimResponse? Response, StartApproval? Approval, ClaimRefusal? Refusal, string? CurrentState, bool Repeated)
{
    public static ClaimResult Granted(ClaimResponse response, StartApproval? approval, bool repeated = false) => new(response, approval, null, null, repeated);

    public static ClaimResult Refused(ClaimRefusal refusal, string? currentState = null) => new(null, null, refusal, currentState, false);
}

/// <summary>An approval that a step starts under, and what it was given for.</summary>
internal sealed record StartApproval
{
    public string Id { get; init; } = "";
    public string ActionHash { get; init; } = "";
}
