using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Tasks.Approvals;

namespace Tanjiren.Server.Tasks;

/// <summary>What the holder of a lease may do to its step: complete it, or give it back. A zombie's write is refused by the generation (T-09).</summary>
internal sealed class StepResolver(Database database, TimeProvider clock, ApprovalGate gate, WakeUps wakeUps, AnyDispatcher dispatcher, Counters counters,
    RunMetrics metrics)
{
    /// <summary>What <c>step_claims.answered</c> holds after a release; after a requeue by unknown outcome it is the result's digest.</summary>
    private const string ReleaseAnswer = "released";

    public async Task<StepMove> CompleteAsync(Device device, string stepId, CompleteRequest result, CancellationToken cancellationToken)
    {
        var move = await database.WriteAsync(tx => CompleteAsync(tx, device, stepId, result), cancellationToken);
        counters.Add(move.Kind switch
        {
            StepMoveKind.Applied => Counted.Completions,
            StepMoveKind.AlreadyDone => Counted.CompletionsRepeated,
            _ => Counted.WritesRefused,
        });
        return move;
    }

    /// <summary>Gives a step back that provably never started: it may be offered again at once, whatever its <c>onWorkerLost</c> says.</summary>
    public async Task<StepMove> ReleaseAsync(Device device, string stepId, long generation, string? reason, CancellationToken cancellationToken)
    {
        var move = await database.WriteAsync(tx => ReleaseAsync(tx, device, stepId, generation, reason), cancellationToken);
        counters.Add(move.Kind switch
        {
            StepMoveKind.Applied => Counted.Released,
            StepMoveKind.AlreadyDone => Counted.ReleasesRepeated,
            _ => Counted.WritesRefused,
        });
        return move;
    }

    private async Task<StepMove> CompleteAsync(WriteTransaction tx, Device device, string stepId, CompleteRequest result)
    {
        var generation = result.LeaseGeneration!.Value;
        var (refusal, locked, step) = await OpenAsync(tx, device, stepId, generation, result.ResultDigest!);
        if (refusal is not null) return refusal;

        if (step!.CompletedGeneration == generation)
        {
            return step.ResultDigest == result.ResultDigest
                ? new StepMove(StepMoveKind.AlreadyDone, step.State)
                : new StepMove(StepMoveKind.ResultConflict, step.State);
        }

        // An executor that cannot say how its process ended has lost it, just as a vanished worker has: the task's own policy decides for both.
        var outcome = result.Outcome!.Value;
        var to = result.Reason == StepReason.UnknownOutcome
            ? StepRules.AfterLoss(step.CancelRequestedAt is not null, WireNames.Parse<OnWorkerLost>(step.OnWorkerLost))
            : StepRules.StateOf(outcome);
        // Only an operator cancels: an agent that says so unasked has failed its step, or the task would end as completed with nothing done.
        if (to == StepState.Cancelled && step.CancelRequestedAt is null) (to, outcome) = (StepState.Failed, StepOutcome.Failed);
        if (to == StepState.Queued)
        {
            if (!await RequeueAsync(tx, device, locked!, step, generation, result.ResultDigest!)) return Lost(step);
            locked!.Add(active: -1);
            locked.AddEvent("requeued", stepId, generation, device.InstanceId, "unknownOutcome");
            await gate.AskForAnotherStartAsync(tx, locked, step);
            tx.OnCommit(() => counters.Add(Counted.Requeues));
        }
        else
        {
            if (to == StepState.Cancelled) outcome = StepOutcome.Cancelled;
            if (!await EndAsync(tx, device, step, generation, to, outcome, result, locked!.Now)) return Lost(step);
            await KeepResponseAsync(tx, stepId, result);
            var byOperator = to == StepState.Cancelled && step.CancelRequestedAt is not null;
            locked.Add(active: -1, open: -1, failed: to == StepState.Failed ? 1 : 0, cancelled: byOperator ? 1 : 0);
            locked.AddEvent(WireNames.Of(to), stepId, generation, device.InstanceId, result.Reason is { } reason ? WireNames.Of(reason) : null);
            if (to == StepState.Failed) await StepEnding.StopRolloutAsync(tx, locked);
        }
        // With the claim, not the step: a step that is queued again keeps what was signed of its earlier starts.
        if (result.Receipt is not null)
            locked.Also("UPDATE step_claims SET receipt = @receipt WHERE step_id = @receiptStep AND generation = @receiptGeneration;", new { receipt = result.Receipt, receiptStep = stepId, receiptGeneration = generation });
        await locked.WakeTargetsAsync(wakeUps, dispatcher);
        await locked.SaveAsync(wakeUps, metrics);
        return new StepMove(StepMoveKind.Applied, WireNames.Of(to));
    }

    private async Task<StepMove> ReleaseAsync(WriteTransaction tx, Device device, string stepId, long generation, string? reason)
    {
        var (refusal, locked, step) = await OpenAsync(tx, device, stepId, generation, ReleaseAnswer);
        if (refusal is not null) return refusal;

        if (step!.CancelRequestedAt is not null)
        {
            // Nothing runs and somebody wants it gone: it must not be offered again.
            var never = new CompleteRequest { Reason = StepReason.Cancelled, Detail = "Cancelled before it started." };
            if (!await EndAsync(tx, device, step, generation, StepState.Cancelled, StepOutcome.Cancelled, never, locked!.Now)) return Lost(step);
            locked.Add(active: -1, open: -1, cancelled: 1);
            locked.AddEvent("cancelled", stepId, generation, device.InstanceId, "neverStarted");
        }
        else
        {
            if (!await RequeueAsync(tx, device, locked!, step, generation, ReleaseAnswer)) return Lost(step);
            locked!.Add(active: -1);
            locked.AddEvent("released", stepId, generation, device.InstanceId, reason);
        }
        await locked.WakeTargetsAsync(wakeUps, dispatcher);
        await locked.SaveAsync(wakeUps, metrics);
        return new StepMove(StepMoveKind.Applied, step.CancelRequestedAt is not null ? "cancelled" : "queued");
    }

    /// <summary>Locks and checks everything but the step's own guard, which the statement that changes it repeats.</summary>
    private async Task<(StepMove? Refusal, LockedExecution? Locked, StepRow? Step)> OpenAsync(
        WriteTransaction tx, Device device, string stepId, long generation, string answer)
    {
        var locked = await LockedExecution.OfStepAsync(tx, stepId, clock, device.InstanceId, device.SessionId);
        if (locked is null || locked.OrganizationId != device.OrganizationId) return (StepMove.NotFound, null, null);
        var step = await tx.FirstAsync<ClaimedStep>("""
            SELECT s.*, c.instance_id AS claimant, c.answered, EXISTS (SELECT 1 FROM step_claims WHERE step_id = s.id AND instance_id = @instanceId) AS claimed_here
            FROM steps s LEFT JOIN step_claims c ON c.step_id = s.id AND c.generation = @generation WHERE s.id = @stepId
            """, new { stepId, generation, instanceId = device.InstanceId });
        // Who never held a lease on it learns nothing about the step, not even that it exists.
        if (step is not { ClaimedHere: true }) return (StepMove.NotFound, null, null);
        var isOwn = step.Claimant == device.InstanceId;
        if (!locked.SessionOpen) return (new StepMove(StepMoveKind.SessionEnded, step.State), null, null);
        if (isOwn && step.Answered == answer) return (new StepMove(StepMoveKind.AlreadyDone, step.State), null, null);
        if (isOwn && step.CompletedGeneration == generation) return (null, locked, step);
        if (step.IsHeldBy(device.InstanceId, device.SessionId, generation)) return (null, locked, step);
        if (isOwn) await NoteLateAsync(tx, device, locked, stepId, generation);
        return (Lost(step), null, null);
    }

    /// <summary>One event for each expired generation whose holder came back: the record says what happened, no state moves.</summary>
    private async Task NoteLateAsync(WriteTransaction tx, Device device, LockedExecution locked, string stepId, long generation)
    {
        var first = await tx.ExecuteAsync("UPDATE step_claims SET late_result = 1 WHERE step_id = @stepId AND generation = @generation AND late_result = 0",
            new { stepId, generation });
        if (first == 0) return;
        locked.AddEvent("lateResult", stepId, generation, device.InstanceId);
        await locked.SaveAsync(wakeUps, metrics);
    }

    private static async Task<bool> EndAsync(WriteTransaction tx, Device device, StepRow step, long generation, StepState to, StepOutcome outcome,
        CompleteRequest result, long now) =>
        await tx.ExecuteAsync("""
            UPDATE steps SET state = @state, outcome = @outcome, reason = @reason, detail = @detail, exit_code = @exitCode, signal = @signal,
              duration_ms = @durationMs, output_preview = @preview, completed_generation = @generation, result_digest = @resultDigest,
              final_log_seq = @finalLogSeq, truncated = @truncated, ended_at = @now, lease_state = 'released', lease_holder = NULL, lease_session = NULL,
              lease_expires_at = NULL, lease_generation = lease_generation + 1
            WHERE id = @id AND state = 'running' AND lease_holder = @instanceId AND lease_session = @sessionId AND lease_generation = @generation
            """,
            new
            {
                id = step.Id, instanceId = device.InstanceId, sessionId = device.SessionId, generation, now, state = WireNames.Of(to), outcome = WireNames.Of(outcome),
                reason = result.Reason is { } reason ? WireNames.Of(reason) : null, detail = result.Detail, exitCode = result.ExitCode, signal = result.Signal, durationMs = result.DurationMs,
                preview = result.OutputPreview is null ? null : Convert.FromBase64String(result.OutputPreview),
                resultDigest = result.ResultDigest, finalLogSeq = result.FinalLogSeq ?? 0, truncated = result.Truncated ? 1 : 0,
            }) == 1;

    /// <summary>A step ends once, so there is none yet.</summary>
    private static async Task KeepResponseAsync(WriteTransaction tx, string stepId, CompleteRequest result)
    {
        if (result.Response is null && result.Usage is null) return;
        var usage = result.Usage is null ? null : JsonSerializer.Serialize(result.Usage, WireJson.Default.TokenUsage);
        await tx.ExecuteAsync("INSERT INTO step_responses (step_id, response, usage) VALUES (@stepId, @Response, @usage)", new { stepId, result.Response, usage });
    }

    /// <summary>With what its holder said, so that the same words again are answered and not refused.</summary>
    private static async Task<bool> RequeueAsync(WriteTransaction tx, Device device, LockedExecution locked, StepRow step, long generation, string answer)
    {
        if (await tx.ExecuteAsync(StepEnding.RequeueSql + " AND lease_session = @sessionId",
            new { id = step.Id, instanceId = device.InstanceId, sessionId = device.SessionId, generation, queueTimeoutMs = locked.QueueTimeoutMs }) != 1) return false;
        await tx.ExecuteAsync("UPDATE step_claims SET answered = @answer WHERE step_id = @id AND generation = @generation", new { id = step.Id, generation, answer });
        return true;
    }

    private sealed record ClaimedStep : StepRow
    {
        /// <summary>The workstation that claimed the generation in question.</summary>
        public string? Claimant { get; init; }
        /// <summary>What it was told about that generation already.</summary>
        public string? Answered { get; init; }
        /// <summary>Whether the asking workstation ever claimed the step.</summary>
        public bool ClaimedHere { get; init; }
    }

    private static StepMove Lost(StepRow step) => new(StepMoveKind.LeaseLost, step.State);
}

internal enum StepMoveKind
{
    Applied,
    AlreadyDone,
    NotFound,
    SessionEnded,
    LeaseLost,
    ResultConflict,
}

internal sealed record StepMove(StepMoveKind Kind, string State)
{
    public static readonly StepMove NotFound = new(StepMoveKind.NotFound, "");
}
