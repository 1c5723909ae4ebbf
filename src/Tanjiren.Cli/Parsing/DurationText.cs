namespace Tanjiren.Cli.Parsing;

internal static class DurationText
{
    /// <summary>Whole seconds of <c>90</c>, <c>90s</c>, <c>15m</c>, <c>2h</c>, <c>1d</c>; null for anything else.</summary>
    public static long? Seconds(string text)
    {
        var unit = text.Length == 0 ? '\0' : text[^1];
        long factor = unit switch { 's' => 1, 'm' => 60, 'h' => 3600, 'd' => 86_400, _ => 0 };
        var digits = factor == 0 ? text : text[..^1];
        return uint.TryParse(digits, System.Globalization.NumberStyles.None, null, out var number) ? number * Math.Max(factor, 1) : null;
    }
}
