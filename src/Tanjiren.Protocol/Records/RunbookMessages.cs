using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

[JsonConverter(typeof(SnakeCaseEnum<RunbookStatus>))]
public enum RunbookStatus
{
    /// <summary>Being written: it may still lack its command or prompt, and makes no tasks.</summary>
    Draft,
    /// <summary>It makes tasks.</summary>
    Active,
    /// <summary>Out of use: it makes no tasks.</summary>
    Archived,
}

/// <summary>
/// A value that whoever runs the runbook gives. <c>{{name}}</c> in the intent and the prompt stands for it; to a command it comes as the variable
/// <c>PARAM_NAME</c>, or as a whole element of <c>argv</c> that is nothing but <c>{{name}}</c> (docs/decisions/0018-runbook-parameters.md).
/// </summary>
public sealed record RunbookParameter
{
    /// <summary>A letter, then letters, digits and underscores, at most 64; upper and lower case are the same.</summary>
    public string? Name { get; init; }
    /// <summary>For whoever has to give it, at most 500 characters.</summary>
    public string? Description { get; init; }
    /// <summary>Absent: it must be given.</summary>
    public string? Default { get; init; }
}

/// <summary>What a task made from the runbook has unless its request says otherwise; each field is that of <see cref="CreateTaskRequest"/>.</summary>
public sealed record RunbookConstraints
{
    public TargetSpec? Targets { get; init; }
    public string? WorkingDirectory { get; init; }
    public IReadOnlyDictionary<string, string>? Environment { get; init; }
    public IReadOnlyList<string>? EnvironmentFromMachine { get; init; }
    public int? MaxParallel { get; init; }
    public int? StopAfterFailures { get; init; }
    public int? TimeoutSeconds { get; init; }
    public int? QueueTimeoutSeconds { get; init; }
    public int? LeaseGraceSeconds { get; init; }
    public OnWorkerLost? OnWorkerLost { get; init; }
    public ResourceSpec? Resources { get; init; }
    public int? Priority { get; init; }
}

/// <summary>What a runbook says.</summary>
public record RunbookFields
{
    /// <summary>1-100 characters without <c>/ \ ? # %</c>, unique in the organization.</summary>
    public string? Name { get; init; }
    /// <summary>The intent of its tasks, 1-500 characters; may hold <c>{{parameters}}</c>.</summary>
    public string? IntentTemplate { get; init; }
    /// <summary>At most 50.</summary>
    public IReadOnlyList<RunbookParameter>? Parameters { get; init; }
    /// <summary>Default <c>command</c>.</summary>
    public TaskMode? Mode { get; init; }
    /// <summary>An active runbook in mode command needs it.</summary>
    public CommandSpec? Command { get; init; }
    /// <summary>Of the modes prompt and investigate, which need it to be active: at most 64 KiB of UTF-8; may hold <c>{{parameters}}</c>.</summary>
    public string? PromptText { get; init; }
    /// <summary>The least class of its tasks; default <c>none</c>. A request may ask for a higher one, never for less.</summary>
    public ApprovalClass? ApprovalClass { get; init; }
    /// <summary>How it goes about it, for whoever approves or watches: Markdown, at most 64 KiB of UTF-8.</summary>
    public string? DefaultPlan { get; init; }
    public RunbookConstraints? DefaultConstraints { get; init; }
    /// <summary>How to tell that it worked: Markdown, at most 64 KiB of UTF-8.</summary>
    public string? SuccessCriteria { get; init; }
    /// <summary>Default <c>draft</c>.</summary>
    public RunbookStatus? Status { get; init; }
}

/// <summary><c>POST /api/runbooks</c>. Takes <c>Idempotency-Key</c>.</summary>
public sealed record CreateRunbookRequest : RunbookFields;

/// <summary><c>PATCH /api/runbooks/{id}</c>. Absent fields stay; empty text, an empty list or an empty object clears.</summary>
public sealed record UpdateRunbookRequest : RunbookFields
{
    /// <summary>The version that was read: if somebody has changed it since, 409 <c>version_conflict</c> and nothing is written.</summary>
    public long? Version { get; init; }
}

/// <summary>A blueprint of tasks (I-02).</summary>
public sealed record RunbookBody : RunbookFields
{
    public required string Id { get; init; }
    /// <summary>Rises with every change; an update names it.</summary>
    public required long Version { get; init; }
    public required string CreatedBy { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public required DateTimeOffset UpdatedAt { get; init; }
}
