using Tanjiren.Protocol;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Schedules;

/// <summary>What people give of a schedule, checked: everything but whether its targets exist, which the transaction knows.</summary>
internal sealed record ScheduleTemplate
{
    public const string DefaultZone = "UTC";

    public required string Name { get; init; }
    public required string Cron { get; init; }
    public required string TimeZone { get; init; }
    public required OverlapRule Overlap { get; init; }
    public required MissedRunRule MissedRuns { get; init; }
    /// <summary>Null: the stored one stays.</summary>
    public required CreateTaskRequest? Task { get; init; }
    /// <summary>Meaningful only when no error was added.</summary>
    public CronSchedule Parsed { get; private init; } = null!;

    public static ScheduleTemplate Check(CreateScheduleRequest request, TaskService tasks, FieldErrors errors)
    {
        errors.Require(request.Cron is not null, "cron", "is required: five fields, or @hourly, @daily, @weekly, @monthly, @yearly");
        errors.Require(request.Task is not null, "task", "is required: what each tick runs");
        return new ScheduleTemplate
        {
            Name = CheckName(request.Name, errors),
            Cron = request.Cron ?? "@daily",
            TimeZone = request.TimeZone ?? DefaultZone,
            Overlap = request.Overlap ?? OverlapRule.Forbid,
            MissedRuns = request.MissedRuns ?? MissedRunRule.Skip,
            Task = request.Task,
        }.Checked(tasks, errors);
    }

    /// <summary>The stored schedule with what is given of it changed.</summary>
    public static ScheduleTemplate Check(UpdateScheduleRequest request, ScheduleRow row, TaskService tasks, FieldErrors errors) => new ScheduleTemplate
    {
        Name = request.Name is null ? row.Name : CheckName(request.Name, errors),
        Cron = request.Cron ?? row.Cron,
        TimeZone = request.TimeZone ?? row.TimeZone,
        Overlap = request.Overlap ?? row.OverlapRule,
        MissedRuns = request.MissedRuns ?? row.MissedRunRule,
        Task = request.Task,
    }.Checked(tasks, errors);

    private ScheduleTemplate Checked(TaskService tasks, FieldErrors errors)
    {
        CronSchedule? parsed = null;
        if (Cron.Length > WireLimits.MaxCronLength) errors.Add("cron", $"has {Cron.Length} characters; at most {WireLimits.MaxCronLength} are allowed");
        else parsed = CronSchedule.Parse(Cron, TimeZone, errors);
        var wrong = new FieldErrors();
        // Whoever pauses, changes or takes over a schedule would go on with secrets that somebody else gave.
        wrong.Require(Task?.Secrets is null, "secrets", "are not taken in a schedule by this version; the workstation's own variables are (environmentFromMachine)");
        var task = Task is null ? null : tasks.Template(Task, wrong);
        errors.AddUnder("task", wrong);
        return this with { Cron = CronSchedule.Canonical(Cron), Task = task, Parsed = parsed! };
    }

    private static string CheckName(string? text, FieldErrors errors)
    {
        var name = errors.Text(text, WireLimits.MaxNameLength, "name");
        errors.Require(!Ids.IsValid(name, Ids.Schedule), "name", "must not look like an id");
        return name;
    }
}
