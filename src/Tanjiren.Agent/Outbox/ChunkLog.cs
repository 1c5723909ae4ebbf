using System.Text;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Outbox;

/// <summary>
/// The output of one claim on disk: appended by the step's thread, synced, read and freed by its sender. Only synced chunks are ever read, so
/// that a crash which cuts the files back cannot bring other bytes under a sequence number that the server knows.
/// </summary>
internal sealed partial class ChunkLog : IDisposable
{
    /// <summary>A segment is closed at this size, so that room is freed while a long step runs.</summary>
    public const int SegmentBytes = 4 * 1024 * 1024;

    /// <summary>A segment that the server has taken whole is freed early above this size.</summary>
    public const int KeptWhenDrained = 64 * 1024;

    private const int SyncAbove = 1024 * 1024;

    /// <summary>While the disk does not sync, no more than this is taken: it is kept in memory as well.</summary>
    private const int MaxUnsynced = 4 * SyncAbove;
    private static readonly byte[] LostMarker = Encoding.UTF8.GetBytes("[tanjiren] a piece of output was lost on the machine's disk\n");

    private readonly string directory;
    private readonly string claimId;
    private readonly OutboxBudget budget;
    private readonly TimeProvider clock;
    private readonly ILogger log;
    private readonly AgentTimeouts timeouts;
    // Order: syncing, then gate.
    private readonly Lock syncing = new();
    private readonly Lock gate = new();
    private readonly List<Segment> segments;
    // Frames since the last sync with their places, kept to be written again if the sync fails; at most MaxUnsynced and one frame.
    private readonly List<(Segment Segment, long Offset, byte[] Frame)> unsynced = [];
    private readonly ITimer syncTimer;
    private Segment? current;
    private long unsyncedBytes;
    private bool newName;
    private bool syncArmed;
    private bool disposed;
    private (Segment? Segment, long Offset, long Seq) cursor;

    /// <summary>Of a log that this run has written from its start.</summary>
    private readonly LogDigest? digest;

    private ChunkLog(string directory, string claimId, List<Segment> segments, long storedSeq, OutboxBudget budget, AgentTimeouts timeouts,
        TimeProvider clock, ILogger log, LogDigest? digest)
    {
        this.digest = digest;
        (this.directory, this.claimId, this.segments, this.budget, this.timeouts, this.clock, this.log) =
            (directory, claimId, segments, budget, timeouts, clock, log);
        // A segment that is missing was deleted because the server had it: see Stored.
        StoredSeq = Math.Max(storedSeq, segments.Count > 0 ? segments[0].FirstSeq - 1 : 0);
        LastSeq = Math.Max(StoredSeq, segments.Count > 0 ? segments[^1].LastSeq : 0);
        SyncedSeq = LastSeq;
        TailDamaged = segments.Count > 0 && segments[^1].Damaged;
        syncTimer = clock.CreateTimer(_ => SyncInBackground(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Highest sequence written; the next chunk is one above it.</summary>
    public long LastSeq { get; private set; }
    public long SyncedSeq { get; private set; }
    /// <summary>Everything up to it is stored by the server.</summary>
    public long StoredSeq { get; private set; }
    /// <summary>Whether the end of the last file did not form a record when it was opened.</summary>
    public bool TailDamaged { get; }

    public static ChunkLog Create(string directory, string claimId, OutboxBudget budget, AgentTimeouts timeouts, TimeProvider clock, ILogger log) =>
        new(directory, claimId, [], 0, budget, timeouts, clock, log, new LogDigest());

    /// <summary>Opens what an earlier run left. Its torn tail is not part of it.</summary>
    public static ChunkLog Recover(string directory, string claimId, long storedSeq, OutboxBudget budget, AgentTimeouts timeouts, TimeProvider clock,
        ILogger log)
    {
        var found = Segment.FindAll(directory, claimId);
        budget.TakeExisting(found.Sum(s => s.Length));
        return new ChunkLog(directory, claimId, found, storedSeq, budget, timeouts, clock, log, digest: null);
    }

    /// <summary>Adds a chunk; its budget was taken by the caller.</summary>
    /// <exception cref="IOException">Nothing was added; the same chunk can be tried again.</exception>
    public void Append(LogStream stream, byte[] data)
    {
        bool syncNow;
        lock (gate)
        {
            if (unsyncedBytes > MaxUnsynced) throw new IOException("Output that was written earlier is not durable yet.");
            var seq = LastSeq + 1;
            var at = clock.GetUtcNow();
            var frame = Segment.Encode(new LogChunk { Seq = seq, Stream = stream, At = at, Data = data });
            if (current is null || current.Length >= SegmentBytes) StartSegmentLocked(seq);
            unsynced.Add((current!, current!.Length, frame));
            try
            {
                current.Append(frame, seq);
            }
            catch
            {
                unsynced.RemoveAt(unsynced.Count - 1);
                throw;
            }
            LastSeq = seq;
            digest?.Add(seq, stream, at, data);
            unsyncedBytes += frame.Length;
            syncNow = unsyncedBytes > SyncAbove;
            if (!syncNow) ArmSyncLocked(timeouts.OutputSync);
        }
        if (syncNow) SyncInBackground();
    }

    /// <summary>Makes everything written so far durable.</summary>
    /// <exception cref="IOException">What was not durable before is kept in memory and written again by the next sync.</exception>
    public void Sync()
    {
        lock (syncing)
        {
            List<Segment> dirty;
            long upTo;
            int frames;
            bool name;
            lock (gate)
            {
                if (unsynced.Count == 0 || disposed) return;
                dirty = unsynced.Select(u => u.Segment).Distinct().ToList();
                (upTo, frames, name) = (LastSeq, unsynced.Count, newName);
            }
            try
            {
                foreach (var segment in dirty) segment.Sync();
                if (name) DurableFiles.SyncDirectory(directory);
            }
            catch (IOException)
            {
                RewriteUnsynced();
                throw;
            }
            lock (gate)
            {
                SyncedSeq = upTo;
                if (name) newName = false;
                unsyncedBytes -= unsynced.Take(frames).Sum(u => u.Frame.Length);
                unsynced.RemoveRange(0, frames);
            }
        }
    }

    /// <summary>The next synced chunks after <see cref="StoredSeq"/>; empty when there are none. At least one, however large.</summary>
    /// <param name="finalSeq">Last sequence of a finished log: what damage took before it is replaced by a marker.</param>
    /// <param name="maxBytes">Output bytes to read at most.</param>
    /// <param name="maxChunks">Chunks to read at most.</param>
    public IReadOnlyList<LogChunk> ReadBatch(long? finalSeq, int maxBytes, int maxChunks)
    {
        lock (gate)
        {
            var batch = new List<LogChunk>();
            var bytes = 0;
            var seq = StoredSeq + 1;
            var (segment, offset) = cursor.Segment is not null && cursor.Seq == seq ? (cursor.Segment, cursor.Offset) : (segments.FirstOrDefault(s => s.LastSeq >= seq), 0);
            while (batch.Count < maxChunks && bytes < maxBytes && segment is not null && seq <= SyncedSeq)
            {
                if (segment.Read(offset) is not var (chunk, next))
                {
                    var following = segments.FirstOrDefault(s => s.FirstSeq > segment.FirstSeq);
                    if (!ReferenceEquals(segment, current)) segment.Close();
                    (segment, offset) = (following, 0);
                    continue;
                }
                if (chunk.Seq < seq)
                {
                    offset = next;
                    continue;
                }
                if (chunk.Seq > seq)
                {
                    batch.Add(Lost(seq++, chunk.At));
                    continue;
                }
                if (batch.Count > 0 && bytes + chunk.Data.Length > maxBytes) break;
                batch.Add(chunk);
                bytes += chunk.Data.Length;
                (offset, seq) = (next, seq + 1);
            }
            cursor = (segment, offset, seq);
            if (TailDamaged && finalSeq is { } last && seq > SyncedSeq)
                while (seq <= last && batch.Count < maxChunks) batch.Add(Lost(seq++, clock.GetUtcNow()));
            return batch;
        }
    }

    /// <summary>
    /// Over every chunk that was written, for the receipt. Null when an earlier run has written it and its first files are freed already: what the server stores is then known to nobody
    /// here; or when the disk does not give it out. Keeping a digest in each file was rejected: it would serve steps alone whose agent was killed after more than a file of output.
    /// </summary>
    public string? Digest()
    {
        lock (gate)
        {
            if (digest is not null) return digest.Value;
            var read = new LogDigest();
            long seq = 0;
            try
            {
                foreach (var segment in segments)
                    for (long offset = 0; segment.Read(offset) is var (chunk, next); offset = next)
                    {
                        if (chunk.Seq != ++seq) return null;
                        read.Add(chunk.Seq, chunk.Stream, chunk.At, chunk.Data);
                    }
            }
            catch (IOException)
            {
                return null;
            }
            return seq == LastSeq ? read.Value : null;
        }
    }

    /// <summary>The server stores everything up to <paramref name="seq"/>: frees the room. Answers whether files were deleted.</summary>
    public bool Stored(long seq)
    {
        List<Segment> free;
        lock (gate)
        {
            StoredSeq = Math.Max(StoredSeq, seq);
            free = segments.Where(s => s.LastSeq <= StoredSeq && s.LastSeq <= SyncedSeq && (!ReferenceEquals(s, current) || s.Length > KeptWhenDrained)).ToList();
            FreeLocked(free);
        }
        return free.Count > 0;
    }

    /// <summary>The server stores no more than up to <paramref name="seq"/>: what follows is read again; markers stand for what is freed already.</summary>
    public void Rewind(long seq)
    {
        lock (gate)
        {
            StoredSeq = Math.Min(StoredSeq, seq);
            cursor = default;
        }
    }

    /// <summary>Deletes every file: nothing of this log is needed any more.</summary>
    public void Delete()
    {
        lock (syncing)
            lock (gate)
            {
                unsynced.Clear();
                unsyncedBytes = 0;
                FreeLocked([.. segments]);
            }
    }

    public void Dispose()
    {
        syncTimer.Dispose();
        lock (syncing)
            lock (gate)
            {
                disposed = true;
                foreach (var segment in segments) segment.Dispose();
            }
    }

    private void StartSegmentLocked(long seq)
    {
        current = Segment.Create(directory, claimId, seq);
        segments.Add(current);
        newName = true;
    }

    private void FreeLocked(List<Segment> free)
    {
        foreach (var segment in free)
        {
            if (ReferenceEquals(segment, current)) current = null;
            if (ReferenceEquals(segment, cursor.Segment)) cursor = default;
            segments.Remove(segment);
            budget.Give(segment.Length);
            try
            {
                segment.Delete();
            }
            catch (IOException e)
            {
                // The next start finds and deletes it: its chunks are stored.
                LogNotDeleted(segment.Path, e.Message);
            }
        }
    }

    private void RewriteUnsynced()
    {
        lock (gate)
        {
            try
            {
                foreach (var (segment, offset, frame) in unsynced) segment.Rewrite(frame, offset);
            }
            catch (IOException e)
            {
                LogSyncFailed(claimId, e.Message);
            }
        }
    }

    private void SyncInBackground()
    {
        lock (gate)
        {
            syncArmed = false;
            if (disposed) return;
        }
        try
        {
            Sync();
        }
        catch (IOException e)
        {
            LogSyncFailed(claimId, e.Message);
            lock (gate) ArmSyncLocked(timeouts.DiskRetry);
        }
    }

    private void ArmSyncLocked(TimeSpan after)
    {
        if (syncArmed || disposed) return;
        syncArmed = true;
        syncTimer.Change(after, Timeout.InfiniteTimeSpan);
    }

    private static LogChunk Lost(long seq, DateTimeOffset at) => new() { Seq = seq, Stream = LogStream.System, At = at, Data = LostMarker };

    [LoggerMessage(Level = LogLevel.Warning, Message = "Output of claim {Claim} could not be made durable yet; it is tried again: {Reason}")]
    private partial void LogSyncFailed(string claim, string reason);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Stored output could not be deleted from '{Path}': {Reason}")]
    private partial void LogNotDeleted(string path, string reason);
}
