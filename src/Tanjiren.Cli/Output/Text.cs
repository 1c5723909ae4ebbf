using System.Text;

namespace Tanjiren.Cli.Output;

/// <summary>Words for people.</summary>
internal static class Text
{
    /// <summary>
    /// Text that somebody else chose, made harmless for a terminal: an intent or a name with escape sequences could otherwise repaint the screen of
    /// whoever lists it.
    /// </summary>
    public static string Safe(string? text)
    {
        if (string.IsNullOrEmpty(text)) return "";
        if (!text.AsSpan().ContainsAnyInRange('\0', '\x1f') && !text.AsSpan().ContainsAnyInRange('\x7f', '\x9f')) return text;
        var safe = new StringBuilder(text.Length);
        foreach (var c in text) safe.Append(char.IsControl(c) ? (c is '\n' or '\t' or '\r' ? ' ' : '\uFFFD') : c);
        return safe.ToString();
    }

    public static string Shorten(string text, int length) => text.Length <= length ? text : text[..(length - 1)] + "…";

    /// <summary><c>850 ms</c>, <c>12 s</c>, <c>3 min 5 s</c>, <c>2 h 10 min</c>, <c>3 d 4 h</c>.</summary>
    public static string Duration(TimeSpan span) => span switch
    {
        { Ticks: < 0 } => "0 s",
        { TotalSeconds: < 1 } => $"{span.TotalMilliseconds:0} ms",
        { TotalSeconds: < 10 } => $"{span.TotalSeconds:0.0} s",
        { TotalMinutes: < 1 } => $"{(int)span.TotalSeconds} s",
        { TotalHours: < 1 } => Parts((int)span.TotalMinutes, "min", span.Seconds, "s"),
        { TotalDays: < 1 } => Parts((int)span.TotalHours, "h", span.Minutes, "min"),
        _ => Parts((int)span.TotalDays, "d", span.Hours, "h"),
    };

    public static string Ago(DateTimeOffset? then, DateTimeOffset now) => then is { } t ? Duration(now - t) + " ago" : "never";

    /// <summary>Local time with its offset; a job's page is read beside the machine's own logs.</summary>
    public static string Instant(DateTimeOffset? instant, TimeProvider clock) =>
        instant is { } t ? TimeZoneInfo.ConvertTime(t, clock.LocalTimeZone).ToString("yyyy-MM-dd HH:mm:ss zzz") : "-";

    public static string Bytes(long count) => count switch
    {
        < 1024 => $"{count} B",
        < 1024 * 1024 => $"{count / 1024.0:0.0} KiB",
        < 1024 * 1024 * 1024 => $"{count / (1024.0 * 1024):0.0} MiB",
        _ => $"{count / (1024.0 * 1024 * 1024):0.00} GiB",
    };

    /// <summary>An argument vector as one would type it into a POSIX shell.</summary>
    public static string CommandLine(IEnumerable<string> argv) => string.Join(' ', argv.Select(Quote));

    private static string Quote(string word) =>
        word.Length > 0 && word.All(c => char.IsAsciiLetterOrDigit(c) || "-_./:=@%+,".Contains(c)) ? word : $"'{word.Replace("'", "'\\''")}'";

    private static string Parts(int whole, string unit, int rest, string smaller) =>
        rest == 0 ? $"{whole} {unit}" : $"{whole} {unit} {rest} {smaller}";
}
