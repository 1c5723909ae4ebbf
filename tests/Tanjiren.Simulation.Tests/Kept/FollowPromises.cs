namespace Tanjiren.Simulation.Tests.Kept;

/// <summary>
/// What must follow: an attempt after each failure that the policy names, until it is made or somebody calls it off; and of each tick that a schedule lets pass a task, or
/// the schedule's own word for why there is none. Judged by the request and by the clock, not by what the server planned.
/// </summary>
internal sealed class FollowPromises(World world)
{
    /// <summary>More missed ticks of one absence are not counted one by one (docs/concepts/schedules.md).</summary>
    private const long MostCounted = 1000;

    private readonly HashSet<string> _owed = [];
    private Dictionary<string, ScheduleSeen> _schedules = [];

    public void CheckRetries(IReadOnlyList<TaskSeen> tasks, IReadOnlyDictionary<string, TaskSeen> before, ILookup<string, StepSeen> stepsOf, IReadOnlySet<string> planned, IReadOnlyList<EventSeen> events)
    {
        foreach (var task in tasks)
        {
            if (task.State == "failed" && before.GetValueOrDefault(task.Id) is { State: not "failed" } && IsOwed(task, stepsOf[task.Id])) _owed.Add(task.Id);
            if (task.RetryOf is not null) _owed.Remove(task.RetryOf);
        }
        foreach (var e in events.Where(e => e.Kind == "retryDropped")) _owed.Remove(e.TaskId);
        foreach (var lost in _owed.Where(id => !planned.Contains(id))) world.Fail($"{world.Names.Of(lost)} has failed, and nothing follows although its policy says so");
    }

    public void CheckTicks(IReadOnlyList<ScheduleSeen> schedules)
    {
        foreach (var schedule in schedules)
        {
            if (!_schedules.TryGetValue(schedule.Id, out var old)) continue;
            // In the commit that moves the schedule on, from the tick that was due to the last one that had passed by then.
            var passed = schedule.LastTick == old.LastTick ? 0 : (schedule.LastTick!.Value - old.Next!.Value) / schedule.PeriodMs + 1;
            var accounted = schedule.Accounted - old.Accounted;
            if (accounted < Math.Min(passed, MostCounted) || accounted > passed)
                world.Fail($"{passed} ticks of {world.Names.Of(schedule.Id)} ({schedule.Cron}) have passed, and it accounts for {accounted}");
        }
        _schedules = schedules.ToDictionary(schedule => schedule.Id);
    }

    /// <summary>Nobody has said how a step ended that the server gave up as overdue.</summary>
    private static string? HowItFailed(StepSeen step) => step is { Reason: "timeout", CompletedGeneration: null } ? "workerLost" : step.Reason;

    private static bool IsOwed(TaskSeen task, IEnumerable<StepSeen> steps)
    {
        var failed = steps.Where(step => step.State == "failed").ToList();
        return failed.Count > 0 && !task.CancelRequested && task.Attempt < task.MaxAttempts && failed.All(step => task.RetryOn.Contains($"\"{HowItFailed(step)}\"", StringComparison.Ordinal));
    }
}

/// <summary>A schedule, and how many of its ticks it has dealt with: tasks made by a tick, and what it counts and keeps itself.</summary>
internal sealed record ScheduleSeen(string Id, string Cron, long? Next, long? LastTick, long Accounted)
{
    /// <summary>Of the expressions that the simulation uses: every minute, or every n-th.</summary>
    public long PeriodMs => 60_000 * (Cron.StartsWith("*/", StringComparison.Ordinal) ? long.Parse(Cron[2..Cron.IndexOf(' ')], System.Globalization.CultureInfo.InvariantCulture) : 1);
}
