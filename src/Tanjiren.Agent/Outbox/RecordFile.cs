using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Tanjiren.Agent.Outbox;

/// <summary>
/// The frame of every record on disk: length (4 bytes, little endian), CRC-32C over length and payload (4 bytes), payload. An empty record does
/// not exist, so a run of zeros (preallocated room) ends a file. What a crash left half written fails its CRC and is dropped.
/// </summary>
internal static class RecordFile
{
    public const int HeaderBytes = 8;

    /// <summary>No record is larger; a longer length is damage.</summary>
    public const int MaxPayloadBytes = 1024 * 1024;

    public static byte[] Frame(ReadOnlySpan<byte> payload)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(payload.Length, MaxPayloadBytes, nameof(payload));
        ArgumentOutOfRangeException.ThrowIfZero(payload.Length, nameof(payload));
        var frame = new byte[HeaderBytes + payload.Length];
        BinaryPrimitives.WriteInt32LittleEndian(frame, payload.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(frame.AsSpan(4), Checksum(payload));
        payload.CopyTo(frame.AsSpan(HeaderBytes));
        return frame;
    }

    /// <summary>The payload at <paramref name="offset"/>, or null when there is no whole, undamaged record before <paramref name="end"/>.</summary>
    public static byte[]? TryRead(SafeFileHandle file, long offset, long end)
    {
        if (offset + HeaderBytes >= end) return null;
        Span<byte> header = stackalloc byte[HeaderBytes];
        if (!ReadWhole(file, header, offset)) return null;
        var length = BinaryPrimitives.ReadInt32LittleEndian(header);
        if (length is <= 0 or > MaxPayloadBytes || offset + HeaderBytes + length > end) return null;
        var payload = new byte[length];
        if (!ReadWhole(file, payload, offset + HeaderBytes)) return null;
        return Checksum(payload) == BinaryPrimitives.ReadUInt32LittleEndian(header[4..]) ? payload : null;
    }

    /// <summary>
    /// Where the next whole record begins behind damage at <paramref name="offset"/>, or -1. Nothing behind it: a torn tail, the normal trace of a
    /// crash. Something behind it: the disk lost bytes that were once durable.
    /// </summary>
    public static long FindNext(SafeFileHandle file, long offset, long end)
    {
        var window = new byte[64 * 1024];
        for (var start = offset + 1; start + HeaderBytes < end;)
        {
            var read = RandomAccess.Read(file, window.AsSpan(0, (int)Math.Min(window.Length, end - start)), start);
            if (read < HeaderBytes) return -1;
            var positions = read - HeaderBytes + 1;
            for (var i = 0; i < positions; i++)
            {
                // Cheap first: a plausible length; then the whole record.
                if (BinaryPrimitives.ReadInt32LittleEndian(window.AsSpan(i)) is <= 0 or > MaxPayloadBytes) continue;
                if (TryRead(file, start + i, end) is not null) return start + i;
            }
            start += positions;
        }
        return -1;
    }

    private static bool ReadWhole(SafeFileHandle file, Span<byte> into, long offset)
    {
        while (into.Length > 0)
        {
            var read = RandomAccess.Read(file, into, offset);
            if (read == 0) return false;
            into = into[read..];
            offset += read;
        }
        return true;
    }

    private static uint Checksum(ReadOnlySpan<byte> payload)
    {
        var crc = BitOperations.Crc32C(uint.MaxValue, (uint)payload.Length);
        var words = MemoryMarshal.Cast<byte, ulong>(payload);
        foreach (var word in words) crc = BitOperations.Crc32C(crc, BitConverter.IsLittleEndian ? word : BinaryPrimitives.ReverseEndianness(word));
        foreach (var tail in payload[(words.Length * sizeof(ulong))..]) crc = BitOperations.Crc32C(crc, tail);
        return ~crc;
    }
}
