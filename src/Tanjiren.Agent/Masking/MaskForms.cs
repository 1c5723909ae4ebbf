using System.Text;

namespace Tanjiren.Agent.Masking;

/// <summary>The texts by which one value is looked for. Percent- and JSON-escaping have none of their own: a <see cref="Reading"/> takes them away.</summary>
internal static class MaskForms
{
    /// <summary>What is shorter would be hidden wherever it stands by chance, and each place where it is hidden would tell it.</summary>
    public const int LeastCharacters = 6;

    /// <summary>The value; of one with several lines also each line that is long enough, for terminals and logs change what stands between them.</summary>
    public static IEnumerable<string> Parts(string value)
    {
        yield return value;
        if (!value.AsSpan().ContainsAny('\r', '\n')) yield break;
        foreach (var line in value.Split('\r', '\n'))
            if (line.Length >= LeastCharacters) yield return line;
    }

    /// <summary>
    /// Base64 of any text that holds <paramref name="value"/>: three, by where in a group of three bytes it begins, without the characters that its neighbours share in; and
    /// the same to the end of the text, padded or not. In both alphabets.
    /// </summary>
    public static IEnumerable<byte[]> Base64(byte[] value)
    {
        for (var offset = 0; offset < 3; offset++)
        {
            var shifted = new byte[offset + value.Length];
            value.CopyTo(shifted, offset);
            var text = Convert.ToBase64String(shifted)[((offset * 8 + 5) / 6)..];
            var own = (shifted.Length * 8 / 6) - ((offset * 8 + 5) / 6);
            foreach (var form in new[] { text[..own], text.TrimEnd('='), text })
            {
                yield return Encoding.ASCII.GetBytes(form);
                yield return Encoding.ASCII.GetBytes(form.Replace('+', '-').Replace('/', '_'));
            }
        }
    }
}
