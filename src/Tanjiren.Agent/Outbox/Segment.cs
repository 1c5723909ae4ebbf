using System.Buffers.Binary;
using System.Globalization;
using Microsoft.Win32.SafeHandles;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Outbox;

/// <summary>One file of output chunks. Its name holds the claim and its first sequence, so a directory listing is the index.</summary>
internal sealed class Segment : IDisposable
{
    private const string Extension = ".chunks";
    private const int ChunkHeaderBytes = 8 + 1 + 8;
    private SafeFileHandle? file;

    private Segment(string path, long firstSeq) => (Path, FirstSeq, LastSeq) = (path, firstSeq, firstSeq - 1);

    public string Path { get; }
    public long FirstSeq { get; }
    /// <summary>FirstSeq - 1 while it is empty.</summary>
    public long LastSeq { get; private set; }
    public long Length { get; private set; }
    /// <summary>Whether bytes that do not form a record lie in it.</summary>
    public bool Damaged { get; private set; }

    /// <summary>Bytes that a chunk takes on disk.</summary>
    public static int SizeOf(int dataBytes) => RecordFile.HeaderBytes + ChunkHeaderBytes + dataBytes;

    public static Segment Create(string directory, string claimId, long firstSeq)
    {
        var segment = new Segment(System.IO.Path.Combine(directory, string.Create(CultureInfo.InvariantCulture, $"{claimId}-{firstSeq:D20}{Extension}")), firstSeq);
        AgentHome.CreatePrivate(segment.Path).Dispose();
        return segment;
    }

    /// <summary>The segments of a claim in order, scanned; a torn tail is left out of <see cref="Length"/>.</summary>
    public static List<Segment> FindAll(string directory, string claimId)
    {
        var found = new List<Segment>();
        foreach (var path in Directory.EnumerateFiles(directory, claimId + "-*" + Extension))
        {
            var name = System.IO.Path.GetFileNameWithoutExtension(path);
            if (!long.TryParse(name.AsSpan(claimId.Length + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var first)) continue;
            var segment = new Segment(path, first);
            segment.Scan();
            found.Add(segment);
        }
        found.Sort((a, b) => a.FirstSeq.CompareTo(b.FirstSeq));
        return found;
    }

    /// <summary>The claims that have output in <paramref name="directory"/>.</summary>
    public static IEnumerable<string> ClaimsIn(string directory) =>
        Directory.EnumerateFiles(directory, "*" + Extension)
            .Select(path => System.IO.Path.GetFileName(path))
            .Where(name => name.Contains('-'))
            .Select(name => name[..name.LastIndexOf('-')])
            .Distinct();

    public static byte[] Encode(LogChunk chunk)
    {
        var payload = new byte[ChunkHeaderBytes + chunk.Data.Length];
        BinaryPrimitives.WriteInt64LittleEndian(payload, chunk.Seq);
        payload[8] = (byte)chunk.Stream;
        BinaryPrimitives.WriteInt64LittleEndian(payload.AsSpan(9), chunk.At.ToUnixTimeMilliseconds());
        chunk.Data.CopyTo(payload.AsSpan(ChunkHeaderBytes));
        return RecordFile.Frame(payload);
    }

    /// <summary>Adds a frame behind the last whole one. A write that failed half way is overwritten by the next.</summary>
    public void Append(byte[] frame, long seq)
    {
        RandomAccess.Write(Open(), frame, Length);
        Length += frame.Length;
        LastSeq = seq;
    }

    /// <summary>Writes frames again where they were: after a failed sync the kernel may have dropped them.</summary>
    public void Rewrite(byte[] frame, long offset) => RandomAccess.Write(Open(), frame, offset);

    public void Sync() => RandomAccess.FlushToDisk(Open());

    /// <summary>The chunk at <paramref name="offset"/> and where the next begins. Damage is stepped over; null at the end.</summary>
    public (LogChunk Chunk, long Next)? Read(long offset)
    {
        while (offset < Length)
        {
            if (RecordFile.TryRead(Open(), offset, Length) is { Length: > ChunkHeaderBytes } payload)
                return (Decode(payload), offset + RecordFile.HeaderBytes + payload.Length);
            offset = RecordFile.FindNext(Open(), offset, Length);
            if (offset < 0) return null;
        }
        return null;
    }

    /// <summary>Lets go of the descriptor; the next access opens it again.</summary>
    public void Close()
    {
        file?.Dispose();
        file = null;
    }

    public void Delete()
    {
        Close();
        File.Delete(Path);
    }

    public void Dispose() => Close();

    private SafeFileHandle Open() =>
        file ??= File.OpenHandle(Path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);

    private void Scan()
    {
        var size = new FileInfo(Path).Length;
        Length = size;
        long offset = 0, count = 0;
        for (; Read(offset) is var (chunk, next); offset = next, count++) LastSeq = chunk.Seq;
        Damaged = offset < size || LastSeq - FirstSeq + 1 != count;
        Length = offset;
        Close();
    }

    private static LogChunk Decode(byte[] payload) => new()
    {
        Seq = BinaryPrimitives.ReadInt64LittleEndian(payload),
        Stream = (LogStream)payload[8],
        At = DateTimeOffset.FromUnixTimeMilliseconds(BinaryPrimitives.ReadInt64LittleEndian(payload.AsSpan(9))),
        Data = payload[ChunkHeaderBytes..],
    };
}
