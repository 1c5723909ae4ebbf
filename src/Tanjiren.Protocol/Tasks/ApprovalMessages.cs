using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

/// <summary>How much a task may do, and so who has to agree first (T-06). Each is higher than the one before.</summary>
[JsonConverter(typeof(SnakeCaseEnum<ApprovalClass>))]
public enum ApprovalClass
{
    /// <summary>Runs without anybody's approval.</summary>
    None,
    /// <summary>Infrastructure, databases, sensitive systems.</summary>
    SensitiveWrite,
    /// <summary>Production: the highest tier. Nobody approves their own, unless they are alone in the organization or the doctrine says <c>selfApproval</c>.</summary>
    ProductionMutation,
}

/// <summary>What became of an approval.</summary>
[JsonConverter(typeof(SnakeCaseEnum<ApprovalState>))]
public enum ApprovalState
{
    /// <summary>Waits for an admin's or the owner's answer. Seven days without one end it.</summary>
    Pending,
    /// <summary>Given; the first claim uses it, within 15 minutes.</summary>
    Approved,
    /// <summary>Used by the first claim. It covers every step of that execution and cannot be used again.</summary>
    Consumed,
    /// <summary>Refused by a person.</summary>
    Rejected,
    /// <summary>Not answered within seven days, or not used within 15 minutes.</summary>
    Expired,
    /// <summary>What it asked for is no longer asked: the task was changed, or ended first.</summary>
    Withdrawn,
}

/// <summary>A rule that wants the approval.</summary>
public sealed record ApprovalFindingBody
{
    /// <summary>Its name in the doctrine; <c>request</c>: the task asked for it itself; <c>onWorkerLost</c>: it may have run already.</summary>
    public required string Rule { get; init; }
    public required string Effect { get; init; }
    /// <summary>Why it applies, in a sentence.</summary>
    public required string Because { get; init; }
}

/// <summary>A person's answer to one exact action, or the wait for it.</summary>
public sealed record ApprovalBody
{
    public required string Id { get; init; }
    public required string TaskId { get; init; }
    /// <summary>Of the task, as it is now.</summary>
    public required string Intent { get; init; }
    public required ApprovalClass Class { get; init; }
    public required ApprovalState State { get; init; }
    /// <summary>The rules that want it.</summary>
    public required IReadOnlyList<ApprovalFindingBody> Findings { get; init; }
    /// <summary>SHA-256 of what it is bound to: the task's specification, its targets, the doctrine's version.</summary>
    public required string ActionHash { get; init; }
    public required int DoctrineVersion { get; init; }
    /// <summary>User id of who made or last changed the task.</summary>
    public required string RequestedBy { get; init; }
    public required DateTimeOffset RequestedAt { get; init; }
    /// <summary>Pending: until when it can be answered. Approved: until when the first step must start.</summary>
    public required DateTimeOffset ExpiresAt { get; init; }
    /// <summary>User id of who answered.</summary>
    public string? DecidedBy { get; init; }
    public DateTimeOffset? DecidedAt { get; init; }
    public string? Reason { get; init; }
    /// <summary>Whether who approved had made or changed the task.</summary>
    public bool SelfApproved { get; init; }
    public DateTimeOffset? ConsumedAt { get; init; }
    /// <summary>The approval of the attempt before, whose answer it repeats because every rule that wants it says <c>inherit</c>. Absent: a person gave this one.</summary>
    public string? InheritedFrom { get; init; }
}

/// <summary>
/// One server-sent event of <c>GET /api/approvals/events</c>. There are no ids: nothing is resumed, a new connection begins with the whole inbox. What is asked and
/// answered again before the server looks (it looks when it is woken, and every 15 s) is told to nobody.
/// </summary>
public sealed record ApprovalEventBody
{
    /// <summary>As it is now; the event's name says what happened. Absent in <see cref="ApprovalEvents.Current"/>.</summary>
    public ApprovalBody? Approval { get; init; }
    /// <summary>In its place, when it is a coding agent's question: <see cref="ApprovalEvents.Pending"/> and <see cref="PermissionEvents"/>.</summary>
    public PermissionBody? Permission { get; init; }
}

/// <summary>The names of the events of <c>GET /api/approvals/events</c>.</summary>
public static class ApprovalEvents
{
    /// <summary>It was pending already when this connection was opened; oldest first.</summary>
    public const string Pending = "pending";
    /// <summary>All that were pending have been told: whoever remembers another from an earlier connection may forget it. Once a connection; news follow.</summary>
    public const string Current = "current";
    public const string Requested = "approvalRequested";
    /// <summary>Also when it was used, or ran out unused, before the server looked.</summary>
    public const string Approved = "approved";
    public const string Rejected = "rejected";
    /// <summary>Nobody answered within seven days.</summary>
    public const string Expired = "approvalExpired";
    /// <summary>The task was changed, or ended first.</summary>
    public const string Withdrawn = "approvalWithdrawn";
}

/// <summary><c>POST /api/tasks/{id}/approve</c> and <c>…/reject</c>.</summary>
public sealed record AnswerApprovalRequest
{
    /// <summary>1-500 characters. Required to reject, and to approve one's own production mutation.</summary>
    public string? Reason { get; init; }
    /// <summary>The approval that was looked at. Absent: whichever is pending now; then a change in the meantime is approved unseen.</summary>
    public string? ApprovalId { get; init; }
}

/// <summary><c>PATCH /api/tasks/{id}</c>, while it is planned or queued: what is given replaces, what is absent stays.</summary>
public sealed record UpdateTaskRequest
{
    public string? Intent { get; init; }
    public CommandSpec? Command { get; init; }
    /// <summary>Of a task in mode prompt or investigate; a task's mode stays.</summary>
    public string? PromptText { get; init; }
    /// <summary>Of a task in mode investigate; as a whole.</summary>
    public IReadOnlyList<TaskQuestion>? Questions { get; init; }
    /// <summary>Of a task in those modes; empty: whichever the machine has.</summary>
    public string? CodingAgent { get; init; }
    /// <summary>Of a task in mode prompt.</summary>
    public int? PermissionTimeoutSeconds { get; init; }
    /// <summary>As a whole.</summary>
    public TargetSpec? Targets { get; init; }
    public string? WorkingDirectory { get; init; }
    /// <summary>As a whole.</summary>
    public IReadOnlyDictionary<string, string>? Environment { get; init; }
    /// <summary>As a whole.</summary>
    public IReadOnlyList<string>? EnvironmentFromMachine { get; init; }
    public int? MaxParallel { get; init; }
    public int? StopAfterFailures { get; init; }
    public int? TimeoutSeconds { get; init; }
    public int? QueueTimeoutSeconds { get; init; }
    public int? LeaseGraceSeconds { get; init; }
    public OnWorkerLost? OnWorkerLost { get; init; }
    /// <summary>As a whole.</summary>
    public ResourceSpec? Resources { get; init; }
    public int? Priority { get; init; }
    /// <summary>As a whole; an empty object takes it away.</summary>
    public RetryPolicy? Retry { get; init; }
    /// <summary>May be raised, never lowered.</summary>
    public ApprovalClass? ApprovalClass { get; init; }
}
