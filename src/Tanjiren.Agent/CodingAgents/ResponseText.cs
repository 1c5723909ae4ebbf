using System.Text;
using System.Text.Encodings.Web;
using Tanjiren.Agent.Masking;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.CodingAgents;

/// <summary>
/// What a coding agent said, as far as a step keeps it. A result must fit into one record of the journal and one request, however its characters are written in JSON (up to six
/// bytes for one), so two limits hold: bytes of UTF-8, and bytes of JSON.
/// </summary>
internal sealed class ResponseText
{
    /// <summary>Half of what a journal's record and a request may have.</summary>
    internal const int MaxJsonBytes = 512 * 1024;

    private const string Marker = "\n[tanjiren] the response was cut here; the log has all of it\n";

    private readonly StringBuilder text = new();
    private bool cut;

    /// <summary>Nothing, not even empty words.</summary>
    public bool IsEmpty => text.Length == 0;

    public void Append(ReadOnlySpan<char> words)
    {
        // No character has less than a byte: more than the limit can never be kept.
        var room = WireLimits.MaxResponseBytes - text.Length;
        cut |= words.Length > room;
        text.Append(words[..Math.Min(words.Length, Math.Max(0, room))]);
    }

    public void Clear()
    {
        text.Clear();
        cut = false;
    }

    /// <summary>At most <see cref="WireLimits.MaxResponseBytes"/>, with no character that a database can't store.</summary>
    /// <param name="masks">Applied before it is cut.</param>
    public string ToText(StepMasks masks)
    {
        // Half a surrogate pair is no text either: by way of UTF-8 it becomes a replacement character.
        var whole = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text.Replace("\0", "").ToString()));
        whole = cut ? masks.Beginning(whole) : masks.Text(whole);
        var length = Fitting(whole);
        return length == whole.Length && !cut ? whole : TextCut.Keep(whole, Math.Max(0, Math.Min(length, whole.Length - 1))) + Marker;
    }

    private static int Fitting(string whole)
    {
        var (bytes, json) = (Marker.Length, Marker.Length * 2);
        for (var i = 0; i < whole.Length;)
        {
            var rune = Rune.GetRuneAt(whole, i);
            bytes += rune.Utf8SequenceLength;
            // As the wire writes it: one, two, or six bytes for each UTF-16 unit.
            json += JavaScriptEncoder.Default.WillEncode(rune.Value) ? 6 * rune.Utf16SequenceLength : 1;
            if (bytes > WireLimits.MaxResponseBytes || json > MaxJsonBytes) return i;
            i += rune.Utf16SequenceLength;
        }
        return whole.Length;
    }
}
