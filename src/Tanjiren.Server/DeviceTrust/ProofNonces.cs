using System.Buffers.Binary;
using System.Buffers.Text;
using System.Security.Cryptography;

namespace Tanjiren.Server.DeviceTrust;

/// <summary>
/// Server nonces (RFC 9449 §8): the maker's process and time under the shared HMAC key, so that any server process can judge one without storing it.
/// One of our own is judged by elapsed time, which no step of the wall clock moves. One of another process is judged by the wall clock, and refused
/// when it was made before this process started: the proofs that were used with it are in the memory of a process that may be gone.
/// </summary>
internal sealed class ProofNonces(ServerSecrets secrets, DeviceTrustOptions options, TimeProvider clock)
{
    private const int PayloadLength = 24;
    private const int MacLength = 16;
    private static readonly TimeSpan Reuse = TimeSpan.FromSeconds(1);

    private readonly long _process = BinaryPrimitives.ReadInt64BigEndian(RandomNumberGenerator.GetBytes(8));
    private readonly long _startTimestamp = clock.GetTimestamp();
    private readonly long _startWallMs = clock.GetUtcNow().ToUnixTimeMilliseconds();
    private Current? _current;

    /// <summary>A nonce for the next proof. The same one for a second: it names a time, not a request.</summary>
    public string Issue()
    {
        var current = _current;
        if (current is not null && clock.GetElapsedTime(current.Timestamp) < Reuse) return current.Value;
        var timestamp = clock.GetTimestamp();
        Span<byte> bytes = stackalloc byte[PayloadLength + MacLength];
        BinaryPrimitives.WriteInt64BigEndian(bytes, _process);
        BinaryPrimitives.WriteInt64BigEndian(bytes[8..], (long)clock.GetElapsedTime(_startTimestamp, timestamp).TotalMilliseconds);
        BinaryPrimitives.WriteInt64BigEndian(bytes[16..], clock.GetUtcNow().ToUnixTimeMilliseconds());
        Mac(bytes[..PayloadLength], bytes[PayloadLength..]);
        _current = current = new Current(timestamp, Base64Url.EncodeToString(bytes));
        return current.Value;
    }

    public bool IsFresh(string? nonce)
    {
        if (nonce is null || nonce.Length > 64) return false;
        Span<byte> bytes = stackalloc byte[PayloadLength + MacLength];
        if (!Base64Url.IsValid(nonce) || !Base64Url.TryDecodeFromChars(nonce, bytes, out var written) || written != bytes.Length) return false;
        Span<byte> mac = stackalloc byte[MacLength];
        Mac(bytes[..PayloadLength], mac);
        if (!CryptographicOperations.FixedTimeEquals(mac, bytes[PayloadLength..])) return false;

        var lifetimeMs = (long)options.ProofLifetime.TotalMilliseconds;
        if (BinaryPrimitives.ReadInt64BigEndian(bytes) == _process)
            return (long)clock.GetElapsedTime(_startTimestamp).TotalMilliseconds - BinaryPrimitives.ReadInt64BigEndian(bytes[8..]) <= lifetimeMs;

        var madeAt = BinaryPrimitives.ReadInt64BigEndian(bytes[16..]);
        var age = clock.GetUtcNow().ToUnixTimeMilliseconds() - madeAt;
        return madeAt >= _startWallMs && age <= lifetimeMs && age >= -options.ClockSkewSeconds * 1000L;
    }

    private void Mac(ReadOnlySpan<byte> payload, Span<byte> mac)
    {
        Span<byte> full = stackalloc byte[HMACSHA256.HashSizeInBytes];
        HMACSHA256.HashData(secrets.NonceKey, payload, full);
        full[..MacLength].CopyTo(mac);
    }

    private sealed record Current(long Timestamp, string Value);
}
