using System.Globalization;
using System.Text.RegularExpressions;
using Quartz;

namespace Tanjiren.Server.Governance;

/// <summary>
/// A time in which nothing (or nothing that matches) starts. Where clocks change: a local time that is skipped means the moment at which they went forward; one that
/// comes twice means the first at a start and the second at an end, so a window covers all that its words could mean. A duration is time that passes, not what a
/// clock on the wall shows: 62 hours over a change of the clocks end an hour earlier or later by that clock.
/// </summary>
internal abstract partial record FreezeWindow
{
    public static readonly TimeSpan MaxDuration = TimeSpan.FromDays(31);

    /// <summary>Before this no window is looked for; nor after <see cref="Last"/>. Cron arithmetic ends with the calendar.</summary>
    public static readonly DateTimeOffset First = new(2000, 1, 1, 0, 0, 0, TimeSpan.Zero);
    public static readonly DateTimeOffset Last = new(2199, 12, 31, 0, 0, 0, TimeSpan.Zero);

    /// <summary>The end of the window that is open at this moment (of several, the last); null: none is.</summary>
    public abstract DateTimeOffset? OpenUntil(DateTimeOffset now);

    /// <summary>Null when the text is no five-field cron expression, or one that never comes.</summary>
    public static FreezeWindow? Repeated(string cron, TimeSpan duration, TimeZoneInfo zone)
    {
        if (!CronExpression.TryParse(cron, CronFormat.Unix, out var expression)) return null;
        var starts = expression.WithTimeZone(zone);
        return starts.GetNextValidTimeAfter(First) is null ? null : new Recurring(starts, duration);
    }

    /// <summary>Local times of the zone; null when the end is not after the start.</summary>
    public static FreezeWindow? Between(DateTime from, DateTime to, TimeZoneInfo zone)
    {
        var once = new Once(Instant(from, zone, atStart: true), Instant(to, zone, atStart: false));
        return once.To > once.From ? once : null;
    }

    /// <summary><c>2026-12-20</c> (its midnight), <c>2026-12-20 18:00</c> or <c>2026-12-20T18:00</c>, from 2000 to 2199; null for anything else.</summary>
    public static DateTime? ParseLocal(string text) =>
        DateTime.TryParseExact(text, ["yyyy-MM-dd", "yyyy-MM-dd HH:mm", "yyyy-MM-dd'T'HH:mm"], CultureInfo.InvariantCulture, DateTimeStyles.None, out var local)
        && local.Year >= First.Year && local.Year <= Last.Year ? local : null;

    /// <summary><c>90m</c>, <c>62h</c>, <c>2d</c>, <c>1d12h</c>: a minute to 31 days; null for anything else.</summary>
    public static TimeSpan? ParseDuration(string text)
    {
        var match = DurationText().Match(text);
        if (!match.Success) return null;
        int Part(string name) => match.Groups[name] is { Success: true } group ? int.Parse(group.ValueSpan, CultureInfo.InvariantCulture) : 0;
        var duration = new TimeSpan(Part("d"), Part("h"), Part("m"), 0);
        return duration >= TimeSpan.FromMinutes(1) && duration <= MaxDuration ? duration : null;
    }

    /// <summary>A zone of the IANA database by its name; null when the server's system has none of that name.</summary>
    public static TimeZoneInfo? FindZone(string name) =>
        ZoneName().IsMatch(name) && TimeZoneInfo.TryFindSystemTimeZoneById(name, out var zone) && zone.HasIanaId ? zone : null;

    private static DateTimeOffset Instant(DateTime local, TimeZoneInfo zone, bool atStart)
    {
        if (zone.IsAmbiguousTime(local))
        {
            var offsets = zone.GetAmbiguousTimeOffsets(local);
            return new DateTimeOffset(local, atStart ? offsets.Max() : offsets.Min());
        }
        var existing = local;
        while (zone.IsInvalidTime(existing)) existing = existing.AddMinutes(-1);
        var instant = new DateTimeOffset(existing, zone.GetUtcOffset(existing));
        return existing == local ? instant : instant.AddMinutes(1);
    }

    [GeneratedRegex(@"^(?=\d)((?<d>\d{1,3})d)?((?<h>\d{1,4})h)?((?<m>\d{1,5})m)?$", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex DurationText();

    [GeneratedRegex(@"^(UTC|[A-Z][A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){1,2})$", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex ZoneName();

    /// <summary>From the start, which belongs to it, to the end, which does not.</summary>
    private sealed record Once(DateTimeOffset From, DateTimeOffset To) : FreezeWindow
    {
        public override DateTimeOffset? OpenUntil(DateTimeOffset now) => now >= From && now < To ? To : null;
    }

    /// <summary>
    /// Only the search forward is used. Quartz's search backward takes the second of two equal local times for the start, the one forward the first.
    /// </summary>
    private sealed record Recurring(CronExpression Starts, TimeSpan Duration) : FreezeWindow
    {
        public override DateTimeOffset? OpenUntil(DateTimeOffset now)
        {
            if (now < First || now > Last) return null;
            if (StartAfter(now - Duration) is not { } start || start > now) return null;
            // Windows may overlap. The last start lies after `low` and none after `now`: halve what is between.
            var (low, high) = (start, now);
            while (high - low > TimeSpan.FromSeconds(1))
            {
                var middle = low + (high - low) / 2;
                if (StartAfter(middle) is { } later && later <= now) (low, start) = (later, later);
                else high = middle;
            }
            return start + Duration;
        }

        private DateTimeOffset? StartAfter(DateTimeOffset instant) => Starts.GetNextValidTimeAfter(instant);
    }
}
