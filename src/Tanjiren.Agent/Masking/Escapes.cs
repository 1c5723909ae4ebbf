using System.Text;

namespace Tanjiren.Agent.Masking;

/// <summary>How bytes may stand for others.</summary>
internal enum Escaping
{
    /// <summary><c>%2F</c>, in URLs (RFC 3986).</summary>
    Percent,
    /// <summary>The same, and <c>+</c> for a space: forms.</summary>
    Form,
    /// <summary><c>\n</c>, <c>\/</c>, <c>\u00e9</c>: strings of JSON (RFC 8259).</summary>
    Json,
    /// <summary>Line breaks inside base64.</summary>
    Wrapped,
}

/// <summary>Takes one escape away. Pure; what is none stands for itself.</summary>
internal static class Escapes
{
    /// <summary>Two units of JSON, for a character beyond U+FFFF.</summary>
    public const int Longest = 12;

    /// <summary>A character in UTF-8.</summary>
    public const int LongestDecoded = 4;

    private const int Incomplete = -1;
    private const int NoUnit = -2;

    /// <summary>How many bytes from the start of <paramref name="text"/> make the first <paramref name="length"/> of <paramref name="decoded"/>; 0 while it takes more text to tell.</summary>
    public static int Decode(Escaping escaping, ReadOnlySpan<byte> text, bool ended, Span<byte> decoded, out int length) =>
        escaping == Escaping.Json ? Json(text, ended, decoded, out length) : Percent(text, escaping == Escaping.Form, ended, decoded, out length);

    /// <summary>A string of JSON without its escapes; half of a surrogate pair becomes U+FFFD, for which no reader throws.</summary>
    public static string JsonText(ReadOnlySpan<byte> text)
    {
        var plain = new byte[text.Length];
        var written = 0;
        Span<byte> decoded = stackalloc byte[LongestDecoded];
        while (text.Length > 0)
        {
            text = text[Json(text, ended: true, decoded, out var length)..];
            decoded[..length].CopyTo(plain.AsSpan(written));
            written += length;
        }
        return Encoding.UTF8.GetString(plain, 0, written);
    }

    private static int Percent(ReadOnlySpan<byte> text, bool isForm, bool ended, Span<byte> decoded, out int length)
    {
        length = 1;
        decoded[0] = isForm && text[0] == '+' ? (byte)' ' : text[0];
        if (text[0] != '%' || text.Length > 1 && !IsHex(text[1]) || text.Length > 2 && !IsHex(text[2])) return 1;
        if (text.Length < 3) return ended ? 1 : 0;
        decoded[0] = (byte)(HexOf(text[1]) << 4 | HexOf(text[2]));
        return 3;
    }

    private static int Json(ReadOnlySpan<byte> text, bool ended, Span<byte> decoded, out int length)
    {
        length = 1;
        decoded[0] = text[0];
        if (text[0] != '\\') return 1;
        if (text.Length == 1) return ended ? 1 : 0;
        if (text[1] != 'u')
        {
            var simple = "\"\\/bfnrt"u8.IndexOf(text[1]);
            if (simple < 0) return 1;
            decoded[0] = "\"\\/\b\f\n\r\t"u8[simple];
            return 2;
        }
        var unit = UnitOf(text);
        if (unit == Incomplete) return ended ? 1 : 0;
        if (unit == NoUnit) return 1;
        if (!char.IsHighSurrogate((char)unit))
        {
            length = (Rune.TryCreate((char)unit, out var rune) ? rune : Rune.ReplacementChar).EncodeToUtf8(decoded);
            return 6;
        }
        var low = UnitOf(text[6..]);
        if (low == Incomplete && !ended) return 0;
        var isPair = low >= 0 && char.IsLowSurrogate((char)low);
        length = (isPair ? new Rune((char)unit, (char)low) : Rune.ReplacementChar).EncodeToUtf8(decoded);
        return isPair ? 12 : 6;
    }

    /// <summary>The UTF-16 unit that <c>\uXXXX</c> names.</summary>
    private static int UnitOf(ReadOnlySpan<byte> text)
    {
        var unit = 0;
        for (var i = 0; i < 6; i++)
        {
            if (i == text.Length) return Incomplete;
            if (i == 0 ? text[i] != '\\' : i == 1 ? text[i] != 'u' : !IsHex(text[i])) return NoUnit;
            if (i > 1) unit = unit << 4 | HexOf(text[i]);
        }
        return unit;
    }

    private static bool IsHex(byte b) => char.IsAsciiHexDigit((char)b);

    private static int HexOf(byte b) => b <= '9' ? b - '0' : (b | 0x20) - 'a' + 10;
}
