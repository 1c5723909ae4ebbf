using System.Globalization;

namespace Tanjiren.Server.Schedules;

/// <summary>
/// One field of a cron expression: <c>*</c>, or a list of <c>N</c>, <c>A-B</c>, <c>A-B/STEP</c> and <c>*/STEP</c>. Strict: what cron programs read differently
/// (<c>5/10</c>, <c>22-2</c>, <c>L</c>, <c>#</c>) is refused rather than guessed.
/// </summary>
internal sealed record CronField
{
    public static readonly Kind Minute = new("minute", 0, 59);
    public static readonly Kind Hour = new("hour", 0, 23);
    public static readonly Kind DayOfMonth = new("day of the month", 1, 31);
    public static readonly Kind Month = new("month", 1, 12, "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC");
    /// <summary>0 and 7 are Sunday, 1 is Monday.</summary>
    public static readonly Kind DayOfWeek = new("day of the week", 0, 7, "SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT");

    /// <summary>The field is <c>*</c>: it restricts nothing.</summary>
    public bool IsAny { get; private init; }

    /// <summary>The field begins with <c>*</c>.</summary>
    public bool IsEvery { get; private init; }

    /// <summary>Ascending, each once.</summary>
    public IReadOnlyList<int> Values { get; private init; } = [];

    /// <summary>The field, or what is wrong with it.</summary>
    public static CronField? Parse(string text, Kind kind, out string? wrong)
    {
        var values = new SortedSet<int>();
        foreach (var part in text.Split(','))
        {
            if (ParsePart(part, kind) is not var (from, to, step))
            {
                wrong = $"'{part}' is no {kind.Name}: give *, a number from {kind.Min} to {kind.Max}{(kind.Names.Length > 0 ? $" or a name ({kind.Names[0]} …)" : "")}, a range A-B that ascends, or a range with a step, A-B/N or */N";
                return null;
            }
            for (var value = from; value <= to; value += step) values.Add(value);
        }
        wrong = null;
        return new CronField { IsAny = text == "*", IsEvery = text[0] == '*', Values = [.. values] };
    }

    private static (int From, int To, int Step)? ParsePart(string part, Kind kind)
    {
        var (range, step) = part.Split('/') switch
        {
            [var whole] => (whole, 1),
            [var stepped, var every] when stepped == "*" || stepped.Contains('-') => (stepped, Number(every) ?? 0),
            _ => ("", 0),
        };
        if (step < 1 || step > kind.Max) return null;
        if (range == "*") return (kind.Min, kind.Max, step);
        return range.Split('-') switch
        {
            [var one] when Value(one, kind) is { } value => (value, value, 1),
            [var first, var last] when Value(first, kind) is { } from && Value(last, kind) is { } to && from <= to => (from, to, step),
            _ => null,
        };
    }

    private static int? Value(string text, Kind kind)
    {
        var name = Array.FindIndex(kind.Names, n => n.Equals(text, StringComparison.OrdinalIgnoreCase));
        if (name >= 0) return kind.FirstName + name;
        return Number(text) is { } number && number >= kind.Min && number <= kind.Max ? number : null;
    }

    private static int? Number(string text) =>
        text.Length <= 2 && int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null;

    /// <summary>Which of the five fields, with the numbers and names that it takes.</summary>
    internal sealed record Kind(string Name, int Min, int Max, params string[] Names)
    {
        /// <summary>The number of the first name: days count from Sunday = 0, months from January = 1.</summary>
        public int FirstName => Min;
    }
}
