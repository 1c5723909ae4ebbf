using System.Globalization;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Schedules;

namespace Tanjiren.Server.Tests.Schedules;

public sealed class CronScheduleTests
{
    [Theory]
    [InlineData("*/15 * * * *", "2026-03-02T10:07:00Z", "2026-03-02T10:15:00Z")]
    [InlineData("0 9-17/4 * * *", "2026-03-02T13:00:00Z", "2026-03-02T17:00:00Z")]
    [InlineData(" 5,35\t8  1 JAN,jul * ", "2026-03-02T10:07:00Z", "2026-07-01T08:05:00Z")]
    [InlineData("0 0 29 2 *", "2026-03-02T10:07:00Z", "2028-02-29T00:00:00Z")]
    [InlineData("* * * * *", "2026-03-02T10:07:59.999Z", "2026-03-02T10:08:00Z")]
    [InlineData("@hourly", "2026-03-02T10:07:00Z", "2026-03-02T11:00:00Z")]
    [InlineData("@daily", "2026-03-02T10:07:00Z", "2026-03-03T00:00:00Z")]
    [InlineData("@weekly", "2026-03-02T10:07:00Z", "2026-03-08T00:00:00Z")]
    [InlineData("@monthly", "2026-03-02T10:07:00Z", "2026-04-01T00:00:00Z")]
    [InlineData("@YEARLY", "2026-03-02T10:07:00Z", "2027-01-01T00:00:00Z")]
    public void The_next_tick_is_the_first_after_an_instant(string cron, string after, string expected) => Next(cron, "UTC", after).ShouldBe([At(expected)]);

    /// <summary>2026-03-02 is a Monday.</summary>
    [Theory]
    [InlineData("0", "2026-03-08")]
    [InlineData("7", "2026-03-08")]
    [InlineData("SUN", "2026-03-08")]
    [InlineData("1", "2026-03-09")]
    [InlineData("mon", "2026-03-09")]
    [InlineData("6", "2026-03-07")]
    [InlineData("5-7", "2026-03-06 2026-03-07 2026-03-08 2026-03-13")]
    [InlineData("0-1", "2026-03-08 2026-03-09 2026-03-15")]
    public void Days_of_the_week_count_from_Sunday_as_0_and_7(string weekday, string expected) =>
        Next($"0 0 * * {weekday}", "UTC", "2026-03-02T10:00:00Z", expected.Split(' ').Length).Select(t => t.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture)).ShouldBe(expected.Split(' '));

    [Fact]
    public void With_both_days_given_either_is_enough() => Next("0 0 13 * 5", "UTC", "2026-04-01T10:00:00Z", 5)
        .Select(t => t.Day).ShouldBe([3, 10, 13, 17, 24], "Fridays, and the 13th, which is a Monday in April");

    [Fact]
    public void A_day_field_that_is_a_star_is_not_given() => Next("0 0 */31 * 1", "UTC", "2026-03-02T10:00:00Z", 3).Select(t => t.Day).ShouldBe([9, 16, 23], "*/31 is the 1st, and given: 1 April comes later");

    [Theory]
    [InlineData("")]
    [InlineData("* * * *")]
    [InlineData("* * * * * *")]
    [InlineData("60 * * * *")]
    [InlineData("* 24 * * *")]
    [InlineData("* * 0 * *")]
    [InlineData("* * 32 * *")]
    [InlineData("* * * 13 *")]
    [InlineData("* * * * 8")]
    [InlineData("* * * * MO")]
    [InlineData("5/10 * * * *")]
    [InlineData("22-2 * * * *")]
    [InlineData("*/0 * * * *")]
    [InlineData("*/60 * * * *")]
    [InlineData("1-5/-1 * * * *")]
    [InlineData("1,,2 * * * *")]
    [InlineData("? * * * *")]
    [InlineData("* * L * *")]
    [InlineData("* * 15W * *")]
    [InlineData("* * * * 5#2")]
    [InlineData("+5 * * * *")]
    [InlineData("005 * * * *")]
    [InlineData("٣ * * * *")]
    [InlineData("0 0 30 2 *")]
    [InlineData("0 0 31 4,6,9,11 *")]
    [InlineData("@reboot")]
    [InlineData("@")]
    public void What_cron_programs_read_differently_or_never_is_refused(string cron)
    {
        var errors = new FieldErrors();
        CronSchedule.Parse(cron, "UTC", errors).ShouldBeNull();
        errors.ToProblem().Value.Errors!.Keys.ShouldBe(["cron"]);
    }

    [Theory]
    [InlineData("")]
    [InlineData("Europe/Atlantis")]
    [InlineData("W. Europe Standard Time")]
    [InlineData("../../etc/localtime")]
    [InlineData("/usr/share/zoneinfo/UTC")]
    [InlineData("Europe/Berlin\n")]
    public void A_zone_is_named_by_IANA_or_refused(string zone)
    {
        var errors = new FieldErrors();
        CronSchedule.Parse("* * * * *", zone, errors).ShouldBeNull();
        errors.ToProblem().Value.Errors!.Keys.ShouldBe(["timeZone"]);
    }

    /// <summary>Each zone at a clock put forward and back. A time of day that does not exist runs at the end of the gap, one that comes twice runs the first time.</summary>
    [Theory]
    [InlineData("Europe/Berlin", "30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z 2026-03-30T00:30:00Z")]
    [InlineData("Europe/Berlin", "0 3 * * *", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z 2026-03-30T01:00:00Z")]
    [InlineData("Europe/Berlin", "15,45 2-3 * * *", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z 2026-03-29T01:15:00Z 2026-03-29T01:45:00Z 2026-03-30T00:15:00Z")]
    [InlineData("Europe/Berlin", "30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z 2026-10-26T01:30:00Z")]
    [InlineData("Europe/Berlin", "30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z")]
    [InlineData("America/New_York", "30 2 * * *", "2026-03-07T12:00:00Z", "2026-03-08T07:00:00Z 2026-03-09T06:30:00Z")]
    [InlineData("America/New_York", "30 1 * * *", "2026-10-31T12:00:00Z", "2026-11-01T05:30:00Z 2026-11-02T06:30:00Z")]
    [InlineData("Australia/Lord_Howe", "15 2 * * *", "2026-10-03T00:00:00Z", "2026-10-03T15:30:00Z 2026-10-04T15:15:00Z")]
    [InlineData("Australia/Lord_Howe", "45 1 * * *", "2026-04-04T00:00:00Z", "2026-04-04T14:45:00Z 2026-04-05T15:15:00Z")]
    public void A_time_of_day_runs_once_on_every_day(string zone, string cron, string after, string expected) =>
        Next(cron, zone, after, expected.Split(' ').Length).ShouldBe(expected.Split(' ').Select(At));

    /// <summary>Where minutes or hours begin with a star the pace is what counts: nothing runs in the gap, and both of a time that comes twice do.</summary>
    [Theory]
    [InlineData("Europe/Berlin", "30 * * * *", "2026-03-28T23:31:00Z", "2026-03-29T00:30:00Z 2026-03-29T01:30:00Z 2026-03-29T02:30:00Z")]
    [InlineData("Europe/Berlin", "30 * * * *", "2026-10-24T23:31:00Z", "2026-10-25T00:30:00Z 2026-10-25T01:30:00Z 2026-10-25T02:30:00Z")]
    [InlineData("Europe/Berlin", "*/30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-30T00:00:00Z 2026-03-30T00:30:00Z")]
    [InlineData("Europe/Berlin", "*/30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T00:00:00Z 2026-10-25T00:30:00Z 2026-10-25T01:00:00Z 2026-10-25T01:30:00Z 2026-10-26T01:00:00Z")]
    [InlineData("America/New_York", "0 */2 * * *", "2026-03-08T04:00:00Z", "2026-03-08T05:00:00Z 2026-03-08T08:00:00Z")]
    [InlineData("America/New_York", "0 */1 * * *", "2026-11-01T04:59:00Z", "2026-11-01T05:00:00Z 2026-11-01T06:00:00Z 2026-11-01T07:00:00Z")]
    [InlineData("Australia/Lord_Howe", "*/20 * * * *", "2026-10-03T14:55:00Z", "2026-10-03T15:10:00Z 2026-10-03T15:40:00Z 2026-10-03T16:00:00Z")]
    [InlineData("Australia/Lord_Howe", "45 * * * *", "2026-04-04T14:44:00Z", "2026-04-04T14:45:00Z 2026-04-04T15:15:00Z 2026-04-04T16:15:00Z")]
    public void An_interval_keeps_its_pace(string zone, string cron, string after, string expected) =>
        Next(cron, zone, after, expected.Split(' ').Length).ShouldBe(expected.Split(' ').Select(At));

    [Fact]
    public void The_local_time_of_a_tick_has_its_offset()
    {
        var cron = Parse("30 2 * * *", "Europe/Berlin");
        cron.ToLocal(At("2026-03-29T01:00:00Z")).ShouldBe("2026-03-29T03:00:00+02:00");
        Parse("0 0 * * *", "America/New_York").ToLocal(At("2026-01-01T05:00:00Z")).ShouldBe("2026-01-01T00:00:00-05:00");
    }

    [Theory]
    [InlineData("* * * * *", "2026-03-02T10:07:30Z", "2026-03-02T10:07:00Z")]
    [InlineData("0 4 * * *", "2026-03-02T03:07:30Z", "2026-03-01T04:00:00Z")]
    [InlineData("0 0 1 1 *", "2026-03-02T03:07:30Z", "2026-01-01T00:00:00Z")]
    [InlineData("0 0 29 2 *", "2026-03-02T03:07:30Z", null)]
    public void The_latest_tick_is_found_within_a_year(string cron, string upTo, string? expected) =>
        Parse(cron, "UTC").Latest(At(upTo)).ShouldBe(expected is null ? null : At(expected));

    internal static CronSchedule Parse(string cron, string zone)
    {
        var errors = new FieldErrors();
        return CronSchedule.Parse(cron, zone, errors).ShouldNotBeNull($"{cron} {zone}: {errors.ToProblem().Value.Detail}");
    }

    private static List<DateTimeOffset> Next(string cron, string zone, string after, int count = 1)
    {
        var schedule = Parse(cron, zone);
        List<DateTimeOffset> ticks = [];
        for (var next = schedule.Next(At(after)); ticks.Count < count; next = schedule.Next(next.Value)) ticks.Add(next.ShouldNotBeNull());
        return ticks;
    }

    private static DateTimeOffset At(string text) => DateTimeOffset.Parse(text, CultureInfo.InvariantCulture);
}
