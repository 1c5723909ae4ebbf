using System.CommandLine;

using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Schedules;

/// <summary>What the commands of schedules have in common.</summary>
internal static class ScheduleArguments
{
    public static Argument<string> Which() => new("SCHEDULE") { Description = "Name or id" };

    public static Option<string?> Cron() =>
        Options.Text("--cron", "EXPRESSION", "When: minute, hour, day of the month, month, day of the week, or @hourly, @daily, @weekly, @monthly, @yearly");

    public static Option<string?> TimeZone() => Options.Text("--time-zone", "ZONE", "IANA zone whose clock counts, for example Europe/Berlin (default UTC)");

    public static Option<string?> Overlap() =>
        Options.Choice("--overlap", "While the job of the tick before runs: run beside it, forbid the tick, or queue one until it has ended (default forbid)", "allow", "forbid", "queue");

    public static Option<string?> Missed() => Options.Choice("--missed", "Ticks at which no server ran: skip them, or run the latest once (default skip)", "skip", "once");

    public static OverlapRule? ParseOverlap(string? word) => word is null ? null : Enum.Parse<OverlapRule>(word, ignoreCase: true);

    public static MissedRunRule? ParseMissed(string? word) => word is null ? null : Enum.Parse<MissedRunRule>(word, ignoreCase: true);

    /// <summary>One line: what stands after it was made or changed.</summary>
    public static string Describe(ScheduleBody schedule, TimeProvider clock) => schedule.PausedAt is null
        ? $"{Text.Safe(schedule.Name)} ({schedule.Id}): next run {Text.Instant(schedule.NextRunAt, clock)}"
        : $"{Text.Safe(schedule.Name)} ({schedule.Id}) is paused{(schedule.PauseReason is null ? "" : ": " + Text.Safe(schedule.PauseReason))}";
}
