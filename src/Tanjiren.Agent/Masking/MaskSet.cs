using System.Buffers;
using System.Text;

namespace Tanjiren.Agent.Masking;

/// <summary>Some values, ready to be looked for. Immutable: shared by all streams of a step.</summary>
internal sealed class MaskSet
{
    private MaskSet(IReadOnlyCollection<string> values)
    {
        Trie = new MaskTrie(values.SelectMany(MaskForms.Parts).Distinct().SelectMany(Patterns));
        // Only a space is written as a plus, and only forms do that: to URLs it is a plus.
        Readings = values.Any(v => v.Contains(' ')) ? [Escaping.Percent, Escaping.Json, Escaping.Wrapped, Escaping.Form] : [Escaping.Percent, Escaping.Json, Escaping.Wrapped];
        EscapeBytes = SearchValues.Create(Readings.Contains(Escaping.Form) ? "%\\\r\n+"u8 : "%\\\r\n"u8);
    }

    public MaskTrie Trie { get; }

    public IReadOnlyList<Escaping> Readings { get; }

    /// <summary>What begins an escape in any reading.</summary>
    public SearchValues<byte> EscapeBytes { get; }

    /// <summary>Null: there is nothing to look for. Each value must have <see cref="MaskForms.LeastCharacters"/>.</summary>
    public static MaskSet? Of(IReadOnlyCollection<string> values) => values.Count == 0 ? null : new MaskSet(values);

    private static IEnumerable<(byte[] Bytes, bool IsBase64)> Patterns(string part)
    {
        var bytes = Encoding.UTF8.GetBytes(part);
        return MaskForms.Base64(bytes).Select(form => (form, true)).Prepend((bytes, false));
    }
}
