namespace Tanjiren.Protocol;

/// <summary>
/// <c>GET /api/tasks/{id}/steps/{stepId}/receipt</c>: all that it takes, with the step's output, to verify how it ended without asking anybody (<see cref="ReceiptVerifier"/>). What it
/// shows is what the server says; the signatures in it are not the server's to change.
/// </summary>
public sealed record StepReceiptBody
{
    public required string TaskId { get; init; }
    public required string StepId { get; init; }
    public required StepState State { get; init; }
    public StepOutcome? Outcome { get; init; }
    public StepReason? Reason { get; init; }
    public string? Detail { get; init; }
    public int? ExitCode { get; init; }
    public string? Signal { get; init; }
    public long? DurationMs { get; init; }
    /// <summary>Base64 in JSON: its bytes, where the step itself shows text.</summary>
    public byte[]? OutputPreview { get; init; }
    /// <summary>Of a coding agent: whole, whatever the task's own answer leaves out.</summary>
    public string? Response { get; init; }
    public TokenUsage? Usage { get; init; }
    /// <summary>Of an investigation: what became of each question, in order.</summary>
    public IReadOnlyList<SignedAnswer>? Answers { get; init; }
    public long? FinalLogSeq { get; init; }
    public required bool Truncated { get; init; }
    public string? ResultDigest { get; init; }
    /// <summary>The claim whose result counts; absent when no workstation ended the step.</summary>
    public long? CompletedGeneration { get; init; }
    /// <summary>When the output was deleted by age. Absent: it was not.</summary>
    public DateTimeOffset? LogsDeletedAt { get; init; }
    /// <summary>What the task asks for.</summary>
    public required AssignedWork Work { get; init; }
    /// <summary>Every claim of the step, in order.</summary>
    public required IReadOnlyList<ClaimReceiptBody> Claims { get; init; }
    /// <summary>The chain of keys of each workstation that has signed one of the receipts.</summary>
    public required IReadOnlyList<KeyChainBody> Chains { get; init; }
    /// <summary>The control plane's keys that assignments are signed by.</summary>
    public required WorkKeysBody WorkKeys { get; init; }
}

/// <summary>One claim of a step.</summary>
public sealed record ClaimReceiptBody
{
    public required long Generation { get; init; }
    public required string InstanceId { get; init; }
    /// <summary>JWS (<see cref="Tanjiren.Protocol.Receipt"/>). Absent when the workstation was lost, gave the step back, or knows none.</summary>
    public string? Receipt { get; init; }
}

/// <summary>A line of a bundle that <c>jobs verify --save</c> writes: a step, then its output chunk by chunk, then the next step. One of the two is set.</summary>
public sealed record ReceiptBundleLine
{
    public StepReceiptBody? Step { get; init; }
    public LogChunkBody? Log { get; init; }
}
