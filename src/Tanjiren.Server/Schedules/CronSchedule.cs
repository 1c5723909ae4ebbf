using System.Text.RegularExpressions;
using Quartz;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Schedules;

/// <summary>
/// A cron expression read by the clock of a zone. Quartz finds the next time on a clock that is never put forward or back (it is asked in UTC); what such a time means in
/// the zone is decided here (docs/concepts/schedules.md): an expression that begins its minutes or hours with <c>*</c> runs at intervals, so it passes over local times that do
/// not exist and takes both of those that come twice; any other names times of day, so one that does not exist runs when the gap ends, and one that comes twice runs the first time.
/// </summary>
internal sealed partial class CronSchedule
{
    /// <summary>No zone is further from UTC than this, and none changes its offset twice within it and its double.</summary>
    private static readonly TimeSpan Margin = TimeSpan.FromHours(26);

    private static readonly Dictionary<string, string> Macros = new(StringComparer.OrdinalIgnoreCase)
    {
        ["@hourly"] = "0 * * * *", ["@daily"] = "0 0 * * *", ["@weekly"] = "0 0 * * 0", ["@monthly"] = "0 0 1 * *", ["@yearly"] = "0 0 1 1 *",
    };

    private readonly TimeZoneInfo _zone;
    private readonly IReadOnlyList<CronExpression> _expressions;
    private readonly bool _atIntervals;

    private CronSchedule(TimeZoneInfo zone, IReadOnlyList<CronExpression> expressions, bool atIntervals) =>
        (_zone, _expressions, _atIntervals) = (zone, expressions, atIntervals);

    /// <summary>The schedule; null when an error was added to <c>cron</c> or <c>timeZone</c>.</summary>
    public static CronSchedule? Parse(string cron, string timeZone, FieldErrors errors)
    {
        var zone = FindZone(timeZone);
        if (zone is null) errors.Add("timeZone", $"'{Shown(timeZone)}' is no IANA time zone that this server knows: give a name like Europe/Berlin or UTC");
        var parsed = ParseCron(cron, out var wrong);
        if (wrong is not null) errors.Add("cron", wrong);
        return zone is null || parsed is null ? null : new CronSchedule(zone, parsed.Value.Expressions, parsed.Value.AtIntervals);
    }

    /// <summary>The expression as it is stored: without white space around and beside one space between its fields.</summary>
    public static string Canonical(string cron) => string.Join(' ', cron.Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries));

    /// <summary>The first tick after an instant. Null: there is none that the calendar reaches.</summary>
    public DateTimeOffset? Next(DateTimeOffset after)
    {
        // Near a change of the offset a local time that lies behind may come again.
        var turn = (Offset(after + Margin) - Offset(after - Margin)).Duration();
        DateTimeOffset? best = null;
        for (var local = NextLocal(after.UtcDateTime + Offset(after) - turn); local is not null; local = NextLocal(local.Value))
        {
            var moment = Resolve(local.Value);
            if (best <= moment.Start) return best;
            if (moment.Exists || !_atIntervals) Consider(moment.Start);
            if (moment.Again is { } again && _atIntervals) Consider(again);
            // Moments begin in the order of their local times: no later one begins before this.
            if (best == moment.Start) return best;
        }
        return best;

        void Consider(DateTimeOffset at)
        {
            if (at > after && (best is null || at < best)) best = at;
        }
    }

    /// <summary>The last tick up to an instant, within the year before it; null: none.</summary>
    public DateTimeOffset? Latest(DateTimeOffset upTo)
    {
        foreach (var window in (TimeSpan[])[TimeSpan.FromHours(1), TimeSpan.FromDays(1), TimeSpan.FromDays(32), TimeSpan.FromDays(367)])
        {
            DateTimeOffset? latest = null;
            for (var next = Next(upTo - window); next <= upTo; next = Next(next.Value)) latest = next;
            if (latest is not null) return latest;
        }
        return null;
    }

    /// <summary>An instant by this schedule's clock, with its offset.</summary>
    public string ToLocal(DateTimeOffset at) => at.ToOffset(Offset(at)).ToString("yyyy-MM-dd'T'HH:mm:sszzz", System.Globalization.CultureInfo.InvariantCulture);

    private DateTime? NextLocal(DateTime after)
    {
        DateTime? next = null;
        foreach (var expression in _expressions)
            if (expression.GetNextValidTimeAfter(new DateTimeOffset(after, TimeSpan.Zero))?.UtcDateTime is { } at && !(next <= at)) next = at;
        return next is null ? null : DateTime.SpecifyKind(next.Value, DateTimeKind.Unspecified);
    }

    /// <summary>
    /// When a local time is. The offsets well before and well after it are the two that may hold at it; with neither the clock is put forward over it, with both it comes twice.
    /// </summary>
    private Moment Resolve(DateTime local)
    {
        var asUtc = new DateTimeOffset(local, TimeSpan.Zero);
        var (before, after) = (Offset(asUtc - Margin), Offset(asUtc + Margin));
        var (early, late) = (asUtc - before, asUtc - after);
        if (before == after) return new Moment(early, null, true);
        return (Offset(early) == before, Offset(late) == after) switch
        {
            (true, true) => new Moment(early, late, true),
            (true, false) => new Moment(early, null, true),
            (false, true) => new Moment(late, null, true),
            _ => new Moment(TurnBetween(late, early, after), null, false),
        };
    }

    /// <summary>The first instant at which the new offset holds, to the second.</summary>
    private DateTimeOffset TurnBetween(DateTimeOffset before, DateTimeOffset after, TimeSpan offset)
    {
        while (after - before > TimeSpan.FromSeconds(1))
        {
            var middle = before + TimeSpan.FromSeconds(Math.Floor((after - before).TotalSeconds / 2));
            if (Offset(middle) == offset) after = middle;
            else before = middle;
        }
        return after;
    }

    private TimeSpan Offset(DateTimeOffset at) => _zone.GetUtcOffset(at);

    private static (IReadOnlyList<CronExpression> Expressions, bool AtIntervals)? ParseCron(string cron, out string? wrong)
    {
        var text = Canonical(cron);
        if (text.StartsWith('@') && !Macros.TryGetValue(text, out text!))
        {
            wrong = $"'{Shown(cron)}' is not one of {string.Join(", ", Macros.Keys)}";
            return null;
        }
        var words = text.Split(' ');
        if (words.Length != 5)
        {
            wrong = "must have five fields: minute, hour, day of the month, month, day of the week";
            return null;
        }
        CronField.Kind[] kinds = [CronField.Minute, CronField.Hour, CronField.DayOfMonth, CronField.Month, CronField.DayOfWeek];
        var fields = new CronField[kinds.Length];
        for (var i = 0; i < kinds.Length; i++)
        {
            if (CronField.Parse(words[i], kinds[i], out wrong) is not { } field) return null;
            fields[i] = field;
        }
        wrong = Exists(fields[2], fields[3], fields[4]) ? null : "names a day that none of its months has, so it never comes";
        return wrong is null ? (ToQuartz(fields), fields[0].IsEvery || fields[1].IsEvery) : null;
    }

    /// <summary>
    /// In Quartz's words: seconds first, Sunday is 1, and one of the two day fields is <c>?</c>. As in crontab a tick needs either day when both are given; Quartz would want both, so it is
    /// asked twice.
    /// </summary>
    private static IReadOnlyList<CronExpression> ToQuartz(CronField[] fields)
    {
        var (day, weekday) = (fields[2], fields[4]);
        var (time, month) = ($"0 {Words(fields[0])} {Words(fields[1])}", Words(fields[3]));
        var byDay = $"{time} {Words(day)} {month} ?";
        var byWeekday = $"{time} ? {month} {string.Join(',', weekday.Values.Select(d => d % 7 + 1).Distinct().Order())}";
        return [.. ((string[])(weekday.IsAny ? [byDay] : day.IsAny ? [byWeekday] : [byDay, byWeekday])).Select(e => new CronExpression(e, TimeZoneInfo.Utc))];
    }

    private static string Words(CronField field) => field.IsAny ? "*" : string.Join(',', field.Values);

    /// <summary>29 February counts: it comes.</summary>
    private static bool Exists(CronField day, CronField month, CronField weekday) =>
        !weekday.IsAny || month.Values.Any(m => day.Values[0] <= DateTime.DaysInMonth(2000, m));

    /// <summary>By its IANA name only: Windows names and paths would mean other things on other servers of the same database.</summary>
    private static TimeZoneInfo? FindZone(string name) =>
        ZoneName().IsMatch(name) && TimeZoneInfo.TryFindSystemTimeZoneById(name, out var zone) ? zone : null;

    private static string Shown(string text) => text.Length <= 40 ? text : text[..(char.IsHighSurrogate(text[39]) ? 39 : 40)] + "…";

    [GeneratedRegex(@"\A[A-Za-z][A-Za-z0-9_+-]{0,30}(/[A-Za-z0-9_+-]{1,30}){0,2}\z", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex ZoneName();

    /// <summary>A local time in the zone: when it is first, when it comes again, and whether it exists (if not, <paramref name="Start"/> is the end of the gap).</summary>
    private readonly record struct Moment(DateTimeOffset Start, DateTimeOffset? Again, bool Exists);
}
