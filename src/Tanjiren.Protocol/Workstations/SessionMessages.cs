using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

/// <summary>
/// <c>POST /api/instances/{id}/sessions</c>: one run of the agent. Leases belong to sessions; every later request of the workstation names its
/// session in the query (<c>?session=ses_…</c>), which the proof's <c>htu</c> covers. Opening the same <see cref="SessionId"/> again answers the same.
/// </summary>
public sealed record OpenSessionRequest
{
    /// <summary>Made by the agent and journalled before the first try, so that a lost answer can be repeated.</summary>
    public string? SessionId { get; init; }
    /// <summary>Identifies the machine and the agent's home on it: a copied home has another one.</summary>
    public string? MachineId { get; init; }
    /// <summary>Changes with every boot of the machine.</summary>
    public string? BootId { get; init; }
    public string? HostName { get; init; }
    public string? AgentVersion { get; init; }
    /// <summary>Sessions that this home has opened or tried to open before, newest first (at most 5). A live session is taken over only by its own successor on the same boot.</summary>
    public IReadOnlyList<string>? PreviousSessionIds { get; init; }
    /// <summary>Every step in the journal that has not ended on the server as far as the agent knows.</summary>
    public IReadOnlyList<StepReport>? Steps { get; init; }
}

/// <summary>What the journal says of a step at the agent's start.</summary>
public sealed record StepReport
{
    public required string StepId { get; init; }
    /// <summary>Absent when the claim was journalled and its answer never seen.</summary>
    public long? LeaseGeneration { get; init; }
    public string? ClaimId { get; init; }
    public required StepReportState State { get; init; }
}

[JsonConverter(typeof(CamelCaseEnum<StepReportState>))]
public enum StepReportState
{
    /// <summary>The process is alive and this agent watches it.</summary>
    Running,
    /// <summary>It ended; the result is in the outbox and will be sent with <c>complete</c>.</summary>
    Exited,
    /// <summary>The intent to spawn was journalled, the process is gone and its exit code was not seen.</summary>
    UnknownOutcome,
    /// <summary>Provably never spawned.</summary>
    NeverStarted,
}

public sealed record OpenSessionResponse
{
    public required string SessionId { get; init; }
    public required DateTimeOffset ServerTime { get; init; }
    /// <summary>One entry for each reported step, and one for each lease that the server thinks this workstation holds.</summary>
    public required IReadOnlyList<LeaseAnswer> Leases { get; init; }
}

/// <summary><c>POST /api/instances/{id}/heartbeat?session=…</c> (W-04).</summary>
public sealed record HeartbeatRequest
{
    /// <summary>Whether the agent takes no new work because it is stopping.</summary>
    public bool Draining { get; init; }
    public string? AgentVersion { get; init; }
    /// <summary>os, arch, cpuCount, memoryMb, hostname and the configured ones; at most 100 of 64 + 256 characters.</summary>
    public IReadOnlyDictionary<string, string>? Labels { get; init; }
    /// <summary>Coding agents that it can drive, by <see cref="CodingAgentName"/>; at most 32. Absent: none.</summary>
    public IReadOnlyList<string>? CodingAgents { get; init; }
    /// <summary>Steps that the agent works on.</summary>
    public int ActiveTaskCount { get; init; }
    /// <summary>Steps that it runs at once at most, 1-1000.</summary>
    public int MaxConcurrent { get; init; } = 1;
    /// <summary>Every lease that the agent believes it holds.</summary>
    public IReadOnlyList<HeldLease>? Leases { get; init; }
    /// <summary>0: answer at once. More (at most 60): hang until there is work; an idle-suspended agent keeps only this.</summary>
    public int WaitSeconds { get; init; }
}

public sealed record HeldLease
{
    public required string StepId { get; init; }
    public required long LeaseGeneration { get; init; }
    public required StepPhase Phase { get; init; }
    /// <summary>Highest log sequence written to the outbox.</summary>
    public long LastLogSeq { get; init; }
    /// <summary>Milliseconds since the executor of this step last showed that it is alive; above 60,000 the lease is not renewed.</summary>
    public long TickAgeMs { get; init; }
}

[JsonConverter(typeof(CamelCaseEnum<StepPhase>))]
public enum StepPhase
{
    Claimed,
    Running,
    Exited,
    Uploading,
}

public sealed record HeartbeatResponse
{
    public required DateTimeOffset ServerTime { get; init; }
    /// <summary>30-60; longer when the server is under load. An agent that holds leases beats at least every third of their TTL.</summary>
    public required int NextHeartbeatSeconds { get; init; }
    /// <summary>At most ten (W-05).</summary>
    public required IReadOnlyList<PendingStep> PendingTasks { get; init; }
    /// <summary>One for each lease the request named, and one for each that the server thinks this session holds besides.</summary>
    public required IReadOnlyList<LeaseAnswer> Leases { get; init; }
}

/// <summary>What the server thinks of a lease.</summary>
public sealed record LeaseAnswer
{
    public required string StepId { get; init; }
    public required long LeaseGeneration { get; init; }
    public required LeaseStanding Standing { get; init; }
    /// <summary>The claim that holds the lease; absent when it is lost or completed.</summary>
    public string? ClaimId { get; init; }
    /// <summary>An operator wants it cancelled.</summary>
    public bool CancelRequested { get; init; }
}

[JsonConverter(typeof(CamelCaseEnum<LeaseStanding>))]
public enum LeaseStanding
{
    /// <summary>Held and renewed by this request.</summary>
    Held,
    /// <summary>Held, not renewed: the executor gave no sign of life for 60 s.</summary>
    NotRenewed,
    /// <summary>No longer this session's: kill the tree, report nothing.</summary>
    Lost,
    /// <summary>The step was completed under this generation already: nothing more to send but logs.</summary>
    Completed,
}

/// <summary>A step that this workstation may claim.</summary>
public sealed record PendingStep
{
    public required string StepId { get; init; }
    public required string TaskId { get; init; }
    /// <summary>Sent back with the claim; if the step has moved on since, the claim is refused.</summary>
    public required long ExpectedGeneration { get; init; }
    public required string Intent { get; init; }
    public int Priority { get; init; }
    /// <summary>W3C <c>traceparent</c> of the task, so that the claim is in its trace already; absent for tasks from before tasks had traces.</summary>
    public string? TraceParent { get; init; }
}

/// <summary>
/// <c>GET /api/instances/{id}/work?session=…&amp;waitSeconds=25&amp;capacity=N&amp;cancelsSeen=step_…,step_…</c>: answers as soon as there is an
/// assignment (if capacity is above 0) or a cancel that is not in <c>cancelsSeen</c>, and empty after the wait.
/// </summary>
public sealed record WorkResponse
{
    public required IReadOnlyList<PendingStep> Assignments { get; init; }
    public required IReadOnlyList<LeaseNotice> Cancels { get; init; }
}

public sealed record LeaseNotice
{
    public required string StepId { get; init; }
    public required long LeaseGeneration { get; init; }
}
