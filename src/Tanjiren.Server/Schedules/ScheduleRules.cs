using Tanjiren.Protocol;

namespace Tanjiren.Server.Schedules;

/// <summary>What to do about the ticks that are due: which of them to fire, if any, how many were missed, and which comes next. Pure.</summary>
internal sealed record TickPlan(DateTimeOffset? Fire, long Missed, DateTimeOffset Latest, DateTimeOffset? Next);

internal static class ScheduleRules
{
    /// <summary>A tick that is this much late was missed: nobody served at its time. Less is a restart, or a busy server.</summary>
    public static readonly TimeSpan MissedAfter = TimeSpan.FromMinutes(1);

    /// <summary>More ticks than this of one absence are not counted one by one.</summary>
    public const int MaxCounted = 1000;

    /// <param name="cron">The schedule.</param>
    /// <param name="due">Its first tick that has not been dealt with; not after <paramref name="now"/>.</param>
    /// <param name="now">The wall clock.</param>
    /// <param name="rule">What becomes of a missed one.</param>
    public static TickPlan Plan(CronSchedule cron, DateTimeOffset due, DateTimeOffset now, MissedRunRule rule)
    {
        var (latest, passed) = (due, 0L);
        var next = cron.Next(latest);
        while (next <= now && passed < MaxCounted)
        {
            (latest, passed) = (next.Value, passed + 1);
            next = cron.Next(latest);
        }
        if (next <= now)
        {
            latest = cron.Latest(now) ?? latest;
            next = cron.Next(now);
        }
        // Of several that are due only the latest is worth a task: they would all do the same now.
        DateTimeOffset? fire = now - latest <= MissedAfter || rule == MissedRunRule.Once ? latest : null;
        return new TickPlan(fire, Math.Min(MaxCounted, passed + (fire is null ? 1 : 0)), latest, next);
    }
}
