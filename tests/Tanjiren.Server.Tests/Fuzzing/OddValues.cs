using System.Text;

namespace Tanjiren.Server.Tests.Fuzzing;

/// <summary>Values that programs trip over. Text for JSON is JSON text; for URLs it is escaped already.</summary>
internal static class OddValues
{
    public static readonly string[] Numbers =
    [
        "0", "-1", "1", "2", "60", "61", "-9223372036854775808", "9223372036854775807", "9223372036854775808", "2147483647", "2147483648", "-2147483649", "4294967296",
        "1e400", "-1e400", "1e-400", "0.1", "-0", "1.0", "1E2", "123456789012345678901234567890123456789", "0x10", "01", "+1", "NaN", "Infinity", "922337203685477", "9007199254740993",
    ];

    public static readonly string[] OtherTypes = ["null", "true", "false", "0", "\"\"", "\"text\"", "[]", "{}", "[null]", "{\"a\":{\"b\":[1]}}", "[[1],[2]]", "1.5"];

    /// <summary>JSON strings.</summary>
    public static string String(Random random)
    {
        switch (random.Next(16))
        {
            case 0: return "\"\"";
            case 1: return "\"   \\t\\n \"";
            case 2: return "\"a\\u0000b\"";
            case 3: return "\"\\ud800\""; // half of a pair
            case 4: return "\"x\\udc00\\ud800y\"";
            case 5: return "\"\\u202eright to left\\u202c\\u2066\"";
            case 6: return "\"" + string.Concat(Enumerable.Repeat("e\\u0301", random.Next(1, 40))) + "\"";
            case 7: return "\"" + string.Concat(Enumerable.Repeat("\\u0300", random.Next(50, 500))) + "\"";
            case 8: return "\"\\u0007\\u001b[31m\\u007f\\u0085\\u2028\\ufeff\\uffff\"";
            case 9: return "\"" + new string('x', Around(random, 32, 64, 100, 128, 256, 500, 2000, 4096)) + "\"";
            // Pairs, shifted by one half the time: what is cut at a fixed length is cut inside one.
            case 10: return "\"" + (random.Next(2) == 0 ? "x" : "") + string.Concat(Enumerable.Repeat("\\ud83d\\ude00", Around(random, 32, 64, 128, 250, 300, 1000))) + "\"";
            case 11: return "\"'; DROP TABLE steps; --\"";
            case 12: return "\"%00%n%s${jndi:x}{{7*7}}<script>\\\"\\\\\"";
            case 13: return "\"../../etc/passwd\\u0000.png\"";
            case 14: return "\"" + new string(' ', random.Next(1, 5)) + "\\u00a0\\u3000padded\\u2003 \"";
            default: return random.Next(12) == 0 ? "\"" + new string('M', 1024 * 1024) + "\"" : "\"" + new string('L', random.Next(1000, 20_000)) + "\"";
        }
    }

    /// <summary>A value for a query or a path, escaped. Never empty, a dot segment or NUL: those never reach a route, because a client or the listener ends them.</summary>
    public static string Escaped(Random random)
    {
        switch (random.Next(14))
        {
            case 0: return "%20";
            case 1: return "-1";
            case 2: return "0";
            case 3: return "2147483648";
            case 4: return "9223372036854775808";
            case 5: return "%ED%A0%80"; // half of a pair as UTF-8
            case 6: return "%FF%FE";
            case 7: return Uri.EscapeDataString("\u202Ertl\u202C");
            case 8: return "%01%1B%0A%0D";
            case 9: return Uri.EscapeDataString("'; DROP TABLE steps; --");
            case 10: return new string('q', Around(random, 64, 255, 1024, 3000));
            case 11: return "a%2Fb%5Cc";
            case 12: return Uri.EscapeDataString("e\u0301😀");
            default: return "true";
        }
    }

    /// <summary>Opens and never closes, or closes what it opened; past every parser's limit half of the time.</summary>
    public static string Nested(Random random)
    {
        var depth = Around(random, 60, 64, 100, 5000);
        return random.Next(3) switch
        {
            0 => new string('[', depth) + new string(']', depth),
            1 => string.Concat(Enumerable.Repeat("{\"a\":", depth)) + "1" + new string('}', depth),
            _ => new string('[', depth),
        };
    }

    /// <summary>Bodies that are no JSON of any route.</summary>
    public static byte[] Body(Random random, byte[] valid)
    {
        switch (random.Next(10))
        {
            case 0: return [];
            case 1: return valid[..random.Next(valid.Length + 1)];
            case 2: return [.. valid, .. "{}"u8];
            case 3: return [0xEF, 0xBB, 0xBF, .. valid];
            case 4: return Encoding.Unicode.GetBytes(Encoding.UTF8.GetString(valid));
            case 5:
                var garbage = new byte[random.Next(1, 300)];
                random.NextBytes(garbage);
                return garbage;
            case 6: return Encoding.ASCII.GetBytes(OtherTypes[random.Next(OtherTypes.Length)]);
            case 7: return "// comment\n{}"u8.ToArray();
            case 8: return Encoding.ASCII.GetBytes(Nested(random));
            default:
                if (valid.Length == 0) return [0];
                var flipped = (byte[])valid.Clone();
                flipped[random.Next(valid.Length)] ^= (byte)(1 << random.Next(8));
                return flipped;
        }
    }

    /// <summary>Bodies that are no form of any route, or one that trips a reader of forms.</summary>
    public static byte[] Form(Random random, byte[] valid) => random.Next(10) switch
    {
        0 => [.. valid, .. "&a=%zz&b=%&c=%f"u8],
        1 => [.. valid, .. "&a=%ff%fe%ed%a0%80&b=%00"u8],
        2 => [.. valid, .. "&&=&=&&==&"u8],
        3 => Encoding.ASCII.GetBytes(string.Join('&', Enumerable.Range(0, Around(random, 1, 100, 1024)).Select(i => $"f{i}={i}"))),
        4 => Encoding.ASCII.GetBytes(new string('k', Around(random, 100, 2048, 15_000)) + "=v"),
        5 => [.. valid, (byte)'&', .. valid],
        _ => Body(random, valid),
    };

    public static int Around(Random random, params int[] limits) => limits[random.Next(limits.Length)] + random.Next(-1, 2);
}
