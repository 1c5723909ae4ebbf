namespace Tanjiren.Agent.Masking;

/// <summary>
/// One way to read a stream: with one kind of escape taken away, whichever characters are escaped and however their hexadecimal is written. What it finds is told in places of the
/// stream as it is. Where nothing is escaped it reads what the plain reading read, and takes over its place in the trie.
/// </summary>
internal sealed class Reading
{
    /// <summary>A line break is inside base64 only after so many characters of a pattern: less stands at the end of many lines, whose break would be held back.</summary>
    public const int LeastBeforeBreak = 8;

    private readonly MaskTrie trie;
    private readonly Escaping escaping;
    private readonly Coverage coverage;
    // Where each of the last symbols begins in the stream; of those only that the current beginning of a pattern is made of.
    private readonly long[] starts;
    private readonly long last;
    private readonly byte[] escape = new byte[Escapes.Longest];
    private int escapeLength;
    private long escapeStart;
    private long symbols;
    private int node;
    private int breaks;

    public Reading(MaskTrie trie, Escaping escaping, Coverage coverage)
    {
        (this.trie, this.escaping, this.coverage) = (trie, escaping, coverage);
        starts = new long[System.Numerics.BitOperations.RoundUpToPowerOf2((uint)trie.Longest)];
        last = starts.Length - 1;
    }

    /// <param name="data">What follows in the stream.</param>
    /// <param name="position">Where it begins.</param>
    /// <param name="isPlain">No reading has an escape in it; else it is one byte, which may be one here.</param>
    /// <param name="before">Where the plain reading stood before it.</param>
    /// <param name="after">And after it.</param>
    public void Read(ReadOnlySpan<byte> data, long position, bool isPlain, int before, int after)
    {
        if (escapeLength == 0 && node == before && (isPlain || !IsEscape(data[0])) && WasPlainBefore(position))
        {
            Follow(data.Length, position, after);
            return;
        }
        for (var i = 0; i < data.Length; i++) Take(data[i], position + i);
    }

    /// <summary>The first byte that may belong to a match yet; <see cref="long.MaxValue"/>: none does.</summary>
    public long HeldFrom()
    {
        var depth = escaping == Escaping.Wrapped ? trie.Base64OpenAt(node) : trie.OpenAt(node);
        var from = escapeLength > 0 ? escapeStart : long.MaxValue;
        return depth == 0 ? from : Math.Min(from, starts[(symbols - depth) & last]);
    }

    /// <summary>The stream has ended: what looked like the beginning of an escape stands for itself.</summary>
    public void End()
    {
        Decode(ended: true);
        (node, breaks) = (0, 0);
    }

    /// <summary>Whether the beginning of a pattern that both readings stand in is of bytes that mean themselves.</summary>
    private bool WasPlainBefore(long position) => trie.DepthOf(node) is var depth && (depth == 0 || starts[(symbols - depth) & last] == position - depth);

    private void Follow(int length, long position, int after)
    {
        for (var back = Math.Min(length, trie.DepthOf(after)); back > 0; back--) starts[(symbols + length - back) & last] = position + length - back;
        (symbols, node, breaks) = (symbols + length, after, 0);
    }

    private void Take(byte b, long at)
    {
        if (escapeLength == 0 && !IsEscape(b))
        {
            breaks = 0;
            Symbol(b, at, at + 1);
            return;
        }
        if (escaping == Escaping.Wrapped)
        {
            Break(b, at);
            return;
        }
        if (escapeLength == 0) escapeStart = at;
        escape[escapeLength++] = b;
        Decode(ended: false);
    }

    /// <summary>CR LF at most: an empty line ends base64.</summary>
    private void Break(byte b, long at)
    {
        if (breaks < 2 && trie.Base64DepthOf(node) >= LeastBeforeBreak)
        {
            breaks++;
            return;
        }
        breaks = 0;
        Symbol(b, at, at + 1);
    }

    private void Decode(bool ended)
    {
        Span<byte> decoded = stackalloc byte[Escapes.LongestDecoded];
        while (escapeLength > 0)
        {
            var consumed = Escapes.Decode(escaping, escape.AsSpan(0, escapeLength), ended, decoded, out var length);
            if (consumed == 0) return;
            for (var i = 0; i < length; i++) Symbol(decoded[i], escapeStart, escapeStart + consumed);
            escape.AsSpan(consumed, escapeLength - consumed).CopyTo(escape);
            (escapeLength, escapeStart) = (escapeLength - consumed, escapeStart + consumed);
        }
    }

    private void Symbol(byte b, long start, long end)
    {
        starts[symbols++ & last] = start;
        node = trie.Next(node, b);
        var length = escaping == Escaping.Wrapped ? trie.Base64MatchAt(node) : trie.MatchAt(node);
        if (length > 0) coverage.Add(starts[(symbols - length) & last], end);
    }

    private bool IsEscape(byte b) => escaping switch
    {
        Escaping.Json => b == '\\',
        Escaping.Wrapped => b is (byte)'\r' or (byte)'\n',
        Escaping.Form => b is (byte)'%' or (byte)'+',
        _ => b == '%',
    };
}
