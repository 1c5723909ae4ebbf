using System.Text.RegularExpressions;

namespace Tanjiren.Server.Runbooks;

/// <summary><c>{{name}}</c> in a text. Other braces (<c>{{.Names}}</c>, <c>{{7*7}}</c>) are just text.</summary>
internal static partial class Placeholders
{
    public static IEnumerable<string> In(string text) => Any().Matches(text).Select(m => m.Groups["name"].Value);

    /// <summary>The name, when the text is one placeholder and nothing else.</summary>
    public static string? Alone(string text) => Any().Match(text) is { Success: true } match && match.Length == text.Length ? match.Groups["name"].Value : null;

    /// <summary>How many characters <see cref="Fill"/> would make of it, counted without making them: a text of small placeholders grows a thousandfold.</summary>
    public static long FilledLength(string text, IReadOnlyDictionary<string, string> values) =>
        text.Length + Any().Matches(text).Sum(match => values.GetValueOrDefault(match.Groups["name"].Value) is { } value ? (long)value.Length - match.Length : 0);

    /// <summary>In one pass: a value that holds a placeholder is not looked into. A name without a value stays as it is.</summary>
    public static string Fill(string text, IReadOnlyDictionary<string, string> values) =>
        Any().Replace(text, match => values.GetValueOrDefault(match.Groups["name"].Value) ?? match.Value);

    [GeneratedRegex(@"\{\{\s*(?<name>[A-Za-z][A-Za-z0-9_]*)\s*\}\}", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Any();
}
