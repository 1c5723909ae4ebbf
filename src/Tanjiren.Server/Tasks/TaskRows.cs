using System.Text.Json;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Tasks;

/// <summary>A row of <c>tasks</c>.</summary>
internal record TaskRow
{
    public string Id { get; init; } = "";
    public string OrganizationId { get; init; } = "";
    public string Intent { get; init; } = "";
    public string Mode { get; init; } = "";
    public string State { get; init; } = "";
    public string ApprovalStatus { get; init; } = "";
    public string Spec { get; init; } = "";
    public int Priority { get; init; }
    public string CreatedBy { get; init; } = "";
    public long CreatedAt { get; init; }
    public long? StartedAt { get; init; }
    public long? EndedAt { get; init; }
    public long? CancelRequestedAt { get; init; }
    public string? OutcomeSummary { get; init; }
    public string? TraceParent { get; init; }
    public string? TraceState { get; init; }
    public string? ScheduleId { get; init; }
    public long? ScheduleTickAt { get; init; }
    public string? RunbookId { get; init; }
    public int ByPerson { get; init; }
    public string? InvestigationId { get; init; }
    public string? RetryOfTaskId { get; init; }
    public string? RootTaskId { get; init; }
    public int Attempt { get; init; } = 1;
    public string ApprovalClass { get; init; } = "none";
    public int DoctrineVersion { get; init; }
    public long? FrozenUntil { get; init; }
    public string? ChangedBy { get; init; }

    /// <summary>Where a query joins them: the pending retry's time, and the attempt after this one.</summary>
    public long? RetryDueAt { get; init; }
    public string? RetriedByTaskId { get; init; }
    public long? HeldAt { get; init; }
    public long? LogsDeletedAt { get; init; }

    public TaskTrace Trace => new(TraceParent, TraceState);

    /// <summary>The validated request with every default filled in.</summary>
    public CreateTaskRequest ParseSpec() => JsonSerializer.Deserialize(Spec, WireJson.Default.CreateTaskRequest)!;
}

/// <summary>A row of <c>steps</c>, with the name of the workstation and the log counters of its newest claim where a query joins them.</summary>
internal record StepRow
{
    public string Id { get; init; } = "";
    public string ExecutionId { get; init; } = "";
    public string TaskId { get; init; } = "";
    public string OrganizationId { get; init; } = "";
    public int Ordinal { get; init; }
    public string? TargetInstanceId { get; init; }
    public string? SelectorId { get; init; }
    public int Priority { get; init; }
    public string State { get; init; } = "";
    public string? Outcome { get; init; }
    public string? Reason { get; init; }
    public string? Detail { get; init; }
    public int? ExitCode { get; init; }
    public string? Signal { get; init; }
    public long? DurationMs { get; init; }
    public byte[]? OutputPreview { get; init; }
    public string OnWorkerLost { get; init; } = "";
    public int Attempts { get; init; }
    public long CreatedAt { get; init; }
    public string? ClaimedBy { get; init; }
    public string? ClaimId { get; init; }
    public long? ClaimedAt { get; init; }
    public string LeaseState { get; init; } = "";
    public string? LeaseHolder { get; init; }
    public string? LeaseSession { get; init; }
    public long LeaseGeneration { get; init; }
    public long? LeaseExpiresAt { get; init; }
    public long LeaseTtlMs { get; init; }
    public long LeaseGraceMs { get; init; }
    public long TimeoutMs { get; init; }
    public long? DeadlineAt { get; init; }
    public long? CancelRequestedAt { get; init; }
    public long? CompletedGeneration { get; init; }
    public string? ResultDigest { get; init; }
    public long? FinalLogSeq { get; init; }
    public int Truncated { get; init; }
    /// <summary>The number of the earliest approval of its task under which it may start; 0: it needs none.</summary>
    public int ApprovalFrom { get; init; }
    public long? EndedAt { get; init; }

    public string? InstanceName { get; init; }
    public long LogSeq { get; init; }
    public long LogBytes { get; init; }

    public bool IsHeldBy(string instanceId, string sessionId, long generation) =>
        State == "running" && LeaseHolder == instanceId && LeaseSession == sessionId && LeaseGeneration == generation;
}

/// <summary>A row of <c>step_responses</c>.</summary>
internal sealed record ResponseRow
{
    public string StepId { get; init; } = "";
    /// <summary>Null also where there was no room for it.</summary>
    public string? Response { get; init; }
    /// <summary>Characters of the response, if there is one.</summary>
    public long? Length { get; init; }
    /// <summary>JSON of a <see cref="TokenUsage"/>.</summary>
    public string? Usage { get; init; }
}
