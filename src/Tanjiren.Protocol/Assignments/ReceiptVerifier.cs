using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

[JsonConverter(typeof(CamelCaseEnum<ReceiptVerdict>))]
public enum ReceiptVerdict
{
    /// <summary>The result, what was assigned and every byte of output are what the workstation signed.</summary>
    Verified,
    /// <summary>The same of all but the output, which was deleted by age: its digest stays signed.</summary>
    VerifiedLogPurged,
    /// <summary>Something is not, or nobody signed for it.</summary>
    NotVerified,
}

/// <param name="StepId">Which step.</param>
/// <param name="Verdict">How it ended.</param>
/// <param name="Problem">What is wrong, and where; null when it is verified.</param>
/// <param name="Key">Fingerprint of the key that signed for the result; null when none did.</param>
public sealed record ReceiptResult(string StepId, ReceiptVerdict Verdict, string? Problem, string? Key);

/// <summary>
/// Verifies one step offline: the receipt by the workstation's chain of keys, the assignment by the control plane's, what the step shows against both, and its output, chunk by chunk
/// as it is read. Nothing in the document is trusted but for a signature that leads back to the anchor. Output of a claim that nobody signed for is not verified: the server could
/// have made it up.
/// </summary>
public sealed class ReceiptVerifier
{
    private readonly StepReceiptBody step;
    private readonly IReadOnlyCollection<string> anchors;
    private readonly bool whole;
    private readonly Dictionary<long, OutputCheck> outputs = [];
    private readonly HashSet<long> unsigned = [];

    /// <param name="step">As it was answered, or saved.</param>
    /// <param name="anchors">Fingerprints of keys that the reader knows, one of each workstation; none: the key that it was paired with counts, by the document's own word.</param>
    public ReceiptVerifier(StepReceiptBody step, IReadOnlyCollection<string> anchors)
    {
        (this.step, this.anchors) = (step, anchors);
        // A file may say null where the wire never does.
        whole = step is { StepId: not null, TaskId: not null, Work: not null, Claims: not null, Chains: not null, WorkKeys.Announcements: not null }
            && !step.Claims.Contains(null!) && !step.Chains.Contains(null!);
        if (!whole) return;
        foreach (var claim in step.Claims!)
            if (claim.Receipt is not null) outputs[claim.Generation] = new OutputCheck();
    }

    /// <summary>A chunk of its output; in order.</summary>
    public void Add(LogChunkBody chunk)
    {
        if (outputs.TryGetValue(chunk.LeaseGeneration, out var output)) output.Add(chunk);
        else unsigned.Add(chunk.LeaseGeneration);
    }

    public ReceiptResult Finish()
    {
        if (!whole) return new ReceiptResult(step.StepId ?? "", ReceiptVerdict.NotVerified, "it is no receipt of a step: parts of it are not there", null);
        var ended = step.Claims.FirstOrDefault(claim => claim.Generation == step.CompletedGeneration);
        var key = Receipt.Read(ended?.Receipt)?.Signer.Thumbprint();
        var purged = step.LogsDeletedAt is not null && outputs.Values.All(output => output.IsPurged);
        if (FindProblem(ended, purged) is { } problem) return new ReceiptResult(step.StepId, ReceiptVerdict.NotVerified, problem, key);
        return new ReceiptResult(step.StepId, purged ? ReceiptVerdict.VerifiedLogPurged : ReceiptVerdict.Verified, null, key);
    }

    private string? FindProblem(ClaimReceiptBody? ended, bool purged)
    {
        if (step.CompletedGeneration is not { } generation) return $"no workstation ended it ({step.State.ToString().ToLowerInvariant()}{(step.Reason is { } reason ? ", " + reason : "")}), so nobody signed for it";
        if (ended is null) return $"the claim {generation} that ended it is not there";
        if (ended.Receipt is null) return "its workstation signed no receipt";
        foreach (var claim in step.Claims.Where(claim => claim.Receipt is not null))
            if (Check(claim, purged) is { } wrong) return claim == ended ? wrong : $"claim {claim.Generation}: {wrong}";
        return unsigned.Count == 0 ? null : $"the output of claim {unsigned.Min()} is signed by nobody: that workstation was lost, or signs no receipts";
    }

    private string? Check(ClaimReceiptBody claim, bool purged)
    {
        if (Receipt.Read(claim.Receipt) is not { } receipt) return "the receipt is altered: its signature is wrong";
        var said = receipt.Claims;
        if (said.Stp != step.StepId || said.Gen != claim.Generation) return $"the receipt is that of step {said.Stp}, claim {said.Gen}";
        // Only a crash of the agent leaves the task out; what it signed then says so itself.
        if (said.Tsk != step.TaskId && !(said.Tsk is null && said.Rsn == StepReason.UnknownOutcome)) return $"the receipt is that of task {said.Tsk}";
        if (said.Iss != claim.InstanceId) return $"the receipt is by {said.Iss}, and {claim.InstanceId} claimed the step";
        if (CheckKey(receipt.Signer.Thumbprint(), claim.InstanceId, out var controlPlane) is { } untrusted) return untrusted;
        if (CheckAssignment(said, controlPlane) is { } unassigned) return unassigned;
        if (claim.Generation == step.CompletedGeneration && CheckResult(said) is { } altered) return altered;
        return purged ? null : outputs[claim.Generation].FindProblem(said);
    }

    /// <summary>Whether the key was the workstation's, by its chain; and who its control plane is.</summary>
    private string? CheckKey(string fingerprint, string instanceId, out string? controlPlane)
    {
        controlPlane = null;
        if (step.Chains.FirstOrDefault(candidate => candidate.InstanceId == instanceId) is not { } chain) return $"there is no chain of keys of {instanceId}";
        var result = KeyChain.Verify(chain, AnchorOf(chain), acceptGaps: false);
        if (result.Verdict == KeyChainVerdict.Broken) return $"the chain of keys of {instanceId}: {result.Problem}";
        controlPlane = KeyRecord.Read(chain.Head, KeyRecord.HeadType)?.Signer.Thumbprint();
        return result.Links.FirstOrDefault(link => link.Fingerprint == fingerprint)?.Standing switch
        {
            KeyStanding.Anchor or KeyStanding.Vouched => null,
            KeyStanding.BeforeAnchor => $"the receipt is by {fingerprint}, which is older than the anchor",
            KeyStanding.Gap => $"the receipt is by {fingerprint}, which came with the recovery of a lost key: give it, or one after it, as the anchor, if you know it",
            _ => $"the receipt is by {fingerprint}, which was never a key of {instanceId}",
        };
    }

    /// <summary>Any of the given ones when none is of this chain: then it does not verify, and says why.</summary>
    private string AnchorOf(KeyChainBody chain)
    {
        if (anchors.Count == 0) return chain.First?.Fingerprint ?? "";
        return anchors.FirstOrDefault(known => known == chain.First?.Fingerprint || chain.Changes?.Any(change => change?.Fingerprint == known) == true) ?? anchors.First();
    }

    private string? CheckAssignment(ReceiptClaims said, string? controlPlane)
    {
        if (said.Asg is null)
        {
            // Nothing was started, or an agent that has crashed can't say any more what.
            var nothingRan = said.Rsn is StepReason.Cancelled or StepReason.Timeout && said is { Fin: 0, Exc: null, Sig: null };
            return nothingRan || (said.Rsn is StepReason.RejectedByAgent or StepReason.UnknownOutcome && said.Out == StepOutcome.Failed) ? null : "the receipt names no assignment, and says that the step was run";
        }
        if (Assignment.Parse(said.Asg, out var problem) is not { } assignment) return "the assignment in the receipt: " + problem;
        var keys = step.WorkKeys;
        if (keys.First is not { } first || !first.IsPublicP256()) return "the first key of the control plane is no key";
        var issuer = first.Thumbprint();
        if (issuer != assignment.Claims.Iss || issuer != controlPlane) return "the assignment is not of the control plane that the workstation belongs to";
        if (WorkKeyChain.Follow(issuer, [first], keys.Announcements).FirstOrDefault(key => key.Thumbprint() == assignment.KeyId) is not { } signer)
            return $"the assignment is signed by {assignment.KeyId}, to which no announcement of the control plane leads";
        if (!assignment.IsSignedBy(signer)) return "the assignment is altered: its signature is wrong";
        var given = assignment.Claims;
        if (given.Aud != said.Iss || given.Stp != said.Stp || given.Gen != said.Gen || given.Tsk != (said.Tsk ?? step.TaskId)) return "the assignment is of another claim";
        if (given.Sdg != said.Sdg) return "the receipt and the assignment are not for the same work";
        return given.Sdg == step.Work.Digest() ? null : "the task does not say what was run: its command, environment or another part of it was altered";
    }

    private string? CheckResult(ReceiptClaims said)
    {
        // The server decides two things for itself: what nobody asked to cancel has failed, and what is cancelled and lost is cancelled.
        var outcomeIsOurs = step.Outcome == said.Out
            || (said.Out == StepOutcome.Cancelled && step.Outcome == StepOutcome.Failed)
            || (said.Rsn == StepReason.UnknownOutcome && step.Outcome == StepOutcome.Cancelled);
        if (!outcomeIsOurs) return $"the outcome is {step.Outcome?.ToString().ToUpperInvariant()}, and {said.Out?.ToString().ToUpperInvariant()} was signed";
        if (WireStateOf(step.Outcome) != step.State) return $"the state is {step.State.ToString().ToLowerInvariant()}, and the outcome is {step.Outcome?.ToString().ToUpperInvariant()}";
        var shown = new CompleteRequest
        {
            LeaseGeneration = step.CompletedGeneration, Outcome = said.Out, Reason = step.Reason, Detail = step.Detail, ExitCode = step.ExitCode, Signal = step.Signal, DurationMs = step.DurationMs,
            FinalLogSeq = step.FinalLogSeq, LogBytes = said.Byt, Truncated = step.Truncated, OutputPreview = step.OutputPreview is null ? null : Convert.ToBase64String(step.OutputPreview),
            Response = step.Response, Usage = step.Usage,
        };
        var field = said.DiffersIn(shown with { ResultDigest = ResultDigest.Compute(step.StepId, shown) });
        if (field is null && step.ResultDigest != said.Rdg) field = "resultDigest";
        // An agent that has crashed signs that it does not know, and answers that were kept before stay.
        if (field is null && said.Ans != AnswersDigest.Of(step.Answers) && !(said.Ans is null && said.Rsn == StepReason.UnknownOutcome)) field = "answers";
        return field is null ? null : $"the result was altered: its {field} {(field == "answers" ? "are" : "is")} not what the workstation signed";
    }

    private static StepState? WireStateOf(StepOutcome? outcome) => outcome switch
    {
        StepOutcome.Succeeded => StepState.Succeeded,
        StepOutcome.Failed => StepState.Failed,
        StepOutcome.Cancelled => StepState.Cancelled,
        _ => null,
    };

    /// <summary>The output of one claim as it is read.</summary>
    private sealed class OutputCheck
    {
        private readonly LogDigest digest = new();
        private long seq;
        private string? problem;

        /// <summary>There is none of it, or only what arrived after the rest was deleted by age.</summary>
        public bool IsPurged { get; private set; } = true;

        public void Add(LogChunkBody chunk)
        {
            if (problem is not null) return;
            if (seq == 0) IsPurged = chunk.Seq > 1;
            if (chunk.Data is null)
            {
                problem = $"chunk {chunk.Seq} of its output has no bytes";
                return;
            }
            if (chunk.Seq != seq + 1)
            {
                problem = chunk.Seq > seq + 1 ? $"chunk {seq + 1} of its output is missing" : $"chunk {chunk.Seq} of its output stands behind chunk {seq}";
                return;
            }
            seq++;
            digest.Add(chunk.Seq, chunk.Stream, chunk.At, chunk.Data);
            // What the server noted when the chunk came finds the place; it proves nothing, for who alters the one can alter the other.
            if (chunk.Signature is { } noted && chunk.ToChunk().Signature() != noted) problem = $"chunk {seq} of its output ({chunk.Stream.ToString().ToLowerInvariant()}) was altered: it is not what arrived";
        }

        public string? FindProblem(ReceiptClaims said)
        {
            if (problem is not null) return problem;
            if (seq < said.Fin) return $"chunks {seq + 1} to {said.Fin} of its output are missing, or have not arrived yet";
            if (seq > said.Fin) return $"its output has {seq} chunks, and {said.Fin} were signed";
            if (said.Lgd is null) return "its agent crashed and lost count of the output, so nobody signed for that";
            return said.Lgd == digest.Value ? null : $"its output was altered: one at least of its {seq} chunks is not what the workstation signed";
        }
    }
}
