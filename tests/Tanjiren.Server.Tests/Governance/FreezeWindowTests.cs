using Tanjiren.Server.Governance;

namespace Tanjiren.Server.Tests.Governance;

/// <summary>Berlin: on 2026-03-29 clocks go from 02:00 to 03:00 (01:00 UTC), on 2026-10-25 from 03:00 to 02:00 (01:00 UTC).</summary>
public sealed class FreezeWindowTests
{
    [Theory]
    // An ordinary week: Friday 18:00 in winter is 17:00 UTC, and 62 hours later it is Monday 07:00 UTC.
    [InlineData("cron: '0 18 * * 5', duration: 62h", "2026-11-20T16:59:59.999Z", null)]
    [InlineData("cron: '0 18 * * 5', duration: 62h", "2026-11-20T17:00:00Z", "2026-11-23T07:00:00Z")]
    [InlineData("cron: '0 18 * * 5', duration: 62h", "2026-11-23T06:59:59.999Z", "2026-11-23T07:00:00Z")]
    [InlineData("cron: '0 18 * * 5', duration: 62h", "2026-11-23T07:00:00Z", null)]
    // A duration is time that passes: over the change in March the same window ends at nine by the wall.
    [InlineData("cron: '0 18 * * 5', duration: 62h", "2026-03-29T12:00:00Z", "2026-03-30T07:00:00Z")]
    [InlineData("cron: '0 18 * * 5', duration: 62h", "2026-10-25T12:00:00Z", "2026-10-26T06:00:00Z")]
    // A start that is skipped is the moment of the change; one that comes twice opens both times.
    [InlineData("cron: '30 2 * * *', duration: 10m", "2026-03-29T00:59:59Z", null)]
    [InlineData("cron: '30 2 * * *', duration: 10m", "2026-03-29T01:00:00Z", "2026-03-29T01:10:00Z")]
    [InlineData("cron: '30 2 * * *', duration: 10m", "2026-10-25T00:30:00Z", "2026-10-25T00:40:00Z")]
    [InlineData("cron: '30 2 * * *', duration: 10m", "2026-10-25T01:30:00Z", "2026-10-25T01:40:00Z")]
    [InlineData("cron: '30 2 * * *', duration: 10m", "2026-10-25T01:40:00Z", null)]
    [InlineData("cron: '30 2 * * *', duration: 90m", "2026-10-25T00:45:00Z", "2026-10-25T02:00:00Z")]
    [InlineData("cron: '30 2 * * *', duration: 90m", "2026-10-25T01:45:00Z", "2026-10-25T03:00:00Z")]
    // Windows that overlap: the last end.
    [InlineData("cron: '0 * * * *', duration: 3h", "2026-11-21T12:30:00Z", "2026-11-21T15:00:00Z")]
    [InlineData("cron: '* * * * *', duration: 31d", "2026-11-21T12:30:30Z", "2026-12-22T12:30:00Z")]
    // Either of the two days, as crontab has it; Sunday is 0 and 7.
    [InlineData("cron: '0 0 13 * 5', duration: 1m", "2026-11-26T23:00:30Z", "2026-11-26T23:01:00Z")]
    [InlineData("cron: '0 0 13 * 5', duration: 1m", "2026-12-12T23:00:30Z", "2026-12-12T23:01:00Z")]
    [InlineData("cron: '0 12 * * 7', duration: 1m", "2026-11-22T11:00:30Z", "2026-11-22T11:01:00Z")]
    [InlineData("cron: '0 12 * * 0', duration: 1m", "2026-11-22T11:00:30Z", "2026-11-22T11:01:00Z")]
    [InlineData("cron: '0 12 29 2 *', duration: 1m", "2028-02-29T11:00:30Z", "2028-02-29T11:01:00Z")]
    // From and to, by the wall.
    [InlineData("from: 2026-12-19 18:00, to: 2027-01-04", "2026-12-19T16:59:59.999Z", null)]
    [InlineData("from: 2026-12-19 18:00, to: 2027-01-04", "2026-12-19T17:00:00Z", "2027-01-03T23:00:00Z")]
    [InlineData("from: 2026-12-19T18:00, to: 2027-01-04", "2027-01-03T23:00:00Z", null)]
    [InlineData("from: 2026-03-28 18:00, to: 2026-03-30 08:00", "2026-03-29T12:00:00Z", "2026-03-30T06:00:00Z")]
    // Skipped: the moment of the change, at either end.
    [InlineData("from: 2026-03-29 02:30, to: 2026-03-29 12:00", "2026-03-29T00:59:59Z", null)]
    [InlineData("from: 2026-03-29 02:30, to: 2026-03-29 12:00", "2026-03-29T01:00:00Z", "2026-03-29T10:00:00Z")]
    [InlineData("from: 2026-03-28 12:00, to: 2026-03-29 02:30", "2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z")]
    // Twice: the first at the start, the second at the end.
    [InlineData("from: 2026-10-25 02:30, to: 2026-10-25 12:00", "2026-10-25T00:30:00Z", "2026-10-25T11:00:00Z")]
    [InlineData("from: 2026-10-24 12:00, to: 2026-10-25 02:30", "2026-10-25T01:29:59Z", "2026-10-25T01:30:00Z")]
    public void A_window_in_Berlin_is_open_until(string window, string at, string? until)
    {
        var decision = Doctrines.Decide(Doctrines.Freeze("zone: Europe/Berlin, " + window), Doctrines.Case(now: DateTimeOffset.Parse(at)));
        decision.FrozenUntil.ShouldBe(until is null ? null : DateTimeOffset.Parse(until));
    }

    [Fact]
    public void Without_a_zone_a_window_is_in_UTC() =>
        Doctrines.Decide(Doctrines.Freeze("cron: '0 12 * * *', duration: 1h"), Doctrines.Case(now: Doctrines.Noon)).FrozenUntil.ShouldBe(Doctrines.Noon.AddHours(1));

    [Theory]
    [InlineData("1m", 1)]
    [InlineData("90m", 90)]
    [InlineData("62h", 62 * 60)]
    [InlineData("1d12h30m", 36 * 60 + 30)]
    [InlineData("31d", 31 * 24 * 60)]
    [InlineData("31d1m", null)]
    [InlineData("12h1d", null)]
    [InlineData("1.5h", null)]
    [InlineData("-1h", null)]
    [InlineData("h", null)]
    [InlineData("\u0661h", null)] // a digit, but none of ours
    [InlineData("", null)]
    public void A_duration_is_days_hours_and_minutes(string text, int? minutes) =>
        FreezeWindow.ParseDuration(text).ShouldBe(minutes is { } m ? TimeSpan.FromMinutes(m) : null);

    /// <summary>Half-minute by half-minute through the nights of the changes, against starts that are found by looking at the clock on the wall every minute.</summary>
    [Theory]
    [InlineData("*/20 1-3 * * *", 15, "2026-03-28T22:00:00Z")]
    [InlineData("*/20 1-3 * * *", 15, "2026-10-24T22:00:00Z")]
    [InlineData("*/20 1-3 * * *", 45, "2026-10-24T22:00:00Z")]
    [InlineData("30 2 * * *", 200, "2026-03-28T22:00:00Z")]
    [InlineData("30 2 * * *", 20, "2026-10-24T22:00:00Z")]
    [InlineData("30 2 * * *", 44640, "2026-10-24T22:00:00Z")]
    public void What_is_open_follows_from_the_clock_on_the_wall(string cron, int minutes, string night)
    {
        var berlin = TimeZoneInfo.FindSystemTimeZoneById("Europe/Berlin");
        var window = FreezeWindow.Repeated(cron, TimeSpan.FromMinutes(minutes), berlin)!;
        bool IsStart(DateTime local) => cron == "30 2 * * *" ? local is { Hour: 2, Minute: 30 } : local is { Hour: >= 1 and <= 3 } && local.Minute % 20 == 0;
        var begin = DateTimeOffset.Parse(night);
        var starts = new List<DateTimeOffset>();
        for (var at = begin.AddDays(-2); at < begin.AddDays(2); at = at.AddMinutes(1))
        {
            var local = TimeZoneInfo.ConvertTime(at, berlin).DateTime;
            // What the clock jumped over starts now.
            var skipped = TimeZoneInfo.ConvertTime(at.AddMinutes(-1), berlin).DateTime.AddMinutes(1);
            if (IsStart(local) || Enumerable.Range(0, Math.Max(0, (int)(local - skipped).TotalMinutes)).Any(minute => IsStart(skipped.AddMinutes(minute)))) starts.Add(at);
        }
        for (var now = begin; now < begin.AddHours(8); now = now.AddSeconds(30))
        {
            var open = starts.Where(s => s <= now && now < s.AddMinutes(minutes)).ToList();
            window.OpenUntil(now).ShouldBe(open.Count == 0 ? null : open[^1].AddMinutes(minutes), now.ToString("O"));
        }
    }
}
