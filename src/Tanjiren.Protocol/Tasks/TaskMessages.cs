using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

/// <summary>Lifecycle of a task (T-03). The last three are terminal.</summary>
[JsonConverter(typeof(SnakeCaseEnum<TaskState>))]
public enum TaskState
{
    /// <summary>Accepted; waits for its approval and has no steps yet. A task that needs none is never in this state.</summary>
    Planned,
    /// <summary>Execution and steps exist; no step has been claimed. Moved by the first claim, a cancel, or the queue timeout.</summary>
    Queued,
    /// <summary>At least one step has been claimed. Moved by the end of its last step.</summary>
    Executing,
    /// <summary>All steps succeeded.</summary>
    Completed,
    /// <summary>A step failed, the approval was rejected or never given, or the queue timeout passed.</summary>
    Failed,
    /// <summary>An operator's cancel took effect on at least one step.</summary>
    Cancelled,
}

[JsonConverter(typeof(SnakeCaseEnum<ApprovalStatus>))]
public enum ApprovalStatus
{
    NotRequired,
    /// <summary>Waits for an admin's or the owner's answer. A task that executes already waits with those steps only that shall start again.</summary>
    Pending,
    /// <summary>Approved; nothing has started.</summary>
    Approved,
    /// <summary>The first claim used the approval.</summary>
    Consumed,
    Rejected,
    /// <summary>Nobody answered in time, or the task ended before the approval was used.</summary>
    Expired,
}

/// <summary>What a task asks of a machine (T-02).</summary>
[JsonConverter(typeof(SnakeCaseEnum<TaskMode>))]
public enum TaskMode
{
    /// <summary>A shell command on each target; the exit code decides.</summary>
    Command,
    /// <summary>A prompt to a coding agent on each target; how its turn ends decides.</summary>
    Prompt,
    /// <summary>Questions to a coding agent on each target, in one session; each answer is checked and becomes an artifact.</summary>
    Investigate,
}

[JsonConverter(typeof(SnakeCaseEnum<Placement>))]
public enum Placement
{
    /// <summary>One step on any one matching workstation.</summary>
    Any,
    /// <summary>One step on each workstation that matches at creation.</summary>
    All,
}

/// <summary>What to do with a step whose worker vanished or cannot say how it ended.</summary>
[JsonConverter(typeof(SnakeCaseEnum<OnWorkerLost>))]
public enum OnWorkerLost
{
    /// <summary>The step fails with <c>workerLost</c>: it never runs twice.</summary>
    Fail,
    /// <summary>The step is queued again once its processes are certainly dead.</summary>
    Requeue,
}

/// <summary>Exactly one of the two is given.</summary>
public sealed record CommandSpec
{
    /// <summary>The program and its arguments, passed as they are: no shell, no quoting.</summary>
    public IReadOnlyList<string>? Argv { get; init; }
    /// <summary>Text for the platform's shell: <c>/bin/sh -c</c>, <c>cmd.exe /d /s /c</c>.</summary>
    public string? Shell { get; init; }
}

/// <summary>Which workstations may run it. All given conditions must hold; at least one must be given.</summary>
public sealed record TargetSpec
{
    /// <summary>Ids or names.</summary>
    public IReadOnlyList<string>? Workstations { get; init; }
    /// <summary>Every tag must be set on the workstation.</summary>
    public IReadOnlyList<string>? Tags { get; init; }
    /// <summary>Label to required value; <c>&gt;=N</c>, <c>&gt;N</c>, <c>&lt;=N</c>, <c>&lt;N</c> compare as numbers.</summary>
    public IReadOnlyDictionary<string, string>? Labels { get; init; }
    /// <summary>Default: <c>all</c> when workstations are named, else <c>any</c>.</summary>
    public Placement? Placement { get; init; }
}

/// <summary>What one step needs of its machine, and is held to there. Matched against the announced labels cpuCount, memoryMb and gpuCount.</summary>
public sealed record ResourceSpec
{
    /// <summary>Cores, above 0.</summary>
    public double? Cpu { get; init; }
    public int? MemoryMb { get; init; }
    public int? GpuCount { get; init; }
}

/// <summary><c>POST /api/tasks</c>. Takes <c>Idempotency-Key</c>.</summary>
public sealed record CreateTaskRequest
{
    /// <summary>What it is for, in a person's words, 1-500 characters. Absent: the command line, the prompt, or the first question.</summary>
    public string? Intent { get; init; }
    /// <summary>Default <c>command</c>.</summary>
    public TaskMode? Mode { get; init; }
    /// <summary>Of the mode command, which needs it.</summary>
    public CommandSpec? Command { get; init; }
    public TargetSpec? Targets { get; init; }
    /// <summary>Absolute path on the workstation; absent: the home directory of the agent's user.</summary>
    public string? WorkingDirectory { get; init; }
    public IReadOnlyDictionary<string, string>? Environment { get; init; }
    /// <summary>Names of variables that take the value that the agent's own environment has on the machine.</summary>
    public IReadOnlyList<string>? EnvironmentFromMachine { get; init; }
    /// <summary>
    /// Variables that nobody reads back: kept encrypted, given to the claiming workstation only, and masked there. At most 32, of at most 32 KiB each and 128 KiB together; none of their
    /// names is in <c>environment</c> or <c>environmentFromMachine</c>. Not with a runbook, and not in schedules.
    /// </summary>
    public IReadOnlyDictionary<string, string>? Secrets { get; init; }
    /// <summary>Steps that run at once: default 1; 0 = all at once; at most 1000.</summary>
    public int? MaxParallel { get; init; }
    /// <summary>After this many failed steps the queued ones are cancelled; absent: never.</summary>
    public int? StopAfterFailures { get; init; }
    /// <summary>Hard deadline of a step from its claim, 1-604,800 s; default 86,400 (24 h).</summary>
    public int? TimeoutSeconds { get; init; }
    /// <summary>How long it may wait for its first claim, 1-2,592,000 s; default 604,800 (7 days). Then the task fails.</summary>
    public int? QueueTimeoutSeconds { get; init; }
    /// <summary>How long a stale lease waits for its holder, 1-3,600 s; default 120 for commands, 600 for prompts and investigations.</summary>
    public int? LeaseGraceSeconds { get; init; }
    /// <summary>Default <c>fail</c>.</summary>
    public OnWorkerLost? OnWorkerLost { get; init; }
    public ResourceSpec? Resources { get; init; }
    /// <summary>-100 to 100, higher first; default 0.</summary>
    public int? Priority { get; init; }
    /// <summary>The class of approval that it asks for itself; the higher of this and the doctrine's counts. Default <c>none</c>.</summary>
    public ApprovalClass? ApprovalClass { get; init; }
    /// <summary>Absent: no attempt follows a failure by itself.</summary>
    public RetryPolicy? Retry { get; init; }
    /// <summary>What a coding agent is asked, in the mode prompt; what the questions are about, in the mode investigate, which does not need it. At most 64 KiB of UTF-8.</summary>
    public string? PromptText { get; init; }
    /// <summary>Of the mode investigate, which needs them: 1-50, asked in this order.</summary>
    public IReadOnlyList<TaskQuestion>? Questions { get; init; }
    /// <summary>The coding agent that is to be asked, in those modes: <see cref="CodingAgentName"/>. Absent: whichever the machine has.</summary>
    public string? CodingAgent { get; init; }
    /// <summary>How long a coding agent's question whether it may use a tool waits for an answer, in those modes, 1-86,400 s; default 600 (10 minutes). Then it is denied.</summary>
    public int? PermissionTimeoutSeconds { get; init; }
    /// <summary>Id or name of an active runbook: it fills in what this request leaves out.</summary>
    public string? RunbookId { get; init; }
    /// <summary>Values of the runbook's parameters by name, each at most 4096 characters.</summary>
    public IReadOnlyDictionary<string, string>? Parameters { get; init; }
    /// <summary>An open investigation that the task and its artifacts belong to.</summary>
    public string? InvestigationId { get; init; }
}

public sealed record CancelTaskRequest
{
    public string? Reason { get; init; }
}

public sealed record TaskBody
{
    public required string Id { get; init; }
    public required string Intent { get; init; }
    public required TaskMode Mode { get; init; }
    public required TaskState State { get; init; }
    public required ApprovalStatus ApprovalStatus { get; init; }
    /// <summary>Of the mode command.</summary>
    public CommandSpec? Command { get; init; }
    /// <summary>What a coding agent is asked, in the other modes.</summary>
    public string? PromptText { get; init; }
    /// <summary>Of the mode investigate.</summary>
    public IReadOnlyList<TaskQuestion>? Questions { get; init; }
    /// <summary>Which is asked. Absent: whichever the machine has.</summary>
    public string? CodingAgent { get; init; }
    /// <summary>In the modes prompt and investigate: how long a question of the coding agent waits for an answer.</summary>
    public int? PermissionTimeoutSeconds { get; init; }
    public required TargetSpec Targets { get; init; }
    public string? WorkingDirectory { get; init; }
    /// <summary>Names and values as given at creation.</summary>
    public IReadOnlyDictionary<string, string>? Environment { get; init; }
    public IReadOnlyList<string>? EnvironmentFromMachine { get; init; }
    /// <summary>Names of its secrets, in order; their values are in no answer.</summary>
    public IReadOnlyList<string>? SecretNames { get; init; }
    public required int MaxParallel { get; init; }
    public int? StopAfterFailures { get; init; }
    public required int TimeoutSeconds { get; init; }
    public required int QueueTimeoutSeconds { get; init; }
    public required int LeaseGraceSeconds { get; init; }
    public required OnWorkerLost OnWorkerLost { get; init; }
    public ResourceSpec? Resources { get; init; }
    public required int Priority { get; init; }
    public required string CreatedBy { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset? StartedAt { get; init; }
    public DateTimeOffset? EndedAt { get; init; }
    public DateTimeOffset? CancelRequestedAt { get; init; }
    /// <summary>One paragraph, written when the task ends.</summary>
    public string? OutcomeSummary { get; init; }
    /// <summary>The W3C trace that the task belongs to: that of the request that created it. Absent for tasks from before tasks had traces.</summary>
    public string? TraceId { get; init; }
    /// <summary>The schedule that made it.</summary>
    public string? ScheduleId { get; init; }
    /// <summary>The tick that it was made for: when it was due. Absent for what a person ran at once, and for retries.</summary>
    public DateTimeOffset? ScheduleTickAt { get; init; }
    /// <summary>The runbook that it was made from.</summary>
    public string? RunbookId { get; init; }
    /// <summary>The investigation that it belongs to.</summary>
    public string? InvestigationId { get; init; }
    /// <summary>The attempt before this one, which failed or was cancelled.</summary>
    public string? RetryOfTaskId { get; init; }
    /// <summary>The first attempt. Absent for that one itself.</summary>
    public string? RootTaskId { get; init; }
    /// <summary>Which attempt this is, from 1.</summary>
    public required int Attempt { get; init; }
    /// <summary>What it needs approval for, by its own request and by the doctrine.</summary>
    public ApprovalClass ApprovalClass { get; init; }
    /// <summary>The version of the doctrine that it was decided by; 0 when there is none.</summary>
    public int DoctrineVersion { get; init; }
    /// <summary>A freeze keeps it from starting until then.</summary>
    public DateTimeOffset? FrozenUntil { get; init; }
    /// <summary>User id of who last changed it after its creation.</summary>
    public string? ChangedBy { get; init; }
    /// <summary>Every approval that was asked for, oldest first. Absent in lists, and when there was none.</summary>
    public IReadOnlyList<ApprovalBody>? Approvals { get; init; }
    /// <summary>What its coding agents ask for and nobody has answered yet: the oldest 20. Absent in lists, and when there is nothing.</summary>
    public IReadOnlyList<PermissionBody>? Permissions { get; init; }
    public RetryPolicy? Retry { get; init; }
    /// <summary>When the next attempt is made, while one is pending.</summary>
    public DateTimeOffset? RetryDueAt { get; init; }
    /// <summary>The attempt after this one.</summary>
    public string? RetriedByTaskId { get; init; }
    /// <summary>It was open when the server's database was restored from a backup, and no step of it starts until the owner resumes (<c>POST /api/tasks/resume</c>).</summary>
    public bool Held { get; init; }
    /// <summary>When its output was deleted by age. Absent: it was not.</summary>
    public DateTimeOffset? LogsDeletedAt { get; init; }
    /// <summary>Absent in lists.</summary>
    public ExecutionBody? Execution { get; init; }
}

/// <summary>Answer of <c>POST /api/tasks/resume</c>.</summary>
public sealed record ResumedTasks
{
    /// <summary>How many tasks were held and go on.</summary>
    public required int Resumed { get; init; }
}

public sealed record ExecutionBody
{
    public required string Id { get; init; }
    /// <summary>Leases that count against maxParallel: held or stale.</summary>
    public required int ActiveSteps { get; init; }
    public required IReadOnlyList<StepBody> Steps { get; init; }
}
