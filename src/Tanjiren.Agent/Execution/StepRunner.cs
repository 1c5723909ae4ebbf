using System.Diagnostics.CodeAnalysis;
using Tanjiren.Agent.Leases;
using Tanjiren.Agent.Limits;
using Tanjiren.Agent.Masking;
using Tanjiren.Agent.Outbox;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Execution;

/// <summary>
/// One claim of one step, from the claim to the server's answer to its result: claimed, running, exited, uploading. Each act that cannot be
/// taken back is journalled durably before it: the claim id, the intent to spawn, the result. Stopping is a request that any loop makes; this
/// class alone decides what it means for the outcome.
/// </summary>
[SuppressMessage("Reliability", "CA1001", Justification = "The output is disposed at the end of RunAsync; the token source has no timer, and a late Stop may still cancel it.")]
internal sealed partial class StepRunner(PendingStep pending, string sessionId, RunnerParts parts)
{
    /// <summary>What a timer takes; a later deadline is the lease clock's.</summary>
    private const long LongestTimerMs = 0xffff_fffe;

    private readonly Lock gate = new();
    private readonly ILogger log = parts.Log;
    private readonly CancellationTokenSource giveUp = new();
    private readonly TaskCompletionSource<ClaimVerdict> decided = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource recorded = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Lease? lease;
    private StepUpload? upload;
    private StepOutput? output;
    private StepMasks masks = StepMasks.None;
    private IStepWork? work;
    /// <summary>Delivered, for the receipt; on the step's thread, and read when that has ended.</summary>
    private readonly List<StepAnswerRequest> answers = [];
    private ProcessTree? tree;
    private StepPhase phase = StepPhase.Claimed;
    private StopReason stop;
    private long? firstSignalAt;
    private bool treeEnded;
    private StepShare? share;
    private string? exceeded;
    private bool leftBehind;
    private long lastTick = parts.Platform.BootNowMs();
    // Set when it was verified, and by nothing else: what is journalled and signed from then on is what was acted on.
    private string? assignment;
    private readonly TreeKills kills = new(pending.StepId, parts.Log);
    private readonly StepTrace trace = new(pending, parts.Metrics);

    public string StepId => pending.StepId;
    public string TaskId => pending.TaskId;
    public string ClaimId { get; } = Ids.New(Ids.Claim, parts.Clock);
    public StepPhase Phase { get { lock (gate) return phase; } }
    public int? Pid { get; private set; }

    /// <summary>Null until the claim is granted.</summary>
    public Lease? Lease { get { lock (gate) return lease; } }

    /// <summary>Completes when the claim is granted, refused or given up.</summary>
    public Task<ClaimVerdict> Decided => decided.Task;

    /// <summary>Completes when nothing runs and what is to be said of it is durable.</summary>
    public Task Recorded => recorded.Task;

    /// <summary>For the heartbeat; null while the claim is open.</summary>
    public HeldLease? Held()
    {
        lock (gate)
        {
            if (lease is null || stop is StopReason.LeaseLost or StopReason.LeaseExpired or StopReason.SessionEnded && phase != StepPhase.Uploading) return null;
            return new HeldLease
            {
                StepId = StepId,
                LeaseGeneration = lease.Generation,
                Phase = phase,
                LastLogSeq = upload?.Chunks.LastSeq ?? 0,
                // Only a process has an executor that could be stuck; claiming and uploading are this agent's own loops.
                TickAgeMs = phase is StepPhase.Running or StepPhase.Exited ? Math.Max(0, parts.Platform.BootNowMs() - Volatile.Read(ref lastTick)) : 0,
            };
        }
    }

    public void Renewed(long requestStartBootMs)
    {
        if (Lease is not { } held) return;
        held.Renewed(requestStartBootMs, parts.Platform.BootNowMs());
        parts.Watchdog.Extend(StepId, held.WatchdogDeadlineBootMs(parts.Options.Timeouts.WatchdogSlack));
    }

    /// <summary>Asks the step to end. May be called from anywhere, any number of times; a stronger reason overrides a weaker one.</summary>
    public void Stop(StopReason reason)
    {
        ProcessTree? target;
        lock (gate)
        {
            if (reason <= stop || treeEnded) return;
            stop = reason;
            if (tree is not null) firstSignalAt ??= parts.Platform.BootNowMs();
            target = tree;
        }
        LogStopping(StepId, reason);
        if (reason >= StopReason.Abort) giveUp.Cancel();
        if (target is not null) Kill(target, reason);
    }

    /// <summary>It is over its memory cap. The first word stands: the tree dies while others look at it.</summary>
    private void Exceed(string words)
    {
        lock (gate) exceeded ??= words;
        Stop(StopReason.ResourceExceeded);
    }

    public void Suspend()
    {
        lock (gate) if (!treeEnded) tree?.Suspend();
    }

    public void Resume()
    {
        // What is being killed stays stopped until it is dead: not one more instruction beyond its lease.
        lock (gate) if (!treeEnded && stop < StopReason.Abort) tree?.Resume();
    }

    /// <summary>Runs the claim to its end. Never throws for what the server, the disk or the program does.</summary>
    public async Task RunAsync()
    {
        try
        {
            if (await ClaimAsync() is not { } claim) return;
            upload = parts.Outbox.Begin(ClaimId, StepId, claim.LeaseGeneration, trace.TraceParent);
            upload.LeaseLost = () => Stop(StopReason.LeaseLost);
            share = parts.Limits.Admit(StepId, claim.Resources);
            // One that goes back for want of cards counts as refused: it is left alone for a pause, and until there are cards.
            decided.TrySetResult(share.Devices is null ? ClaimVerdict.Refused : ClaimVerdict.Granted);
            try
            {
                await ExecuteAsync(claim, share);
            }
            finally
            {
                parts.Limits.Release(share, isGone: !leftBehind);
            }
            recorded.TrySetResult();
            await WaitForAnswerAsync();
        }
        finally
        {
            decided.TrySetResult(ClaimVerdict.Unanswered);
            recorded.TrySetResult();
            output?.Dispose();
            if (work is IAsyncDisposable open) await open.DisposeAsync();
        }
    }

    private async Task<ClaimResponse?> ClaimAsync()
    {
        using var span = trace.Claim();
        // Without a durable claim id a lost answer could not be told from a claim that was never made.
        if (!TryJournal(new JournalEntry { Kind = JournalKind.Claiming, ClaimId = ClaimId, StepId = StepId, TaskId = TaskId }, durable: true)) return null;
        var answer = await new ClaimAttempt(pending, ClaimId, sessionId, parts).RunAsync(giveUp.Token);
        if (answer.Response is not null) return Granted(answer.Response, answer.RequestStartBootMs);
        TryJournal(new JournalEntry { Kind = JournalKind.Closed, ClaimId = ClaimId }, durable: false);
        decided.TrySetResult(answer.Verdict);
        return null;
    }

    private ClaimResponse Granted(ClaimResponse claim, long requestStart)
    {
        trace.Granted(claim);
        lock (gate) lease = new Lease(claim, requestStart, parts.Options.Timeouts.LeaseMargin);
        parts.Steps.Changed(); // the heartbeat may have to beat sooner
        TryJournal(new JournalEntry { Kind = JournalKind.Leased, ClaimId = ClaimId, TaskId = claim.TaskId, Generation = claim.LeaseGeneration, TraceParent = trace.TraceParent }, durable: false);
        if (claim.CancelRequested) Stop(StopReason.Cancel);
        return claim;
    }

    /// <summary>Writes the result down, durably, and only then lets it be sent.</summary>
    private async Task FinishAsync(CompleteRequest words, long durationMs)
    {
        lock (gate)
        {
            treeEnded = true;
            phase = StepPhase.Exited;
        }
        var result = StepResult.Seal(words with { Detail = StepResult.Cut(masks.Text(words.Detail)) }, StepId, lease!.Generation, durationMs, upload!.Chunks.LastSeq, output);
        trace.Ended(result);
        var receipt = upload.Describe(result, TaskId, assignment, answers);
        while (!TryJournal(new JournalEntry { Kind = JournalKind.Result, ClaimId = ClaimId, Result = result, Receipt = receipt }, durable: true))
        {
            Tick();
            await Task.Delay(parts.Options.Timeouts.DiskRetry, parts.Clock);
        }
        End();
        upload.Complete(result, receipt);
    }

    private void End()
    {
        lock (gate)
        {
            treeEnded = true;
            phase = StepPhase.Uploading;
        }
    }

    private async Task WaitForAnswerAsync()
    {
        lock (gate) if (stop == StopReason.SessionEnded) return;
        // Uploads outlive sessions: when this one ends, the next one reports the result as exited and the upload goes on under it.
        await upload!.Answered.WaitAsync(giveUp.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <summary>Lets go of a claim whose result is on its way, because its session has ended.</summary>
    public void LetGo()
    {
        Stop(StopReason.SessionEnded);
        giveUp.Cancel();
    }

    private void Kill(ProcessTree target, StopReason reason)
    {
        if (reason >= StopReason.Abort) output?.Abandon();
        var timeouts = parts.Options.Timeouts;
        // Who can be asked is asked first, and has less time when its own is over. What may not run any more is not asked.
        if (reason <= StopReason.Timeout && work!.TryAskToStop())
        {
            kills.StartAfter(target, reason == StopReason.Cancel ? timeouts.CancelGrace : timeouts.TurnGrace, parts.Clock);
            return;
        }
        // The kernel's own kill leaves no moment for a fork; the other one follows it, and finds what is not in the group.
        if (reason != StopReason.Cancel) share?.Group?.Kill();
        kills.Start(target, reason == StopReason.Cancel ? timeouts.CancelGrace : TimeSpan.Zero);
    }

    private void Tick() => Volatile.Write(ref lastTick, parts.Platform.BootNowMs());

    private bool TryJournal(JournalEntry entry, bool durable)
    {
        try
        {
            parts.Journal.Append(entry, durable);
            return true;
        }
        catch (IOException e)
        {
            LogNotJournalled(StepId, entry.Kind, e.Message);
            return false;
        }
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "{StepId} is stopped: {Reason}")]
    private partial void LogStopping(string stepId, StopReason reason);

    [LoggerMessage(Level = LogLevel.Error, Message = "{Kind} of {StepId} could not be journalled: {Reason}")]
    private partial void LogNotJournalled(string stepId, JournalKind kind, string reason);
}
