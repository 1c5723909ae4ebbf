using System.Globalization;
using System.Text.RegularExpressions;
using Quartz;

namespace Tanjiren.Server.Governance;

/// <summary>
/// A time in which nothing (or nothing that matches) starts. Where clocks change: a local time that is skipped means the moment at which they went forward; of one that
/// comes twice, <c>from</c> means the first and <c>to</c> the second, and a cron start opens both times: a window covers all that its words could mean. A duration is
/// time that passes, not what a clock on the wall shows: 62 hours over a change of the clocks end an hour earlier or later by that clock.
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
        if (!CronText().IsMatch(cron) || !CronExpression.TryParse(cron, CronFormat.Unix, out var expression)) return null;
        var starts = expression.WithTimeZone(TimeZoneInfo.Utc);
        return NextLocal(starts, First.DateTime) is null ? null : new Recurring(starts, duration, zone);
    }

    /// <summary>Local times of the zone; null when the end is not after the start.</summary>
    public static FreezeWindow? Between(DateTime from, DateTime to, TimeZoneInfo zone)
    {
        var once = new Once(Instant(from, zone, first: true), Instant(to, zone, first: false));
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

    private static DateTime? NextLocal(CronExpression starts, DateTime local) => starts.GetNextValidTimeAfter(new DateTimeOffset(local, TimeSpan.Zero))?.DateTime;

    /// <summary>What a local time means: of two moments the first or the second, of none the one at which the clocks went forward over it.</summary>
    private static DateTimeOffset Instant(DateTime local, TimeZoneInfo zone, bool first)
    {
        if (zone.IsAmbiguousTime(local))
        {
            var offsets = zone.GetAmbiguousTimeOffsets(local);
            return new DateTimeOffset(local, first ? offsets.Max() : offsets.Min());
        }
        var existing = local;
        while (zone.IsInvalidTime(existing)) existing = existing.AddMinutes(-1);
        var instant = new DateTimeOffset(existing, zone.GetUtcOffset(existing));
        return existing == local ? instant : instant.AddMinutes(1);
    }

    [GeneratedRegex(@"^(?=[0-9])((?<d>[0-9]{1,3})d)?((?<h>[0-9]{1,4})h)?((?<m>[0-9]{1,5})m)?$", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex DurationText();

    /// <summary>
    /// What crontab(5) knows, and no more: Quartz also takes a lone comma or a number of twenty digits, and then searches for seconds or fails at the end of the calendar.
    /// </summary>
    [GeneratedRegex(@"^[ \t]*((\*|([0-9]{1,2}|[A-Za-z]{3})(-([0-9]{1,2}|[A-Za-z]{3}))?)(/[0-9]{1,2})?(,(?=[^ \t])|[ \t]+|$)){5,}$", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex CronText();

    [GeneratedRegex(@"^(UTC|[A-Z][A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){1,2})$", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex ZoneName();

    /// <summary>From the start, which belongs to it, to the end, which does not.</summary>
    private sealed record Once(DateTimeOffset From, DateTimeOffset To) : FreezeWindow
    {
        public override DateTimeOffset? OpenUntil(DateTimeOffset now) => now >= From && now < To ? To : null;
    }

    /// <summary>
    /// Quartz is asked as if clocks were never changed, and what a local time means is decided here: asked in a zone it answers one way before a doubled hour and
    /// another within it.
    /// </summary>
    private sealed record Recurring(CronExpression LocalStarts, TimeSpan Duration, TimeZoneInfo Zone) : FreezeWindow
    {
        /// <summary>More than any zone is from UTC and any change of clocks together; Samoa once left out a day.</summary>
        private static readonly TimeSpan Margin = TimeSpan.FromHours(40);

        /// <summary>
        /// The answer for the minute that was asked about last, for every task of that minute: windows start and end with a minute, in every zone since <see cref="First"/>.
        /// Searched for each task, four windows took longer than two hundred patterns.
        /// </summary>
        private Answer? _answer;

        public override DateTimeOffset? OpenUntil(DateTimeOffset now)
        {
            if (now < First || now > Last) return null;
            var minute = now.UtcTicks / TimeSpan.TicksPerMinute;
            if (_answer is not { } known || known.Minute != minute) _answer = known = new Answer(minute, Search(now));
            return known.Until;
        }

        private DateTimeOffset? Search(DateTimeOffset now)
        {
            var (first, second) = (LastStart(now, first: true), LastStart(now, first: false));
            var end = (first > second ? first : second ?? first) + Duration;
            return end > now ? end : null;
        }

        /// <summary>The last start that is not after this moment. A later local time never means an earlier moment, so what is left can be halved.</summary>
        private DateTimeOffset? LastStart(DateTimeOffset now, bool first)
        {
            var (low, high) = (now.UtcDateTime - Duration - Margin, now.UtcDateTime + Margin);
            DateTimeOffset? last = null;
            for (var probe = low; high - low >= TimeSpan.FromMinutes(1); probe = low + (high - low) / 2)
            {
                if (NextLocal(LocalStarts, probe) is { } local && Instant(local, Zone, first) is var start && start <= now) (low, last) = (local, start);
                else if (last is null) return null;
                else high = probe;
            }
            return last;
        }

        /// <summary>Never changed, so whoever reads it while another thread puts the next one in its place reads one whole.</summary>
        private sealed record Answer(long Minute, DateTimeOffset? Until);
    }
}
