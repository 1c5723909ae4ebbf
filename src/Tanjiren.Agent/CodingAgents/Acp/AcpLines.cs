using System.Buffers;

namespace Tanjiren.Agent.CodingAgents.Acp;

/// <summary>
/// Cuts a stream of bytes into lines. One longer than <see cref="MaxLineBytes"/> is dropped whole and told as such: half a message is none, and memory must not grow with what
/// the other side sends.
/// </summary>
internal sealed class AcpLines(int maxLineBytes = AcpLines.MaxLineBytes)
{
    /// <summary>16 MiB: agents send whole files in the differences that they show.</summary>
    public const int MaxLineBytes = 16 * 1024 * 1024;

    private const byte LineFeed = (byte)'\n', CarriageReturn = (byte)'\r';

    private ArrayBufferWriter<byte> held = new();
    private bool dropping;

    /// <summary>Takes a line without its end; the span is valid during the call only.</summary>
    public delegate void LineHandler(ReadOnlySpan<byte> line);

    /// <summary>Calls <paramref name="onLine"/> for each line that is complete now, and <paramref name="onDropped"/> where one was dropped.</summary>
    public void Take(ReadOnlySpan<byte> data, LineHandler onLine, Action onDropped)
    {
        while (data.Length > 0)
        {
            var end = data.IndexOf(LineFeed);
            var piece = end < 0 ? data : data[..end];
            if (!dropping && held.WrittenCount + piece.Length > maxLineBytes)
            {
                dropping = true;
                // Its room is given back too: one long line must not cost its size for the rest of the step.
                held = new ArrayBufferWriter<byte>();
            }
            if (end < 0)
            {
                if (!dropping) held.Write(piece);
                return;
            }
            if (dropping) onDropped();
            else if (held.WrittenCount == 0) onLine(Trimmed(piece));
            else
            {
                held.Write(piece);
                onLine(Trimmed(held.WrittenSpan));
            }
            dropping = false;
            if (held.Capacity > 1024 * 1024) held = new ArrayBufferWriter<byte>();
            else held.ResetWrittenCount();
            data = data[(end + 1)..];
        }
    }

    /// <summary>What came after the last line's end.</summary>
    public ReadOnlySpan<byte> Rest() => held.WrittenSpan;

    private static ReadOnlySpan<byte> Trimmed(ReadOnlySpan<byte> line) => line is [.., CarriageReturn] ? line[..^1] : line;
}
