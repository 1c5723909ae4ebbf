using System.Globalization;
using System.Text;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>The first line and the headers of one HTTP/1.1 message, with its bytes as they came.</summary>
internal sealed record MessageHead(byte[] Raw, string[] StartLine, IReadOnlyDictionary<string, string> Headers)
{
    public bool Chunked => Headers.TryGetValue("transfer-encoding", out var encoding) && encoding.Contains("chunked", StringComparison.OrdinalIgnoreCase);

    public long? ContentLength => Headers.TryGetValue("content-length", out var length) ? long.Parse(length, CultureInfo.InvariantCulture) : null;
}

/// <summary>
/// Cuts a connection's bytes into HTTP/1.1 messages (RFC 9112 §6) without changing one of them: signatures over the request must survive the proxy.
/// </summary>
internal sealed class HttpMessageReader(Stream stream)
{
    private const int MaxHead = 64 * 1024;
    private readonly byte[] _buffer = new byte[128 * 1024];
    private int _start;
    private int _end;

    /// <returns>Null when the peer closed between two messages.</returns>
    public async Task<MessageHead?> ReadHeadAsync(CancellationToken cancellation)
    {
        while (true)
        {
            var length = _buffer.AsSpan(_start, _end - _start).IndexOf("\r\n\r\n"u8);
            if (length >= 0)
                return Parse(Take(length + 4));
            if (_end - _start > MaxHead)
                throw new InvalidDataException("a message head of more than 64 KiB");
            if (!await FillAsync(cancellation))
                return _end == _start ? null : throw new EndOfStreamException("the peer closed inside a message head");
        }
    }

    /// <summary>Hands on the body's bytes, chunk framing included, as they arrive.</summary>
    public async Task CopyBodyAsync(MessageHead head, bool untilClose, Func<ReadOnlyMemory<byte>, ValueTask> sink, CancellationToken cancellation)
    {
        if (head.Chunked)
            await CopyChunksAsync(sink, cancellation);
        else if (head.ContentLength is { } length)
            await CopyAsync(length, sink, cancellation);
        else if (untilClose)
            await CopyRestAsync(sink, cancellation);
    }

    /// <summary>Everything until the peer closes: after an upgrade, or a response without a length.</summary>
    public async Task CopyRestAsync(Func<ReadOnlyMemory<byte>, ValueTask> sink, CancellationToken cancellation)
    {
        do
        {
            if (_end > _start)
                await sink(Take(_end - _start));
        }
        while (await FillAsync(cancellation));
    }

    private async Task CopyChunksAsync(Func<ReadOnlyMemory<byte>, ValueTask> sink, CancellationToken cancellation)
    {
        while (true)
        {
            var line = await ReadLineAsync(cancellation);
            await sink(line);
            var size = long.Parse(Encoding.ASCII.GetString(line).Split(';')[0].Trim(), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
            if (size == 0)
                break;
            await CopyAsync(size + 2, sink, cancellation);
        }
        byte[] trailer;
        do
            await sink(trailer = await ReadLineAsync(cancellation));
        while (trailer.Length > 2);
    }

    private async Task CopyAsync(long count, Func<ReadOnlyMemory<byte>, ValueTask> sink, CancellationToken cancellation)
    {
        while (count > 0)
        {
            if (_end == _start && !await FillAsync(cancellation))
                throw new EndOfStreamException("the peer closed inside a body");
            var part = (int)Math.Min(count, _end - _start);
            await sink(Take(part));
            count -= part;
        }
    }

    private async Task<byte[]> ReadLineAsync(CancellationToken cancellation)
    {
        int length;
        while ((length = _buffer.AsSpan(_start, _end - _start).IndexOf("\r\n"u8)) < 0)
        {
            if (_end - _start > MaxHead || !await FillAsync(cancellation))
                throw new EndOfStreamException("no end of a line");
        }
        return Take(length + 2);
    }

    private byte[] Take(int count)
    {
        var taken = _buffer.AsSpan(_start, count).ToArray();
        _start += count;
        return taken;
    }

    private async Task<bool> FillAsync(CancellationToken cancellation)
    {
        if (_start > 0)
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            (_start, _end) = (0, _end - _start);
        }
        var read = await stream.ReadAsync(_buffer.AsMemory(_end), cancellation);
        _end += read;
        return read > 0;
    }

    private static MessageHead Parse(byte[] raw)
    {
        var lines = Encoding.Latin1.GetString(raw).Split("\r\n", StringSplitOptions.RemoveEmptyEntries);
        var headers = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        foreach (var line in lines.Skip(1))
        {
            var colon = line.IndexOf(':', StringComparison.Ordinal);
            if (colon > 0)
                headers[line[..colon]] = line[(colon + 1)..].Trim();
        }
        return new MessageHead(raw, lines[0].Split(' ', 3), headers);
    }
}
