using System.Globalization;
using Tanjiren.Agent.Connection;
using Tanjiren.Agent.Execution;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Outbox;

/// <summary>What all uploads share.</summary>
internal sealed record UploadParts(ControlPlaneClient Client, SessionKeeper Sessions, Journal Journal, AgentTimeouts Timeouts, TimeProvider Clock,
    SemaphoreSlim LogSlots, ILogger Log);

/// <summary>
/// Sends what one claim owes the server: its output in order, its answers in order, and its last word (a result, a release, or nothing). Tries for ever; every
/// request may be repeated. The output goes first while it is short; a long backlog must not hold the result up. Answers go before the result: whoever reads it has all of them.
/// </summary>
internal sealed partial class StepUpload : IDisposable
{
    /// <summary>Output in one request, at most.</summary>
    public const int BatchBytes = 1024 * 1024;

    private enum LastWord { None, Complete, Release, Nothing }

    private readonly UploadParts parts;
    private readonly Pulse pulse = new();
    private readonly Lock gate = new();
    private readonly TaskCompletionSource answered = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Queue<StepAnswerRequest> answers = new();
    private readonly Backoff backoff;
    private readonly Backoff answerBackoff;
    private long answerTried;
    private TimeSpan answerPause;
    private readonly ILogger log;
    private LastWord lastWord;
    private CompleteRequest? result;
    private ReceiptClaims? receipt;
    private bool logsRefused;
    private int batchBytes = BatchBytes;

    public StepUpload(string claimId, string stepId, long generation, ChunkLog chunks, UploadParts parts)
    {
        (ClaimId, StepId, Generation, Chunks, this.parts, log) = (claimId, stepId, generation, chunks, parts, parts.Log);
        backoff = new Backoff(parts.Timeouts.BackoffFirst, parts.Timeouts.BackoffMax);
        answerBackoff = new Backoff(parts.Timeouts.BackoffFirst, parts.Timeouts.BackoffMax);
    }

    public string ClaimId { get; }
    public string StepId { get; }
    public long Generation { get; private set; }
    public ChunkLog Chunks { get; }

    /// <summary>The trace of its task; every request of the upload is in it.</summary>
    public string? TraceParent { get; init; }

    /// <summary>Whether the claim's last word is decided; what it is may still be on its way.</summary>
    public bool HasWord
    {
        get { lock (gate) return lastWord != LastWord.None; }
    }

    /// <summary>Completes when the server has the last word, or will never take it.</summary>
    public Task Answered => answered.Task;

    /// <summary>The server's word, by an answer to any request of this upload, that the lease is gone.</summary>
    public Action? LeaseLost { get; set; }

    /// <summary>There is more to send, or the server may be back.</summary>
    public void Wake() => pulse.Set();

    /// <summary>Sends what became of a question, which the caller has made durable. Not after the last word.</summary>
    public void Answer(StepAnswerRequest durableAnswer)
    {
        lock (gate) answers.Enqueue(durableAnswer);
        pulse.Set();
    }

    /// <summary>What is to be signed of a result. Journalled with it: what is said again after a crash must be the same, and the output may not be here any more then.</summary>
    /// <param name="sealedResult">With its digest.</param>
    /// <param name="taskId">Null when a crash left only the step's id.</param>
    /// <param name="assignment">The one that was verified, if any.</param>
    /// <param name="answered">What became of its questions; null: a crash has forgotten it.</param>
    public ReceiptClaims Describe(CompleteRequest sealedResult, string? taskId, string? assignment, IReadOnlyList<StepAnswerRequest>? answered) =>
        ReceiptClaims.Of(taskId, StepId, sealedResult, assignment, Chunks.Digest(), parts.Clock.GetUtcNow()) with { Ans = AnswersDigest.Of(answered?.Select(a => new SignedAnswer(a.Question, a.Answer, a.Problem))) };

    /// <summary>Sends the result, which the caller has made durable; with a receipt, unless it is a result of an agent that knew none.</summary>
    public void Complete(CompleteRequest durableResult, ReceiptClaims? toSign) => Decide(LastWord.Complete, durableResult, toSign);

    /// <summary>Gives the step back; the caller has journalled it.</summary>
    public void Release(long generation)
    {
        Generation = generation;
        Decide(LastWord.Release, null);
    }

    /// <summary>There is nothing to say but output.</summary>
    public void SayNothing() => Decide(LastWord.Nothing, null);

    /// <summary>The lease under which a result waits to be taken; null when none does.</summary>
    public HeldLease? Held()
    {
        lock (gate)
        {
            if (lastWord != LastWord.Complete || answered.Task.IsCompleted) return null;
            return new HeldLease { StepId = StepId, LeaseGeneration = Generation, Phase = StepPhase.Uploading, LastLogSeq = Chunks.LastSeq };
        }
    }

    /// <summary>Returns when the server has everything and the claim is closed in the journal.</summary>
    public async Task RunAsync(CancellationToken ct)
    {
        using var span = StepTrace.Upload(StepId, TraceParent);
        while (true)
        {
            if (!TrySync())
            {
                await pulse.WaitAsync(parts.Timeouts.DiskRetry, parts.Clock, ct);
                continue;
            }
            // A server that takes no more must not let the outbox fill up and stop the step.
            if (logsRefused) NoteStored(Chunks.SyncedSeq);
            LastWord word;
            CompleteRequest? final;
            StepAnswerRequest? answer;
            lock (gate) (word, final, answer) = (lastWord, result, answers.TryPeek(out var first) ? first : null);
            var owed = answer is null ? TimeSpan.Zero : answerPause - parts.Clock.GetElapsedTime(answerTried);
            if (answer is not null && owed <= TimeSpan.Zero && await SendAnswerAsync(answer, ct)) continue;
            var batch = logsRefused ? [] : Chunks.ReadBatch(final?.FinalLogSeq, batchBytes, WireLimits.MaxLogChunksPerRequest);
            var backlog = batch.Count > 0 && batch[^1].Seq < Chunks.SyncedSeq;
            var mustSpeak = answer is null && word is LastWord.Complete or LastWord.Release && !Answered.IsCompleted;
            if (mustSpeak && (batch.Count == 0 || backlog)) await SpeakAsync(word, final, ct);
            else if (batch.Count > 0) await SendLogsAsync(batch, ct);
            else if (answer is not null) await pulse.WaitAsync(owed > TimeSpan.Zero ? owed : TimeSpan.FromMilliseconds(1), parts.Clock, ct);
            else if (word != LastWord.None) break;
            else await pulse.WaitAsync(TimeSpan.FromHours(1), parts.Clock, ct);
        }
        Close();
    }

    public void Dispose() => Chunks.Dispose();

    private void Decide(LastWord word, CompleteRequest? final, ReceiptClaims? toSign = null)
    {
        lock (gate)
        {
            if (lastWord != LastWord.None) return;
            (lastWord, result, receipt) = (word, final, toSign);
        }
        if (word == LastWord.Nothing) answered.TrySetResult();
        pulse.Set();
    }

    /// <summary>Nothing is sent before it is durable: a sequence number that the server knows must never come to stand for other bytes.</summary>
    private bool TrySync()
    {
        try
        {
            Chunks.Sync();
            return true;
        }
        catch (IOException e)
        {
            LogNotDurable(StepId, e.Message);
            return Chunks.SyncedSeq > Chunks.StoredSeq;
        }
    }

    /// <summary>True when the whole batch is settled: stored, or in conflict with what is. Otherwise nothing after it may be sent before it.</summary>
    private async Task<bool> SendLogsAsync(IReadOnlyList<LogChunk> batch, CancellationToken ct)
    {
        var session = await parts.Sessions.CurrentAsync(ct);
        Reply<AppendLogsResponse> reply;
        await parts.LogSlots.WaitAsync(ct);
        try
        {
            reply = await parts.Client.AppendLogsAsync(session, StepId, new AppendLogsRequest { LeaseGeneration = Generation, Chunks = batch }, ct);
        }
        finally
        {
            parts.LogSlots.Release();
        }
        if (reply.IsOk)
        {
            backoff.Reset();
            NoteStored(Math.Min(reply.Value!.StoredSeq, Chunks.SyncedSeq));
            // A server that stores less than it was sent is asked again, not in a hot loop.
            if (reply.Value.StoredSeq >= batch[^1].Seq) return true;
            await PauseAsync(ReplyKind.Unavailable, null, ct);
            return false;
        }
        if (parts.Sessions.Concerns(session, reply)) return false;
        switch (reply.Kind)
        {
            case ReplyKind.LogConflict when ServersLast(reply.Problem) is { } last && batch[0].Seq > last + 1:
                // A gap and no conflict, by the same code: to take it for one would free chunks that the server never got.
                LogGap(StepId, batch[0].Seq, last);
                Chunks.Rewind(last);
                await PauseAsync(ReplyKind.Unavailable, null, ct);
                break;
            case ReplyKind.LogConflict when batch.Count > 1:
                foreach (var chunk in batch)
                    if (!await SendLogsAsync([chunk], ct)) return false;
                return true;
            case ReplyKind.LogConflict:
                LogConflict(StepId, batch[0].Seq);
                NoteStored(batch[0].Seq);
                return true;
            case ReplyKind.TooLarge when Halve(batch):
                break;
            case ReplyKind.LogLimitReached or ReplyKind.NotFound or ReplyKind.Refused:
                LogLogsRefused(StepId, reply.Words);
                logsRefused = true;
                NoteStored(Chunks.SyncedSeq);
                break;
            case ReplyKind.LeaseLost:
                LeaseLost?.Invoke();
                LogLogsRefused(StepId, reply.Words);
                logsRefused = true;
                NoteStored(Chunks.SyncedSeq);
                break;
            default:
                await PauseAsync(reply.Kind, reply.RetryAfter, ct);
                break;
        }
        return false;
    }

    /// <summary>The last sequence that the server stores, as its refusal names it.</summary>
    private static long? ServersLast(ProblemBody? problem) =>
        long.TryParse(problem?.CurrentState, NumberStyles.None, CultureInfo.InvariantCulture, out var seq) ? seq : null;

    /// <summary>Something in between lets less through than the server: smaller batches, for good. False when it can get no smaller.</summary>
    private bool Halve(IReadOnlyList<LogChunk> batch)
    {
        if (batch.Count == 1 || batchBytes == 1) return false;
        batchBytes = Math.Max(1, Math.Min(batchBytes, batch.Sum(c => c.Data.Length)) / 2);
        return true;
    }

    /// <summary>False: it is still owed, and tried again after a pause, for which output does not wait.</summary>
    private async Task<bool> SendAnswerAsync(StepAnswerRequest answer, CancellationToken ct)
    {
        var session = await parts.Sessions.CurrentAsync(ct);
        var reply = await parts.Client.AnswerAsync(session, StepId, answer, ct);
        if (parts.Sessions.Concerns(session, reply)) return false;
        switch (reply.Kind)
        {
            case ReplyKind.Ok:
                answerBackoff.Reset();
                break;
            case ReplyKind.LeaseLost or ReplyKind.ResultConflict or ReplyKind.NotFound or ReplyKind.Refused or ReplyKind.NotClaimable or ReplyKind.TooLarge:
                // Not the end of the step: its output, its other answers and its result may still be taken.
                LogWordRefused(StepId, Generation, $"answer to '{answer.Question}'", reply.Words);
                break;
            default:
                (answerTried, answerPause) = (parts.Clock.GetTimestamp(), PauseOf(reply.Kind, reply.RetryAfter, answerBackoff));
                return false;
        }
        TryJournal(new JournalEntry { Kind = JournalKind.AnswerStored, ClaimId = ClaimId, Question = answer.Question });
        lock (gate) answers.Dequeue();
        return true;
    }

    private async Task SpeakAsync(LastWord word, CompleteRequest? final, CancellationToken ct)
    {
        var session = await parts.Sessions.CurrentAsync(ct);
        // Signed when it is sent, not when it is made: the key may have been rotated since, and the server takes a receipt by the key that proves the request.
        var (signed, signedBy) = word == LastWord.Complete && receipt is not null ? parts.Client.SignReceipt(receipt) : default;
        var reply = word == LastWord.Complete
            ? await parts.Client.CompleteAsync(session, StepId, final! with { Receipt = signed }, ct)
            : await parts.Client.ReleaseAsync(session, StepId, new ReleaseRequest { LeaseGeneration = Generation, Reason = "never started" }, ct);
        if (parts.Sessions.Concerns(session, reply)) return;
        switch (reply.Kind)
        {
            case ReplyKind.Ok:
                backoff.Reset();
                break;
            case ReplyKind.Refused when signed is not null:
                // A new key came in between: the next receipt is by that one.
                if (signedBy != parts.Client.KeyFingerprint) return;
                // The result counts for more than its receipt: without this it would be lost for a fault of one of the two sides.
                LogReceiptRefused(StepId, reply.Words);
                receipt = null;
                return;
            case ReplyKind.LeaseLost or ReplyKind.ResultConflict or ReplyKind.NotFound or ReplyKind.Refused or ReplyKind.NotClaimable:
                LogWordRefused(StepId, Generation, word == LastWord.Complete ? "result" : "release", reply.Words);
                break;
            default:
                await PauseAsync(reply.Kind, reply.RetryAfter, ct);
                return;
        }
        TryJournal(new JournalEntry { Kind = JournalKind.Answered, ClaimId = ClaimId });
        answered.TrySetResult();
        if (reply.Kind == ReplyKind.LeaseLost) LeaseLost?.Invoke();
    }

    /// <summary>A wake-up says that the server is back; new output alone must not shorten the pause of a server that is away, hence no pulse here.</summary>
    private Task PauseAsync(ReplyKind kind, TimeSpan? retryAfter, CancellationToken ct) => Task.Delay(PauseOf(kind, retryAfter, backoff), parts.Clock, ct);

    private TimeSpan PauseOf(ReplyKind kind, TimeSpan? retryAfter, Backoff steps) => kind switch
    {
        ReplyKind.ClockRefused => parts.Timeouts.SlowRetry,
        ReplyKind.SignedOut => parts.Timeouts.SignedOutRetry,
        _ => steps.Next(retryAfter),
    };

    private void NoteStored(long seq)
    {
        if (Chunks.Stored(seq)) TryJournal(new JournalEntry { Kind = JournalKind.Stored, ClaimId = ClaimId, Seq = seq });
    }

    private void Close()
    {
        Chunks.Delete();
        TryJournal(new JournalEntry { Kind = JournalKind.Closed, ClaimId = ClaimId });
    }

    /// <summary>For records that only save work: without them the next start repeats requests, which the server answers the same.</summary>
    private void TryJournal(JournalEntry entry)
    {
        try
        {
            parts.Journal.Append(entry, durable: false);
        }
        catch (IOException e)
        {
            LogNotJournalled(StepId, entry.Kind, e.Message);
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Output of {StepId} waits for the disk: {Reason}")]
    private partial void LogNotDurable(string stepId, string reason);

    [LoggerMessage(Level = LogLevel.Error, Message = "The server has other bytes than chunk {Seq} of {StepId}; its own stay")]
    private partial void LogConflict(string stepId, long seq);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The server has the output of {StepId} up to chunk {Stored}, not up to the one before {Seq}; what is missing is sent again")]
    private partial void LogGap(string stepId, long seq, long stored);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The server takes no more output of {StepId}: {Words}")]
    private partial void LogLogsRefused(string stepId, string words);

    [LoggerMessage(Level = LogLevel.Error, Message = "The receipt of {StepId} was refused, so its result is sent without one: {Words}")]
    private partial void LogReceiptRefused(string stepId, string words);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The {Word} of {StepId}, generation {Generation}, was refused for good: {Words}")]
    private partial void LogWordRefused(string stepId, long generation, string word, string words);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Kind} of {StepId} could not be journalled: {Reason}")]
    private partial void LogNotJournalled(string stepId, JournalKind kind, string reason);
}
