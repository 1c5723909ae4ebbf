using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Tanjiren.Protocol;

/// <summary>
/// A running digest over the output of one claim: over the sequence, stream, instant and SHA-256 of each chunk, in order. 32 bytes stand for any length of log, so that what
/// is signed outlives the text, and the text is checked as it comes, page by page. Not safe for two threads.
/// </summary>
public sealed class LogDigest
{
    private readonly byte[] state = SHA256.HashData("tanjiren-log-v1"u8);

    /// <summary>Lower-case hex; also of no chunk at all.</summary>
    public string Value => Convert.ToHexStringLower(state);

    public void Add(long seq, LogStream stream, DateTimeOffset at, ReadOnlySpan<byte> data)
    {
        Span<byte> link = stackalloc byte[32 + 8 + 1 + 8 + 32];
        state.CopyTo(link);
        BinaryPrimitives.WriteInt64BigEndian(link[32..], seq);
        link[40] = (byte)stream;
        BinaryPrimitives.WriteInt64BigEndian(link[41..], at.ToUnixTimeMilliseconds());
        SHA256.HashData(data, link[49..]);
        SHA256.HashData(link, state);
    }
}
