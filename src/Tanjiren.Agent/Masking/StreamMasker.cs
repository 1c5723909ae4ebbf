using System.Buffers;
using System.Text;

namespace Tanjiren.Agent.Masking;

/// <summary>
/// Hides values in one stream, wherever its pieces are cut. What may be the beginning of a value is held back until more of the stream, or its end, tells: at most one byte less than
/// the longest form, counted without escapes. Nothing is released by time: half a secret on its way is no longer ours to take back. Not for several threads at once.
/// </summary>
internal sealed class StreamMasker
{
    private readonly MaskSet set;
    private readonly MaskTrie trie;
    private readonly Reading[] readings;
    private readonly Coverage coverage = new();
    private readonly ArrayBufferWriter<byte> output = new();
    private byte[] buffer = [];
    private int count;
    private long position;
    private int node;

    public StreamMasker(MaskSet set)
    {
        (this.set, trie) = (set, set.Trie);
        readings = [.. set.Readings.Select(escaping => new Reading(trie, escaping, coverage))];
    }

    /// <summary>How often something was hidden.</summary>
    public int Marks => coverage.Marks;

    /// <summary>Whether something is held back: what was written ends like the beginning of a value.</summary>
    public bool Holds => count > 0;

    /// <summary>Takes the next piece, and answers what may leave now; good until the next call.</summary>
    public ReadOnlySpan<byte> Write(ReadOnlySpan<byte> data)
    {
        output.ResetWrittenCount();
        var from = count;
        if (buffer.Length < count + data.Length) Array.Resize(ref buffer, Math.Max(count + data.Length, 2 * buffer.Length));
        data.CopyTo(buffer.AsSpan(count));
        count += data.Length;
        Scan(from);
        Release(HeldFrom());
        return output.WrittenSpan;
    }

    /// <summary>The stream has ended: what was held back is no whole value. Another one may follow.</summary>
    public ReadOnlySpan<byte> Finish()
    {
        output.ResetWrittenCount();
        foreach (var reading in readings) reading.End();
        node = 0;
        Release(position + count);
        return output.WrittenSpan;
    }

    /// <summary>For streams of text, as the messages of a coding agent.</summary>
    public string WriteText(string text) => Encoding.UTF8.GetString(Write(Encoding.UTF8.GetBytes(text)));

    public string FinishText() => Encoding.UTF8.GetString(Finish());

    private void Scan(int from)
    {
        while (from < count)
        {
            var plain = buffer.AsSpan(from, count - from).IndexOfAny(set.EscapeBytes);
            if (plain < 0) plain = count - from;
            if (plain > 0) Read(from, plain, isPlain: true);
            from += plain;
            if (from == count) return;
            Read(from, 1, isPlain: false);
            from++;
        }
    }

    private void Read(int from, int length, bool isPlain)
    {
        var before = node;
        ReadAsItIs(from, from + length);
        foreach (var reading in readings) reading.Read(buffer.AsSpan(from, length), position + from, isPlain, before, node);
    }

    private void ReadAsItIs(int from, int to)
    {
        ReadOnlySpan<byte> text = buffer.AsSpan(0, to);
        var at = node;
        for (var i = from; i < to; i++)
        {
            if (at == 0) i = trie.Skip(text, i);
            at = trie.Next(at, text[i]);
            var length = trie.MatchAt(at);
            if (length > 0) coverage.Add(position + i + 1 - length, position + i + 1);
        }
        node = at;
    }

    private long HeldFrom()
    {
        var from = position + count - trie.OpenAt(node);
        foreach (var reading in readings) from = Math.Min(from, reading.HeldFrom());
        return from;
    }

    private void Release(long end)
    {
        var length = (int)(end - position);
        if (length == 0) return;
        coverage.Write(buffer.AsSpan(0, length), position, output);
        buffer.AsSpan(length, count - length).CopyTo(buffer);
        (count, position) = (count - length, end);
    }
}
