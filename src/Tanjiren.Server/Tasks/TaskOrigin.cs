namespace Tanjiren.Server.Tasks;

/// <summary>What brought a task into being besides the person in whose name it runs. Each makes at most one task: of a schedule one for each tick, of a failed task one retry.</summary>
internal sealed record TaskOrigin
{
    public static readonly TaskOrigin Request = new();

    public string? ScheduleId { get; init; }
    /// <summary>The tick of the schedule, Unix milliseconds: when it was due, not when it fired.</summary>
    public long? ScheduleTickAt { get; init; }
    public string? RunbookId { get; init; }
    /// <summary>The version that was read for this task. Not kept with it: it is for a schedule, whose ticks run no other version than its owner saw.</summary>
    public long? RunbookVersion { get; init; }
    public string? InvestigationId { get; init; }
    public string? RetryOfTaskId { get; init; }
    /// <summary>The first task of a chain of attempts; null for that one itself.</summary>
    public string? RootTaskId { get; init; }
    /// <summary>1 for a task that is no retry.</summary>
    public int Attempt { get; init; } = 1;
    /// <summary>A person has said what it runs (beside its runbook, or changing it since), or that it runs now: they ask for it, whatever else brought it into being.</summary>
    public bool ByPerson { get; init; }
}
