using System.Net;
using System.Text;
using System.Text.Encodings.Web;

namespace Tanjiren.Agent.Tests.Masking;

internal enum FormKind
{
    Raw,
    Base64,
    WrappedBase64,
    Percent,
    FormField,
    Json,
}

/// <summary>One form of a secret in a text. <paramref name="Telling"/>: the bytes that would give it away.</summary>
internal sealed record SecretForm(FormKind Kind, byte[] Telling);

internal sealed record MaskedStream(byte[] Text, IReadOnlyList<SecretForm> Forms);

/// <summary>Secrets, two streams that hold them, and how the streams are cut and come in turn; all of it follows from a number.</summary>
internal sealed class MaskCase
{
    private static readonly string[] Characters =
        [.. "abcdefXYZ0129".Select(c => c.ToString()), " ", "+", "/", "=", "%", "\\", "\"", "'", "&", "<", "-", "_", ".", "~", "\t", "ü", "€", "😀"];

    /// <summary>What begins escapes, ends lines, is half a character or belongs to base64.</summary>
    private static readonly byte[] Filler = [.. "abXYZ019 +/=%\\\"u\r\n.:,{}"u8, 0xC3, 0xA9, 0xF0, 0xFF, 0x00];

    /// <summary>Characters of base64 in a line of PEM; elsewhere there are more.</summary>
    private const int NarrowLine = 64;

    private readonly Random random;

    private MaskCase(int number)
    {
        random = new Random(number);
        var secrets = new List<string> { NewSecret() };
        while (random.Next(2) == 0 && secrets.Count < 4) secrets.Add(random.Next(4) == 0 ? Relative(secrets[0]) : NewSecret());
        Secrets = [.. secrets.Distinct()];
        Streams = [NewStream(), NewStream()];
        Pieces = Cut();
    }

    public IReadOnlyList<string> Secrets { get; }

    public IReadOnlyList<MaskedStream> Streams { get; }

    public IReadOnlyList<(int Stream, int From, int Length)> Pieces { get; }

    public static MaskCase Of(int number) => new(number);

    public override string ToString() =>
        $"secrets {string.Join(" | ", Secrets)}; {string.Join("; ", Streams.Select((s, i) => $"stream {i}: {Encoding.Latin1.GetString(s.Text)}"))}; pieces {string.Join(' ', Pieces.Select(p => $"{p.Stream}:{p.Length}"))}";

    private string NewSecret() => random.Next(8) switch
    {
        // Overlaps itself at every place, or at every other one.
        0 => new string((char)('a' + random.Next(3)), random.Next(6, 12)),
        1 => string.Concat(Enumerable.Repeat("ab", random.Next(3, 8))),
        2 => string.Join(random.Next(2) == 0 ? "\n" : "\r\n", Enumerable.Range(0, random.Next(2, 5)).Select(_ => Word(random.Next(3, 15)))),
        3 => Word(random.Next(60, 120)),
        _ => Word(random.Next(6, 30)),
    };

    /// <summary>One that begins, ends or goes on like another.</summary>
    private string Relative(string secret) => random.Next(3) switch
    {
        0 => secret + Word(3),
        1 => Word(3) + secret,
        _ => secret[(secret.Length / 2)..] + Word(6),
    };

    private string Word(int length)
    {
        var word = new StringBuilder();
        while (word.Length < length) word.Append(Characters[random.Next(Characters.Length)]);
        return word.ToString();
    }

    private MaskedStream NewStream()
    {
        var (text, forms) = (new List<byte>(), new List<SecretForm>());
        for (var left = random.Next(1, 7); left > 0; left--)
        {
            if (random.Next(3) == 0) text.AddRange(Noise());
            else Add(text, forms);
        }
        return new MaskedStream([.. text], forms);
    }

    private byte[] Noise()
    {
        if (random.Next(2) == 0) return [.. Enumerable.Range(0, random.Next(30)).Select(_ => Filler[random.Next(Filler.Length)])];
        // Nearly a secret: the beginning of one, or of its base64. Of that less than a line: a line with nothing after it is no secret, and would be taken for one that a wrapped form lets out.
        var secret = Encoding.UTF8.GetBytes(Secret());
        if (random.Next(2) == 0) return secret[..random.Next(secret.Length)];
        var encoded = Encoding.ASCII.GetBytes(Convert.ToBase64String(secret));
        return encoded[..random.Next(Math.Min(encoded.Length, NarrowLine - 8))];
    }

    private void Add(List<byte> text, List<SecretForm> forms)
    {
        var secret = Secret();
        var raw = Encoding.UTF8.GetBytes(secret);
        var kind = (FormKind)random.Next(6);
        switch (kind)
        {
            case FormKind.Raw:
                Put(raw);
                break;
            case FormKind.Base64 or FormKind.WrappedBase64:
                AddBase64(kind, raw, text, forms);
                break;
            case FormKind.Percent:
                text.Add((byte)'=');
                Put(Encoding.UTF8.GetBytes(random.Next(2) == 0 ? Uri.EscapeDataString(secret) : PercentByChance(raw)));
                break;
            case FormKind.FormField:
                text.Add((byte)'=');
                Put(Encoding.UTF8.GetBytes(WebUtility.UrlEncode(secret)));
                break;
            case FormKind.Json:
                text.Add((byte)'"');
                Put(Encoding.UTF8.GetBytes(random.Next(3) switch
                {
                    0 => JavaScriptEncoder.Default.Encode(secret),
                    1 => JavaScriptEncoder.UnsafeRelaxedJsonEscaping.Encode(secret).Replace("/", "\\/"),
                    _ => JsonByChance(secret),
                }));
                break;
        }

        void Put(byte[] form)
        {
            text.AddRange(form);
            forms.Add(new SecretForm(kind, form));
        }
    }

    /// <summary>Of a longer text, so that the secret begins anywhere in a group of three bytes.</summary>
    private void AddBase64(FormKind kind, byte[] raw, List<byte> text, List<SecretForm> forms)
    {
        var (before, after) = (new byte[random.Next(20)], new byte[random.Next(8)]);
        random.NextBytes(before);
        random.NextBytes(after);
        var encoded = Convert.ToBase64String([.. before, .. raw, .. after]);
        if (random.Next(2) == 0) encoded = encoded.Replace('+', '-').Replace('/', '_');
        if (random.Next(2) == 0) encoded = encoded.TrimEnd('=');
        var telling = encoded[((before.Length * 8 + 5) / 6)..((before.Length + raw.Length) * 8 / 6)];
        if (kind == FormKind.WrappedBase64)
        {
            // As base64 and PEM break their lines.
            var (width, end) = (random.Next(2) == 0 ? 76 : NarrowLine, random.Next(2) == 0 ? "\n" : "\r\n");
            encoded = "\n" + string.Join(end, encoded.Chunk(width).Select(line => new string(line))) + "\n";
            // Whatever is left of it must not be told by a whole line either.
            telling = telling[..Math.Min(telling.Length, width)];
            if (!encoded.Contains(telling, StringComparison.Ordinal)) telling = "";
        }
        text.AddRange(Encoding.ASCII.GetBytes(encoded));
        if (telling.Length > 0) forms.Add(new SecretForm(kind, Encoding.ASCII.GetBytes(telling)));
    }

    private string PercentByChance(byte[] raw)
    {
        var text = new StringBuilder();
        foreach (var b in raw)
        {
            // A percent sign means itself in no URL, nor does what is not ASCII.
            if (b < 0x80 && b != '%' && random.Next(2) == 0) text.Append((char)b);
            else text.Append('%').Append(random.Next(2) == 0 ? b.ToString("X2") : b.ToString("x2"));
        }
        return text.ToString();
    }

    private string JsonByChance(string secret)
    {
        var text = new StringBuilder();
        foreach (var c in secret)
        {
            if (c >= ' ' && c is not ('"' or '\\') && !char.IsSurrogate(c) && random.Next(2) == 0) text.Append(c);
            else text.Append("\\u").Append(random.Next(2) == 0 ? ((int)c).ToString("X4") : ((int)c).ToString("x4"));
        }
        return text.ToString();
    }

    private string Secret() => Secrets[random.Next(Secrets.Count)];

    private List<(int Stream, int From, int Length)> Cut()
    {
        var pieces = new List<(int, int, int)>();
        var at = new int[Streams.Count];
        var largest = random.Next(4) switch { 0 => 1, 1 => 5, 2 => 50, _ => 5000 };
        while (Enumerable.Range(0, at.Length).Where(i => at[i] < Streams[i].Text.Length).ToList() is { Count: > 0 } open)
        {
            var stream = open[random.Next(open.Count)];
            var length = Math.Min(random.Next(1, largest + 1), Streams[stream].Text.Length - at[stream]);
            pieces.Add((stream, at[stream], length));
            at[stream] += length;
        }
        return pieces;
    }
}
