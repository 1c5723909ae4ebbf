namespace Tanjiren.Agent.CodingAgents;

/// <summary>
/// Shortens text, between words where there are any: what is masked on its way out is found as a whole only, so a cut must not leave the first half of it.
/// </summary>
internal static class TextCut
{
    /// <summary>How far back a space is looked for; text without one for so long has no words.</summary>
    private const int Back = 1000;

    /// <summary>The beginning, at most <paramref name="longest"/> characters, and no half of one.</summary>
    public static string Keep(string text, int longest)
    {
        if (text.Length <= longest) return text;
        for (var end = longest; end > Math.Max(0, longest - Back); end--)
            if (char.IsWhiteSpace(text[end])) return text[..end];
        return text[..(longest > 0 && char.IsHighSurrogate(text[longest - 1]) ? longest - 1 : longest)];
    }

    /// <summary>The end of text that was cut at its beginning: from the first whole word on.</summary>
    public static string WholeWords(string text)
    {
        var start = 0;
        while (start < Math.Min(text.Length, Back) && !char.IsWhiteSpace(text[start])) start++;
        return start == Math.Min(text.Length, Back) ? text : text[start..];
    }
}
