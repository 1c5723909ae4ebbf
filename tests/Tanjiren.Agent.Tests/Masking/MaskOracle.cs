using System.Text;
using System.Text.RegularExpressions;

namespace Tanjiren.Agent.Tests.Masking;

/// <summary>What must become of a whole text, by search of every form in every reading of it: slow, without state, and of no code of the product.</summary>
internal static partial class MaskOracle
{
    private const int LeastBeforeBreak = 8;

    public static byte[] Expected(byte[] text, IReadOnlyList<string> secrets)
    {
        var parts = secrets.SelectMany(s => s.Split('\r', '\n').Where(line => line.Length >= 6).Append(s)).Distinct().Select(s => Encoding.UTF8.GetBytes(s)).ToList();
        var base64 = parts.SelectMany(Base64).DistinctBy(form => Convert.ToHexString(form)).ToList();
        var all = parts.Concat(base64).ToList();
        var latin = Encoding.Latin1.GetString(text);
        var hidden = new List<(int Start, int End)>();
        Find(new View([.. text], [.. Enumerable.Range(0, text.Length)], [.. Enumerable.Range(1, text.Length)]), all, hidden);
        Find(Decoded(latin, PercentEscape().Matches(latin), OfPercent), all, hidden);
        if (secrets.Any(s => s.Contains(' '))) Find(Decoded(latin, FormEscape().Matches(latin), OfPercent), all, hidden);
        Find(Decoded(latin, JsonEscape().Matches(latin), OfJson), all, hidden);
        Find(Unwrapped(text, base64), base64, hidden);
        return Written(text, hidden);
    }

    private sealed record View(List<byte> Symbols, List<int> Starts, List<int> Ends);

    private static void Find(View view, List<byte[]> patterns, List<(int Start, int End)> hidden)
    {
        var symbols = view.Symbols.ToArray();
        foreach (var pattern in patterns)
        {
            for (var at = 0; ; at++)
            {
                var found = symbols.AsSpan(at).IndexOf(pattern);
                if (found < 0) break;
                at += found;
                hidden.Add((view.Starts[at], view.Ends[at + pattern.Length - 1]));
            }
        }
    }

    private static View Decoded(string latin, MatchCollection escapes, Func<string, byte[]> decode)
    {
        var view = new View([], [], []);
        var at = 0;
        foreach (Match escape in escapes)
        {
            for (; at < escape.Index; at++) Add(view, (byte)latin[at], at, at + 1);
            foreach (var b in decode(escape.Value)) Add(view, b, at, at + escape.Length);
            at += escape.Length;
        }
        for (; at < latin.Length; at++) Add(view, (byte)latin[at], at, at + 1);
        return view;
    }

    /// <summary>Up to two line breaks at a place where at least so many characters of base64 of a secret stand before them are as if they were not there.</summary>
    private static View Unwrapped(byte[] text, List<byte[]> base64)
    {
        var view = new View([], [], []);
        var breaks = 0;
        for (var at = 0; at < text.Length; at++)
        {
            if (text[at] is (byte)'\r' or (byte)'\n' && breaks < 2 && EndsInside(view.Symbols, base64)) breaks++;
            else
            {
                breaks = 0;
                Add(view, text[at], at, at + 1);
            }
        }
        return view;
    }

    private static bool EndsInside(List<byte> symbols, List<byte[]> base64)
    {
        var text = System.Runtime.InteropServices.CollectionsMarshal.AsSpan(symbols);
        foreach (var pattern in base64.Where(p => p.Length >= LeastBeforeBreak))
        {
            // The rest of the text from wherever the pattern's least beginning stands, and near enough for all of it to be of the pattern.
            ReadOnlySpan<byte> least = pattern.AsSpan(0, LeastBeforeBreak), rest = text[^Math.Min(pattern.Length, text.Length)..];
            while (rest.IndexOf(least) is var at and >= 0)
            {
                rest = rest[at..];
                if (pattern.AsSpan().StartsWith(rest)) return true;
                rest = rest[1..];
            }
        }
        return false;
    }

    private static void Add(View view, byte b, int start, int end)
    {
        view.Symbols.Add(b);
        view.Starts.Add(start);
        view.Ends.Add(end);
    }

    /// <summary>The characters that stay the same whatever stands around the value, and those to the end of the text.</summary>
    private static IEnumerable<byte[]> Base64(byte[] value)
    {
        for (var offset = 0; offset < 3; offset++)
        {
            var zeros = Convert.ToBase64String([.. new byte[offset], .. value, 0, 0, 0]);
            var ones = Convert.ToBase64String([.. Enumerable.Repeat((byte)0xFF, offset), .. value, 0xFF, 0xFF, 0xFF]);
            var from = 0;
            while (zeros[from] != ones[from]) from++;
            var to = from;
            while (to < zeros.Length && zeros[to] == ones[to]) to++;
            var last = Convert.ToBase64String([.. new byte[offset], .. value])[from..];
            foreach (var form in new[] { zeros[from..to], last, last.TrimEnd('=') })
            {
                yield return Encoding.ASCII.GetBytes(form);
                yield return Encoding.ASCII.GetBytes(form.Replace('+', '-').Replace('/', '_'));
            }
        }
    }

    private static byte[] OfPercent(string escape) => escape == "+" ? " "u8.ToArray() : [Convert.ToByte(escape[1..], 16)];

    private static byte[] OfJson(string escape) => Encoding.UTF8.GetBytes(escape[1] == 'u'
        ? new string([.. escape.Split("\\u", StringSplitOptions.RemoveEmptyEntries).Select(unit => (char)Convert.ToUInt16(unit, 16))])
        : escape[1] switch { 'b' => "\b", 'f' => "\f", 'n' => "\n", 'r' => "\r", 't' => "\t", var itself => itself.ToString() });

    private static byte[] Written(byte[] text, List<(int Start, int End)> hidden)
    {
        var (written, at, until) = (new List<byte>(), 0, 0);
        foreach (var (start, end) in hidden.OrderBy(h => h.Start).ThenByDescending(h => h.End))
        {
            if (start >= until)
            {
                written.AddRange(text[at..start]);
                written.AddRange("[masked]"u8);
            }
            until = Math.Max(until, end);
            at = until;
        }
        written.AddRange(text[at..]);
        return [.. written];
    }

    [GeneratedRegex("%[0-9A-Fa-f]{2}", RegexOptions.ExplicitCapture, 10_000)]
    private static partial Regex PercentEscape();

    [GeneratedRegex(@"%[0-9A-Fa-f]{2}|\+", RegexOptions.ExplicitCapture, 10_000)]
    private static partial Regex FormEscape();

    [GeneratedRegex(@"\\([""\\/bfnrt]|u[dD][89abAB][0-9A-Fa-f]{2}\\u[dD][c-fC-F][0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4})", RegexOptions.ExplicitCapture, 10_000)]
    private static partial Regex JsonEscape();
}
