using System.Globalization;

namespace Tanjiren.Server.Tests.Schedules;

/// <summary>
/// Random expressions against an oracle that knows nothing of calendars: it walks minute by minute and asks the zone what its clock shows. Set
/// <c>TANJIREN_CRON_SEED</c> to repeat a run.
/// </summary>
public sealed class CronOracleTests
{
    private const int Expressions = 200;
    private static readonly TimeSpan Window = TimeSpan.FromHours(60);
    private static readonly TimeSpan Minute = TimeSpan.FromMinutes(1);

    /// <summary>A zone and the day before its clock is put forward or back; the last ones have no change, or changes of another kind.</summary>
    private static readonly (string Zone, string From)[] Places =
    [
        ("Europe/Berlin", "2026-03-28"), ("Europe/Berlin", "2026-10-24"), ("America/New_York", "2026-03-07"), ("America/New_York", "2026-10-31"),
        ("Australia/Lord_Howe", "2026-04-03"), ("Australia/Lord_Howe", "2026-10-02"), ("UTC", "2026-02-27"), ("Asia/Kathmandu", "2027-12-30"),
        ("America/Santiago", "2026-04-03"), ("America/Santiago", "2026-09-05"), ("Africa/Casablanca", "2026-02-14"), ("Pacific/Chatham", "2026-09-25"),
    ];

    [Fact]
    public void Next_runs_rise_strictly_and_are_those_of_a_naive_walk()
    {
        var seed = int.TryParse(Environment.GetEnvironmentVariable("TANJIREN_CRON_SEED"), out var given) ? given : Random.Shared.Next(1_000_000);
        var random = new Random(seed);
        var ticks = 0;
        for (var i = 0; i < Expressions; i++)
        {
            var (zoneName, day) = Places[random.Next(Places.Length)];
            var start = DateTimeOffset.Parse(day + "T00:00:00Z", CultureInfo.InvariantCulture).AddMinutes(random.Next(600));
            Field[] fields;
            do fields = RandomFields(random, start);
            while (NeverComes(fields));
            var text = string.Join(' ', fields.Select(f => f.Text));
            var what = $"'{text}' in {zoneName} from {start:o} (TANJIREN_CRON_SEED={seed})";
            var expected = Walk(fields, TimeZoneInfo.FindSystemTimeZoneById(zoneName), start);

            var cron = CronScheduleTests.Parse(text, zoneName);
            List<DateTimeOffset> actual = [];
            for (var next = cron.Next(start); next <= start + Window; next = cron.Next(next.Value))
            {
                if (actual.Count > 0) next.Value.ShouldBeGreaterThan(actual[^1], what);
                actual.Add(next.Value);
            }
            actual.ShouldBe(expected, what);
            // From anywhere between two ticks the next is the same.
            if (expected.Count > 0) cron.Next(expected[0].AddSeconds(-random.Next(1, 60))).ShouldBe(expected[0], what);
            ticks += expected.Count;
        }
        ticks.ShouldBeGreaterThan(Expressions, "the oracle saw next to nothing");
    }

    private static List<DateTimeOffset> Walk(Field[] fields, TimeZoneInfo zone, DateTimeOffset start)
    {
        var atIntervals = fields[0].Text[0] == '*' || fields[1].Text[0] == '*';
        DateTime Shown(DateTimeOffset at) => at.UtcDateTime + zone.GetUtcOffset(at);
        List<DateTimeOffset> ticks = [];
        for (var at = start + Minute; at <= start + Window; at += Minute)
        {
            var shown = Shown(at);
            var runs = Matches(fields, shown) && (atIntervals || !Enumerable.Range(1, 180).Any(back => Shown(at - back * Minute) == shown));
            if (!atIntervals)
                for (var skipped = Shown(at - Minute) + Minute; skipped < shown && !runs; skipped += Minute) runs = Matches(fields, skipped);
            if (runs) ticks.Add(at);
        }
        return ticks;
    }

    /// <summary>Which is refused, and no question for an oracle.</summary>
    private static bool NeverComes(Field[] fields) => fields[4].Text == "*"
        && !Enumerable.Range(1, 12).Any(month => fields[3].Has(month) && Enumerable.Range(1, DateTime.DaysInMonth(2000, month)).Any(fields[2].Has));

    private static bool Matches(Field[] fields, DateTime shown)
    {
        var (day, weekday) = (fields[2].Has(shown.Day), fields[4].Has((int)shown.DayOfWeek) || shown.DayOfWeek == DayOfWeek.Sunday && fields[4].Has(7));
        return fields[0].Has(shown.Minute) && fields[1].Has(shown.Hour) && fields[3].Has(shown.Month)
            && (fields[2].Text == "*" || fields[4].Text == "*" ? day && weekday : day || weekday);
    }

    /// <summary>Often about the day in question: an expression for another month has nothing to show.</summary>
    private static Field[] RandomFields(Random random, DateTimeOffset near) =>
    [
        RandomField(random, 0, 59, null), RandomField(random, 0, 23, random.Next(3)),
        random.Next(2) == 0 ? Field.Any : RandomField(random, 1, 31, near.Day + 1 <= 28 ? near.Day + 1 : 28), random.Next(3) == 0 ? RandomField(random, 1, 12, near.Month) : Field.Any,
        random.Next(2) == 0 ? Field.Any : RandomField(random, 0, 7, 0),
    ];

    private static Field RandomField(Random random, int min, int max, int? likely)
    {
        var parts = Enumerable.Range(0, random.Next(4) == 0 ? 2 : 1).Select(_ => RandomPart(random, min, max, likely)).ToList();
        return new Field(string.Join(',', parts.Select(p => p.Text)), value => parts.Any(p => p.Has(value)));
    }

    private static Field RandomPart(Random random, int min, int max, int? likely)
    {
        var step = random.Next(1, Math.Min(max, 20) + 1);
        var from = random.Next(min, max + 1);
        var to = random.Next(from, max + 1);
        return random.Next(6) switch
        {
            0 => Field.Any,
            1 => new Field($"*/{step}", value => (value - min) % step == 0),
            2 => new Field($"{from}-{to}", value => value >= from && value <= to),
            3 => new Field($"{from}-{to}/{step}", value => value >= from && value <= to && (value - from) % step == 0),
            4 when likely is { } value => new Field($"{value}", v => v == value),
            _ => new Field($"{from}", v => v == from),
        };
    }

    private sealed record Field(string Text, Func<int, bool> Has)
    {
        public static readonly Field Any = new("*", _ => true);
    }
}
