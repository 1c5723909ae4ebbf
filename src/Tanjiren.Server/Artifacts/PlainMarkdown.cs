using System.Text;

namespace Tanjiren.Server.Artifacts;

/// <summary>Text of others as a part of Markdown that the server writes: it stays text.</summary>
internal static class PlainMarkdown
{
    /// <summary>As one line: escaped.</summary>
    public static string Line(string text)
    {
        var escaped = new StringBuilder(text.Length);
        foreach (var c in Visible(text)) escaped.Append(c is '\\' or '`' or '*' or '_' or '[' or ']' or '<' or '>' or '|' or '#' or '!' or '&' ? "\\" + c : c.ToString());
        return escaped.ToString();
    }

    /// <summary>Without what would move a terminal's cursor or change its colours. One line stays one: its end is one of those.</summary>
    public static string Visible(string line) => new([.. line.Select(c => c == '\t' ? ' ' : char.IsControl(c) ? '\uFFFD' : c)]);
}
