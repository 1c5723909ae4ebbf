using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

[JsonConverter(typeof(SnakeCaseEnum<StepState>))]
public enum StepState
{
    /// <summary>Waits for a claim.</summary>
    Queued,
    /// <summary>Claimed: a lease is held or stale.</summary>
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

/// <summary>How a step ended .</summary>
[JsonConverter(typeof(UpperCaseEnum<StepOutcome>))]
public enum StepOutcome
{
    Succeeded,
    Failed,
    Cancelled,
}

/// <summary>Why a step failed or was cancelled.</summary>
[JsonConverter(typeof(CamelCaseEnum<StepReason>))]
public enum StepReason
{
    /// <summary>The process ended with a non-zero code, or by a signal of its own.</summary>
    ExitCode,
    /// <summary><c>timeoutSeconds</c> passed; the tree was killed.</summary>
    Timeout,
    /// <summary>Over a resource cap; the tree was killed.</summary>
    [JsonStringEnumMemberName("ResourceExceeded")]
    ResourceExceeded,
    /// <summary>The holder was silent past TTL and grace.</summary>
    WorkerLost,
    /// <summary>The program could not be started.</summary>
    SpawnFailed,
    RejectedByAgent,
    /// <summary>The process is gone and nobody saw its exit code.</summary>
    UnknownOutcome,
    /// <summary>An operator cancelled it.</summary>
    Cancelled,
    /// <summary><c>stopAfterFailures</c> was reached before it started.</summary>
    RolloutStopped,
    /// <summary>It was never claimed within <c>queueTimeoutSeconds</c>.</summary>
    QueueTimeout,
    /// <summary>Its workstation was removed.</summary>
    WorkstationRemoved,
    /// <summary>It needed an approval that was rejected or not given in time.</summary>
    NotApproved,
    /// <summary>The doctrine forbids it on the workstation that would have started it.</summary>
    ForbiddenByDoctrine,
    /// <summary>The secrets of the task can't be opened any more: the server has another key than they were kept under.</summary>
    SecretsLost,
}

[JsonConverter(typeof(CamelCaseEnum<LeaseState>))]
public enum LeaseState
{
    /// <summary>No holder.</summary>
    Free,
    /// <summary>Held; renewed by heartbeats.</summary>
    Held,
    /// <summary>The TTL passed without renewal; the holder may still come back within the grace.</summary>
    Stale,
    /// <summary>Given back or ended.</summary>
    Released,
}

/// <summary>Whether the workstation signed for how a step ended.</summary>
[JsonConverter(typeof(CamelCaseEnum<ReceiptState>))]
public enum ReceiptState
{
    /// <summary>A receipt is stored that fitted the result when it came.</summary>
    Signed,
    /// <summary>None came, as from an agent that knows none.</summary>
    Missing,
}

public sealed record StepBody
{
    public required string Id { get; init; }
    public required StepState State { get; init; }
    public StepOutcome? Outcome { get; init; }
    public StepReason? Reason { get; init; }
    public string? Detail { get; init; }
    /// <summary>The target; for <c>any</c>, the claimer, absent until claimed.</summary>
    public string? InstanceId { get; init; }
    public string? InstanceName { get; init; }
    public int? ExitCode { get; init; }
    public string? Signal { get; init; }
    public long? DurationMs { get; init; }
    /// <summary>The last lines of output, decoded leniently, at most 4 KiB.</summary>
    public string? OutputPreview { get; init; }
    /// <summary>Of a prompt: what the coding agent said last, at most 256 KiB of UTF-8. Absent in lists.</summary>
    public string? Response { get; init; }
    /// <summary>It has a response for which there is no room here: all of a task together have 4 Mi characters, in the order of the steps. The step's log has its words.</summary>
    public bool? ResponseLeftOut { get; init; }
    /// <summary>Of prompts and investigations, where the coding agent says it.</summary>
    public TokenUsage? Usage { get; init; }
    /// <summary>Of an investigation: what became of each question so far, in their order; of several claims the newest that has an answer. Absent in lists.</summary>
    public IReadOnlyList<StepAnswerBody>? Answers { get; init; }
    public required LeaseState LeaseState { get; init; }
    public required long LeaseGeneration { get; init; }
    /// <summary>How often it was claimed.</summary>
    public required int Attempts { get; init; }
    public DateTimeOffset? ClaimedAt { get; init; }
    public DateTimeOffset? EndedAt { get; init; }
    public required long LogBytes { get; init; }
    /// <summary>Whether the output passed its limit and was cut, with a marker in it.</summary>
    public required bool Truncated { get; init; }
    /// <summary>Whether everything that the agent wrote has arrived.</summary>
    public required bool LogsComplete { get; init; }
    /// <summary>Of a step that its workstation ended: whether it signed a receipt. <c>jobs verify</c> says what that is worth.</summary>
    public ReceiptState? ReceiptState { get; init; }
}

/// <summary><c>POST /api/steps/{id}/claim?session=…</c>. The same claim id again gets the same answer, and renews the lease.</summary>
public sealed record ClaimRequest
{
    /// <summary><c>clm_…</c>, journalled by the agent before the first try.</summary>
    public string? ClaimId { get; init; }
    public long? ExpectedGeneration { get; init; }
}

public sealed record ClaimResponse
{
    public required string StepId { get; init; }
    public required string TaskId { get; init; }
    public required string ExecutionId { get; init; }
    public required string Intent { get; init; }
    /// <summary>The fencing token: raised by this claim, carried by every later write of the holder (T-08).</summary>
    public required long LeaseGeneration { get; init; }
    /// <summary>Milliseconds from the request's start until the lease is stale unless renewed.</summary>
    public required long LeaseTtlMs { get; init; }
    /// <summary>Milliseconds after that until the server may give the step away.</summary>
    public required long LeaseGraceMs { get; init; }
    /// <summary>Milliseconds that the step may still run: its hard deadline.</summary>
    public required long TimeoutMs { get; init; }
    /// <summary>Absent: <c>command</c>.</summary>
    public TaskMode? Mode { get; init; }
    /// <summary>Of the mode command.</summary>
    public CommandSpec? Command { get; init; }
    /// <summary>Of the other modes: what the coding agent is asked, or what its questions are about.</summary>
    public string? PromptText { get; init; }
    /// <summary>Of the mode investigate.</summary>
    public IReadOnlyList<TaskQuestion>? Questions { get; init; }
    /// <summary>Which coding agent; absent: the machine's first.</summary>
    public string? CodingAgent { get; init; }
    /// <summary>Milliseconds that its questions wait for an answer. Absent: the server takes none.</summary>
    public long? PermissionTimeoutMs { get; init; }
    public string? WorkingDirectory { get; init; }
    public IReadOnlyDictionary<string, string>? Environment { get; init; }
    public IReadOnlyList<string>? EnvironmentFromMachine { get; init; }
    /// <summary>The task's secrets by name, for the job's environment: never written down, and masked in everything that the step says .</summary>
    public IReadOnlyDictionary<string, string>? Secrets { get; init; }
    /// <summary>Random, for this answer alone: with it the signature covers the secrets' values. Absent without secrets.</summary>
    public string? SecretsSalt { get; init; }
    public ResourceSpec? Resources { get; init; }
    public bool CancelRequested { get; init; }
    /// <summary>W3C <c>traceparent</c> of the task: spans of the step and of its job go under it. Absent for tasks from before tasks had traces.</summary>
    public string? TraceParent { get; init; }
    /// <summary>W3C <c>tracestate</c> that came with it; at most 512 characters.</summary>
    public string? TraceState { get; init; }
    /// <summary>The server's signature (JWS: <see cref="Tanjiren.Protocol.Assignment"/>) over what this answer grants. Without a good one an agent starts nothing.</summary>
    public string? Assignment { get; init; }
}

/// <summary><c>POST /api/steps/{id}/complete?session=…</c>: the result, sent from the outbox until it is answered.</summary>
public sealed record CompleteRequest
{
    public long? LeaseGeneration { get; init; }
    public StepOutcome? Outcome { get; init; }
    public StepReason? Reason { get; init; }
    /// <summary>For people: at most 2,000 characters.</summary>
    public string? Detail { get; init; }
    public int? ExitCode { get; init; }
    /// <summary><c>SIGKILL</c> …, when a signal ended the process.</summary>
    public string? Signal { get; init; }
    public long? DurationMs { get; init; }
    /// <summary>Sequence of the last log chunk; 0 when there was no output. Chunks up to it are still taken after this.</summary>
    public long? FinalLogSeq { get; init; }
    public long? LogBytes { get; init; }
    public bool Truncated { get; init; }
    /// <summary>Base64 of the last bytes of output, at most 4 KiB.</summary>
    public string? OutputPreview { get; init; }
    /// <summary>Of a prompt: what the coding agent said last, at most 256 KiB of UTF-8 without a NUL character.</summary>
    public string? Response { get; init; }
    /// <summary>Of a prompt, where the coding agent says it.</summary>
    public TokenUsage? Usage { get; init; }
    /// <summary>SHA-256 in lower-case hex, made by <see cref="Tanjiren.Protocol.ResultDigest"/>: the same result again is 200, another one 409.</summary>
    public string? ResultDigest { get; init; }
    /// <summary>
    /// The workstation's signature (JWS: <see cref="Tanjiren.Protocol.Receipt"/>) over this result, by the key that proves the request. Optional; one that does not fit is refused. Of a
    /// result that is sent again the first one counts.
    /// </summary>
    public string? Receipt { get; init; }
}

/// <summary><c>POST /api/steps/{id}/release?session=…</c>: gives a step back that provably never started.</summary>
public sealed record ReleaseRequest
{
    public long? LeaseGeneration { get; init; }
    public string? Reason { get; init; }
}

public sealed record StepTransitionResponse
{
    public required TransitionResult Result { get; init; }
    public required StepState State { get; init; }
}

[JsonConverter(typeof(SnakeCaseEnum<TransitionResult>))]
public enum TransitionResult
{
    Applied,
    /// <summary>The same request was applied before; nothing moved.</summary>
    AlreadyDone,
}

/// <summary>What a coding agent says that a prompt cost. What it does not say is absent; nothing is reckoned.</summary>
public sealed record TokenUsage
{
    public long? InputTokens { get; init; }
    public long? OutputTokens { get; init; }
    /// <summary>Of the input, what came out of the model's cache.</summary>
    public long? CachedReadTokens { get; init; }
    /// <summary>Of the input, what went into it.</summary>
    public long? CachedWriteTokens { get; init; }
    /// <summary>Of the output, what the model thought.</summary>
    public long? ThoughtTokens { get; init; }
    public long? TotalTokens { get; init; }
    /// <summary>Tokens of the context that were taken at the end.</summary>
    public long? ContextUsed { get; init; }
    public long? ContextSize { get; init; }
    public decimal? CostAmount { get; init; }
    /// <summary>ISO 4217, for example <c>USD</c>; at most 16 characters.</summary>
    public string? CostCurrency { get; init; }
}
