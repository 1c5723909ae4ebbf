using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

/// <summary>What a tick does while the task of an earlier one has not ended (its pending retry counts as not ended).</summary>
[JsonConverter(typeof(SnakeCaseEnum<OverlapRule>))]
public enum OverlapRule
{
    /// <summary>Its task is made all the same.</summary>
    Allow,
    /// <summary>The tick is skipped and counted.</summary>
    Forbid,
    /// <summary>Its task is made when the one before has ended. At most one tick waits; further ones are skipped and counted.</summary>
    Queue,
}

/// <summary>What becomes of ticks that no server could fire within a minute of their time.</summary>
[JsonConverter(typeof(SnakeCaseEnum<MissedRunRule>))]
public enum MissedRunRule
{
    /// <summary>They are counted and nothing else.</summary>
    Skip,
    /// <summary>The latest of them is fired late, once; the others are counted.</summary>
    Once,
}

/// <summary><c>POST /api/schedules</c>. Takes <c>Idempotency-Key</c>.</summary>
public sealed record CreateScheduleRequest
{
    /// <summary>1-100 characters, unique in the organization.</summary>
    public string? Name { get; init; }
    /// <summary>Five fields (minute, hour, day of month, month, day of week), or <c>@hourly</c>, <c>@daily</c>, <c>@weekly</c>, <c>@monthly</c>, <c>@yearly</c>.</summary>
    public string? Cron { get; init; }
    /// <summary>The IANA zone whose clock the expression is read by, for example <c>Europe/Berlin</c>; default <c>UTC</c>.</summary>
    public string? TimeZone { get; init; }
    /// <summary>Default <c>forbid</c>.</summary>
    public OverlapRule? Overlap { get; init; }
    /// <summary>Default <c>skip</c>.</summary>
    public MissedRunRule? MissedRuns { get; init; }
    /// <summary>The template: each tick makes such a task. It is held to the rules of <c>POST /api/tasks</c> when it is given and at each tick.</summary>
    public CreateTaskRequest? Task { get; init; }
}

/// <summary><c>PATCH /api/schedules/{id}</c>. What is absent stays; <see cref="Task"/> replaces the whole template and makes the caller the owner.</summary>
public sealed record UpdateScheduleRequest
{
    public string? Name { get; init; }
    public string? Cron { get; init; }
    public string? TimeZone { get; init; }
    public OverlapRule? Overlap { get; init; }
    public MissedRunRule? MissedRuns { get; init; }
    public CreateTaskRequest? Task { get; init; }
}

/// <summary><c>POST /api/schedules/{id}/pause</c>; may be absent.</summary>
public sealed record PauseScheduleRequest
{
    /// <summary>Why, for whoever looks; at most 500 characters.</summary>
    public string? Reason { get; init; }
}

public sealed record ScheduleBody
{
    public required string Id { get; init; }
    public required string Name { get; init; }
    public required string Cron { get; init; }
    public required string TimeZone { get; init; }
    public required OverlapRule Overlap { get; init; }
    public required MissedRunRule MissedRuns { get; init; }
    /// <summary>The template with every default filled in.</summary>
    public required CreateTaskRequest Task { get; init; }
    /// <summary>Of the runbook that the template names: what its owner saw. A tick that finds another version, or none that is active, pauses the schedule.</summary>
    public long? RunbookVersion { get; init; }
    /// <summary>In whose name, and with whose role of that moment, ticks run: whoever last changed anything but the name, or resumed it.</summary>
    public required string OwnerId { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public required DateTimeOffset UpdatedAt { get; init; }
    /// <summary>The next tick. Absent while paused.</summary>
    public DateTimeOffset? NextRunAt { get; init; }
    public DateTimeOffset? PausedAt { get; init; }
    public string? PauseReason { get; init; }
    /// <summary>The tick whose task waits for the one before to end (overlap <c>queue</c>).</summary>
    public DateTimeOffset? WaitingTickAt { get; init; }
    /// <summary>The last tick that was dealt with, whatever came of it.</summary>
    public DateTimeOffset? LastTickAt { get; init; }
    /// <summary>The last task that it made, by a tick or on request.</summary>
    public string? LastTaskId { get; init; }
    /// <summary>Why the task of a tick could not be made, the last time that happened.</summary>
    public string? LastError { get; init; }
    /// <summary>The tick that <see cref="LastError"/> is about.</summary>
    public DateTimeOffset? LastErrorTickAt { get; init; }
    /// <summary>Tasks made, by ticks and on request.</summary>
    public required long Runs { get; init; }
    /// <summary>Ticks skipped by the overlap rule, or dropped while they waited.</summary>
    public required long Skipped { get; init; }
    /// <summary>Ticks that no server fired in time; at most 1000 are counted of one absence.</summary>
    public required long Missed { get; init; }
    /// <summary>Ticks whose task could not be made.</summary>
    public required long Failed { get; init; }
}

/// <summary><c>GET /api/schedules/{id}/preview</c>: the next ticks, whether or not the schedule is paused.</summary>
public sealed record SchedulePreviewBody
{
    public required string TimeZone { get; init; }
    public required IReadOnlyList<ScheduledTick> Items { get; init; }
}

public sealed record ScheduledTick
{
    public required DateTimeOffset At { get; init; }
    /// <summary>The same instant by the schedule's own clock, with its offset: <c>2026-03-29T03:00:00+02:00</c>.</summary>
    public required string Local { get; init; }
}
