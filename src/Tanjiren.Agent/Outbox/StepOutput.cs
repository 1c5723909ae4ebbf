using System.Text;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Outbox;

/// <summary>
/// Turns what a step prints into chunks: an idle stream's bytes at once, a busy stream's in pieces of up to 64 KiB or 20 ms. Keeps the step's
/// limit and its preview. A spent budget and a full disk block the writing thread, which goes on ticking: the step lives, its output waits.
/// </summary>
internal sealed partial class StepOutput : IDisposable
{
    public const int ChunkBytes = 64 * 1024;

    private readonly ChunkLog chunks;
    private readonly OutboxBudget budget;
    private readonly long limit;
    private readonly AgentTimeouts timeouts;
    private readonly TimeProvider clock;
    private readonly ILogger log;
    private readonly Action onChunk;
    private readonly ITimer timer;
    private readonly Lock gate = new();
    private readonly ManualResetEventSlim abandoned = new();
    private readonly byte[] pending = new byte[ChunkBytes];
    private readonly byte[] tail = new byte[WireLimits.MaxOutputPreviewBytes];
    private int pendingLength;
    private LogStream pendingStream;
    private long? lastFlush;
    private long tailCount;
    private long dropped;
    private bool eventIsOpen;
    private bool troubled;
    private bool finished;

    public StepOutput(ChunkLog chunks, OutboxBudget budget, long limit, AgentTimeouts timeouts, TimeProvider clock, ILogger log, Action onChunk)
    {
        (this.chunks, this.budget, this.limit, this.timeouts, this.clock, this.log, this.onChunk) = (chunks, budget, limit, timeouts, clock, log, onChunk);
        timer = clock.CreateTimer(_ => FlushIdle(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Bytes of output kept, without words of the agent.</summary>
    public long Kept { get; private set; }

    /// <summary>Whether bytes were dropped: over the limit, or because the step was given up while its output waited.</summary>
    public bool Truncated => dropped > 0;

    /// <summary>The last bytes that the step printed, kept or not.</summary>
    public byte[] Preview
    {
        get
        {
            lock (gate)
            {
                var length = (int)Math.Min(tailCount, tail.Length);
                var preview = new byte[length];
                for (var i = 0; i < length; i++) preview[i] = tail[(tailCount - length + i) % tail.Length];
                return preview;
            }
        }
    }

    /// <summary>Takes output on the step's own thread. May block; calls <paramref name="tick"/> at least every second while it does.</summary>
    public void Write(LogStream stream, ReadOnlySpan<byte> data, Action tick)
    {
        lock (gate)
        {
            // The preview is for eyes: not for events and the agent's own words.
            if (stream != LogStream.System) Remember(data);
            var keep = (int)Math.Min(data.Length, Math.Max(0, limit - Kept));
            dropped += data.Length - keep;
            Kept += keep;
            data = data[..keep];
            if (pendingLength > 0 && pendingStream != stream) FlushLocked(tick);
            pendingStream = stream;
            while (data.Length > 0)
            {
                var piece = data[..Math.Min(data.Length, ChunkBytes - pendingLength)];
                piece.CopyTo(pending.AsSpan(pendingLength));
                pendingLength += piece.Length;
                data = data[piece.Length..];
                if (pendingLength == ChunkBytes) FlushLocked(tick);
            }
            if (pendingLength == 0) return;
            var now = clock.GetTimestamp();
            if (lastFlush is { } last && clock.GetElapsedTime(last, now) < timeouts.OutputCoalescing) timer.Change(timeouts.OutputCoalescing, Timeout.InfiniteTimeSpan);
            else FlushLocked(tick);
        }
    }

    /// <summary>Writes what is pending and the marker of a truncated log, and makes it durable. Called once, after the last <see cref="Write"/>.</summary>
    public void Finish(Action tick)
    {
        lock (gate)
        {
            finished = true;
            if (pendingLength > 0) FlushLocked(tick);
            if (dropped > 0)
            {
                // In the middle of an event the marker would be a part of it.
                var marker = (eventIsOpen ? "\n" : "") + (Kept >= limit
                    ? $"[tanjiren] output truncated: the limit of {limit} bytes was reached, {dropped} more bytes were dropped\n"
                    : $"[tanjiren] output truncated: {dropped} bytes were dropped when the step was given up\n");
                AppendWhenPossible(LogStream.System, Encoding.UTF8.GetBytes(marker), tick);
            }
        }
        UntilDone(chunks.Sync, tick);
    }

    /// <summary>The step is given up: from now on nothing blocks, and output for which there is no room is dropped.</summary>
    public void Abandon()
    {
        abandoned.Set();
        budget.Nudge();
    }

    public void Dispose()
    {
        timer.Dispose();
        abandoned.Dispose();
    }

    /// <summary>The timer's way: never blocks, for it runs on a shared thread. Without room it comes back.</summary>
    private void FlushIdle()
    {
        var entered = gate.TryEnter();
        try
        {
            if (entered)
            {
                if (pendingLength == 0 || finished) return;
                if (TryFlushLocked()) return;
            }
            timer.Change(timeouts.OutputCoalescing, Timeout.InfiniteTimeSpan);
        }
        catch (ObjectDisposedException)
        {
            // The step ended between the check and the timer; its last flush was made by Finish.
        }
        finally
        {
            if (entered) gate.Exit();
        }
    }

    private bool TryFlushLocked()
    {
        var size = Segment.SizeOf(pendingLength);
        if (!budget.TryTake(size)) return false;
        try
        {
            chunks.Append(pendingStream, pending.AsSpan(0, pendingLength).ToArray());
        }
        catch (Exception e) when (IsDiskTrouble(e))
        {
            budget.Give(size);
            Tell(e);
            return false;
        }
        Appended(pendingStream, pending.AsSpan(0, pendingLength));
        Flushed();
        onChunk();
        return true;
    }

    private void FlushLocked(Action tick)
    {
        if (!AppendWhenPossible(pendingStream, pending.AsSpan(0, pendingLength).ToArray(), tick))
        {
            dropped += pendingLength;
            Kept -= pendingLength;
        }
        Flushed();
    }

    private void Flushed()
    {
        pendingLength = 0;
        lastFlush = clock.GetTimestamp();
    }

    private bool AppendWhenPossible(LogStream stream, byte[] data, Action tick)
    {
        var size = Segment.SizeOf(data.Length);
        while (!budget.TryTake(size))
        {
            if (abandoned.IsSet) return false;
            budget.WaitForRoom(size, TimeSpan.FromSeconds(1));
            tick();
        }
        if (UntilDone(() => chunks.Append(stream, data), tick))
        {
            Appended(stream, data);
            onChunk();
            return true;
        }
        budget.Give(size);
        return false;
    }

    private void Appended(LogStream stream, ReadOnlySpan<byte> data)
    {
        if (stream == LogStream.System) eventIsOpen = data[^1] != '\n';
    }

    private bool UntilDone(Action write, Action tick)
    {
        while (true)
        {
            try
            {
                write();
                troubled = false;
                return true;
            }
            catch (Exception e) when (IsDiskTrouble(e))
            {
                Tell(e);
                tick();
                if (abandoned.Wait(timeouts.DiskRetry)) return false;
            }
        }
    }

    private void Tell(Exception e)
    {
        if (!troubled) LogDiskTrouble(e.Message);
        troubled = true;
    }

    private static bool IsDiskTrouble(Exception e) => e is IOException or UnauthorizedAccessException;

    private void Remember(ReadOnlySpan<byte> data)
    {
        if (data.Length > tail.Length)
        {
            tailCount += data.Length - tail.Length;
            data = data[^tail.Length..];
        }
        foreach (var b in data) tail[tailCount++ % tail.Length] = b;
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Output cannot be written to the outbox; its step waits until it can: {Reason}")]
    private partial void LogDiskTrouble(string reason);
}
