using System.Buffers;

namespace Tanjiren.Agent.Masking;

/// <summary>Which parts of a stream are hidden. Matches that overlap are one part, also when the front of it has been written before the rest was found; such that touch are two.</summary>
internal sealed class Coverage
{
    private readonly List<(long Start, long End)> parts = [];
    private long markedTo;

    /// <summary>What stands for a hidden part.</summary>
    public static ReadOnlySpan<byte> Mark => "[masked]"u8;

    /// <summary>How many parts have been hidden.</summary>
    public int Marks { get; private set; }

    /// <summary>In any order: the readings report in turn.</summary>
    public void Add(long start, long end)
    {
        var at = parts.Count;
        while (at > 0 && parts[at - 1].End > start)
        {
            at--;
            if (parts[at].Start >= end) continue;
            (start, end) = (Math.Min(start, parts[at].Start), Math.Max(end, parts[at].End));
            parts.RemoveAt(at);
        }
        parts.Insert(at, (start, end));
    }

    /// <summary>Writes the part of the stream that begins at <paramref name="position"/>, and of which no match can begin any more.</summary>
    public void Write(ReadOnlySpan<byte> data, long position, ArrayBufferWriter<byte> to)
    {
        var (end, at, gone) = (position + data.Length, 0, 0);
        for (var i = 0; i < parts.Count && parts[i].Start < end; i++)
        {
            var part = parts[i];
            to.Write(data[at..(int)(part.Start - position)]);
            if (part.Start >= markedTo)
            {
                to.Write(Mark);
                Marks++;
            }
            markedTo = part.End;
            if (part.End > end)
            {
                // Its rest is hidden too, and has its mark.
                parts[i] = (end, part.End);
                at = data.Length;
                break;
            }
            (at, gone) = ((int)(part.End - position), i + 1);
        }
        parts.RemoveRange(0, gone);
        to.Write(data[at..]);
    }
}
