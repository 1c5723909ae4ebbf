using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace Tanjiren.Server.DeviceTrust;

internal enum ProofUse
{
    First,
    Replayed,
    /// <summary>No room to remember it: refused, because forgetting another one would let that one in again.</summary>
    Full,
}

/// <summary>
/// Remembers used proofs for as long as they could pass. Time is cut into slices; a slice is forgotten as a whole when all that it holds is too old, so
/// nothing is scanned. Of two requests with one proof at once, exactly one is first.
/// </summary>
internal sealed class UsedProofs(DeviceTrustOptions options, TimeProvider clock)
{
    private const int Slices = 4;

    private readonly Lock _gate = new();
    private readonly Queue<Slice> _slices = new();
    private readonly TimeSpan _sliceLength = options.ProofLifetime / Slices;
    private Slice? _newest;
    private int _count;

    public int Count
    {
        get { lock (_gate) return _count; }
    }

    public ProofUse Use(string jkt, string jti)
    {
        var key = KeyOf(jkt, jti);
        lock (_gate)
        {
            var now = clock.GetTimestamp();
            DropOldLocked(now);
            foreach (var slice in _slices)
                if (slice.Keys.Contains(key)) return ProofUse.Replayed;
            if (_count >= options.RememberedProofs) return ProofUse.Full;
            if (_newest is null || clock.GetElapsedTime(_newest.Start, now) >= _sliceLength)
                _slices.Enqueue(_newest = new Slice(now));
            _newest.Keys.Add(key);
            _count++;
            return ProofUse.First;
        }
    }

    private void DropOldLocked(long now)
    {
        // A slice that began at t holds proofs used until t + its length; the last of them can pass for a lifetime after that.
        while (_slices.TryPeek(out var oldest) && clock.GetElapsedTime(oldest.Start, now) > _sliceLength + options.ProofLifetime)
        {
            _count -= oldest.Keys.Count;
            _slices.Dequeue();
            if (ReferenceEquals(oldest, _newest)) _newest = null;
        }
    }

    /// <summary>128 bits of SHA-256: a fixed size, whatever the client sends; the key is in it so that no workstation can use up another's ids.</summary>
    private static UInt128 KeyOf(string jkt, string jti)
    {
        var length = Encoding.UTF8.GetByteCount(jkt) + Encoding.UTF8.GetByteCount(jti) + 1;
        Span<byte> text = length <= 512 ? stackalloc byte[length] : new byte[length];
        var at = Encoding.UTF8.GetBytes(jkt, text);
        text[at++] = 0;
        Encoding.UTF8.GetBytes(jti, text[at..]);
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(text, hash);
        return BinaryPrimitives.ReadUInt128BigEndian(hash);
    }

    private sealed record Slice(long Start)
    {
        public HashSet<UInt128> Keys { get; } = [];
    }
}
