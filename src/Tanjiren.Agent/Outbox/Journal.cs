using System.Text.Json;
using Microsoft.Win32.SafeHandles;

namespace Tanjiren.Agent.Outbox;

/// <summary>
/// The agent's memory of its claims: append-only records, each durable before the act that it guards. Appends that wait for the disk at the same
/// time share one sync. Room for results is written with zeros ahead of time, so that a disk that fills up while a step runs cannot keep its
/// result from being recorded (a file system that copies on write may still refuse; the agent then retries until there is room).
/// </summary>
internal sealed partial class Journal : IDisposable
{
    /// <summary>The largest result: preview 4 KiB as base64, detail of 2,000 characters at six bytes each, the rest.</summary>
    public const int ResultRoom = 24 * 1024;

    /// <summary>The largest result with a response (<see cref="CodingAgents.ResponseText.MaxJsonBytes"/>) and what it cost.</summary>
    public const int ResponseRoom = ResultRoom + CodingAgents.ResponseText.MaxJsonBytes + 4 * 1024;

    private const int GrowBy = 256 * 1024;
    private static readonly byte[] Zeros = new byte[GrowBy];

    private readonly string path;
    private readonly long compactAt;
    private readonly ILogger log;
    // Order: syncing, then gate. A sync holds the first for as long as the disk takes; appends go on meanwhile.
    private readonly Lock syncing = new();
    private readonly Lock gate = new();
    private readonly JournalState state;
    private readonly Dictionary<string, int> reserved = [];
    private SafeFileHandle file;
    private long end;
    private long allocated;
    private long appended;
    private long synced;
    private bool rewriteNext;
    private long nextCompaction;

    private Journal(string path, JournalState state, long compactAt, ILogger log)
    {
        (this.path, this.state, this.compactAt, this.log, Damaged) = (path, state, compactAt, log, state.Damaged);
        file = WriteSnapshotLocked();
    }

    /// <summary>Whether records that were once durable are lost, in this life or in one that no session has settled. Then "not in the journal" proves nothing.</summary>
    public bool Damaged { get; }

    /// <summary>Bytes of records, for tests and the status.</summary>
    public long Length { get { lock (gate) return end; } }

    /// <summary>Reads what is there, drops a torn tail, and begins a fresh file, so that nothing old lies behind its end.</summary>
    public static Journal Open(string path, ILogger log, long compactAt = 4 * 1024 * 1024)
    {
        var replayed = new JournalState();
        if (File.Exists(path)) Replay(path, replayed, log);
        return new Journal(path, replayed, compactAt, log);
    }

    /// <summary>Adds a record. When it returns after <paramref name="durable"/>, the record and all before it survive a power cut.</summary>
    /// <exception cref="IOException">The record may or may not be there after a crash; nothing that it guards may be done.</exception>
    public void Append(JournalEntry entry, bool durable)
    {
        var frame = RecordFile.Frame(JsonSerializer.SerializeToUtf8Bytes(entry, JournalJson.Default.JournalEntry));
        long mine;
        bool compact;
        lock (gate)
        {
            if (entry.Kind == JournalKind.Result) reserved.Remove(entry.ClaimId!);
            EnsureRoomLocked(frame.Length);
            RandomAccess.Write(file, frame, end);
            end += frame.Length;
            mine = ++appended;
            state.Apply(entry);
            if (entry.Kind == JournalKind.Closed) reserved.Remove(entry.ClaimId!);
            compact = end > nextCompaction;
        }
        if (durable) SyncTo(mine);
        if (compact) TryCompact();
    }

    /// <summary>Sets room aside for the result of a claim; taken by its result, or given back when it closes.</summary>
    /// <exception cref="IOException">There is none: do not spawn.</exception>
    public void ReserveResult(string claimId, int room = ResultRoom)
    {
        lock (gate)
        {
            if (!reserved.TryAdd(claimId, room)) return;
            try
            {
                EnsureRoomLocked(0);
            }
            catch
            {
                reserved.Remove(claimId);
                throw;
            }
        }
    }

    /// <summary>Reads the state; the function must not keep it.</summary>
    public T Read<T>(Func<JournalState, T> read)
    {
        lock (gate) return read(state);
    }

    public void Dispose() => file.Dispose();

    private void SyncTo(long mine)
    {
        lock (syncing)
        {
            if (synced >= mine) return;
            SafeFileHandle target;
            long upTo;
            bool rewrite;
            lock (gate) (target, upTo, rewrite) = (file, appended, rewriteNext);
            if (rewrite)
            {
                // After a failed sync the kernel may have dropped the pages and report success the next time: write all of it anew.
                CompactLocked();
                return;
            }
            try
            {
                RandomAccess.FlushToDisk(target);
            }
            catch (IOException)
            {
                lock (gate) rewriteNext = true;
                throw;
            }
            synced = upTo;
        }
    }

    private void TryCompact()
    {
        try
        {
            lock (syncing) CompactLocked();
        }
        catch (IOException e)
        {
            LogCompactionFailed(path, e.Message);
        }
    }

    /// <summary>Called with <see cref="syncing"/> held.</summary>
    private void CompactLocked()
    {
        lock (gate)
        {
            nextCompaction = end + compactAt; // if it fails, not again at the very next record
            var fresh = WriteSnapshotLocked();
            file.Dispose();
            file = fresh;
            synced = appended;
            rewriteNext = false;
        }
    }

    private SafeFileHandle WriteSnapshotLocked()
    {
        using var content = new MemoryStream();
        foreach (var entry in state.Snapshot())
            content.Write(RecordFile.Frame(JsonSerializer.SerializeToUtf8Bytes(entry, JournalJson.Default.JournalEntry)));
        var freshPath = path + ".new";
        AgentHome.CreatePrivate(freshPath).Dispose();
        var fresh = File.OpenHandle(freshPath, FileMode.Open, FileAccess.ReadWrite, FileShare.Read | FileShare.Delete);
        try
        {
            var size = content.Length + GrowBy + reserved.Values.Sum(room => (long)room);
            RandomAccess.Write(fresh, content.GetBuffer().AsSpan(0, (int)content.Length), 0);
            WriteZeros(fresh, content.Length, size);
            RandomAccess.FlushToDisk(fresh);
            File.Move(freshPath, path, overwrite: true);
            DurableFiles.SyncDirectory(Path.GetDirectoryName(path)!);
            (end, allocated, nextCompaction) = (content.Length, size, content.Length + compactAt);
            return fresh;
        }
        catch
        {
            fresh.Dispose();
            throw;
        }
    }

    private void EnsureRoomLocked(int bytes)
    {
        var needed = end + bytes + RecordFile.HeaderBytes + reserved.Values.Sum(room => (long)room);
        if (needed <= allocated) return;
        var target = needed + GrowBy;
        WriteZeros(file, allocated, target);
        RandomAccess.FlushToDisk(file);
        allocated = target;
    }

    private static void WriteZeros(SafeFileHandle file, long from, long to)
    {
        for (var at = from; at < to; at += Zeros.Length)
            RandomAccess.Write(file, Zeros.AsSpan(0, (int)Math.Min(Zeros.Length, to - at)), at);
    }

    private static void Replay(string path, JournalState into, ILogger log)
    {
        using var old = File.OpenHandle(path, FileMode.Open, FileAccess.Read);
        var length = RandomAccess.GetLength(old);
        for (long at = 0; ;)
        {
            if (RecordFile.TryRead(old, at, length) is { } payload)
            {
                into.Apply(JsonSerializer.Deserialize(payload, JournalJson.Default.JournalEntry)!);
                at += RecordFile.HeaderBytes + payload.Length;
                continue;
            }
            var next = RecordFile.FindNext(old, at, length);
            if (next < 0) return;
            LogDamage(log, path, at, next);
            into.Lose();
            at = next;
        }
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "The journal {Path} is damaged from byte {From} to {To}; steps that it does not name are treated as started. Check the disk.")]
    private static partial void LogDamage(ILogger log, string path, long from, long to);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The journal {Path} could not be compacted and grows on: {Reason}")]
    private partial void LogCompactionFailed(string path, string reason);
}
