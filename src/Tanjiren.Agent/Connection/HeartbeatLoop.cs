using System.Diagnostics.CodeAnalysis;
using Tanjiren.Agent.Execution;
using Tanjiren.Agent.Idle;
using Tanjiren.Agent.Leases;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Connection;

/// <summary>
/// The heartbeat loop: says that this machine is there, renews its leases, and acts on what the server thinks of each. It beats as often as the server asks,
/// and while leases are held at least every third of the shortest TTL. While the agent is suspended it is the only request: it hangs at the server until there is work.
/// </summary>
[SuppressMessage("Reliability", "CA1001", Justification = "A semaphore whose wait handle is never asked for holds nothing.")]
internal sealed partial class HeartbeatLoop(RunnerParts parts, StepClaimer claimer, Reconciler reconciler, IReadOnlyDictionary<string, string> labels)
{
    private readonly ILogger log = parts.Log;
    private readonly Pulse wake = new();
    private readonly SemaphoreSlim beating = new(1, 1);
    private volatile bool beatNow;
    private bool wasCut;
    private TimeSpan asked = parts.Options.Timeouts.Heartbeat;

    public DateTimeOffset? LastBeatAt { get; private set; }

    /// <summary>Something changed that the server should hear of now, such as a drain.</summary>
    public void Wake()
    {
        beatNow = true;
        wake.Set();
    }

    public async Task RunAsync(CancellationToken ct)
    {
        var leases = WakeOnLeasesAsync(ct);
        var backoff = new Backoff(parts.Options.Timeouts.BackoffFirst, parts.Options.Timeouts.BackoffMax);
        while (true)
        {
            var session = await parts.Sessions.CurrentAsync(ct);
            beatNow = false;
            var began = parts.Clock.GetTimestamp();
            var hang = Hang();
            var kind = hang is { } until ? await HangAsync(session, until, ct) : await BeatAsync(session, ct);
            parts.Idle.Beaten();
            parts.Options.Life?.Invoke(AgentLife.Alive);
            if (leases.IsFaulted) await leases;
            if (kind == ReplyKind.Ok) backoff.Reset();
            TimeSpan? retry = kind switch
            {
                // One that has hung is followed by the next, as long as the agent is suspended.
                ReplyKind.Ok => hang is not null && parts.Idle.Phase == IdlePhase.Suspended ? TimeSpan.Zero : null,
                ReplyKind.ClockRefused => parts.Options.Timeouts.SlowRetry,
                // It holds nothing any more; a poll that is let in again may change that before the next beat.
                ReplyKind.SignedOut => null,
                // The session is gone: CurrentAsync waits for the next one.
                ReplyKind.SessionEnded or ReplyKind.IdentityInUse => TimeSpan.Zero,
                // A failed renewal is tried again soon, while there is time for it.
                _ => parts.Clock.GetElapsedTime(began) + Shorter(backoff.Next(), Interval() / 2),
            };
            // A lease that is granted while this waits may shorten the interval: reckoned anew at each wake-up, from the last beat.
            TimeSpan Pause() => retry ?? (kind == ReplyKind.SignedOut && ShortestTtl(parts.Steps.All) is null ? parts.Options.Timeouts.SignedOutRetry : Interval());
            while (!beatNow && Pause() - parts.Clock.GetElapsedTime(began) is var left && left > TimeSpan.Zero)
                await wake.WaitAsync(left, parts.Clock, ct);
        }
    }

    /// <summary>One heartbeat. Also called by the lease clock, after the machine has slept.</summary>
    public async Task<ReplyKind> BeatAsync(string session, CancellationToken ct)
    {
        var (kind, pending) = await AskAsync(session, hangSeconds: 0, ct);
        await OfferAsync(session, pending, ct);
        return kind;
    }

    /// <summary>Set while the heartbeat may hang, until it is cancelled: never while a lease waits to be renewed.</summary>
    private CancellationToken? Hang()
    {
        if (parts.Idle.Hanging is not { } until) return null;
        if (parts.Steps.Active == 0 && !parts.Outbox.HeldWithoutRunner().Any()) return until;
        parts.Idle.Stir();
        return null;
    }

    /// <summary>The one request of a suspended agent.</summary>
    private async Task<ReplyKind> HangAsync(string session, CancellationToken until, CancellationToken ct)
    {
        var hangSeconds = IdleRules.HangSeconds(asked, wasCut, parts.Options.Timeouts);
        var began = parts.Clock.GetTimestamp();
        using var either = CancellationTokenSource.CreateLinkedTokenSource(ct, until);
        ReplyKind kind;
        IReadOnlyList<PendingStep> pending;
        try
        {
            (kind, pending) = await AskAsync(session, hangSeconds, either.Token);
        }
        catch (OperationCanceledException) when (!ct.IsCancellationRequested)
        {
            // Awake for another reason. It has named no lease, and what it might have brought the poll brings; to hang on would hold up the renewals.
            return ReplyKind.Ok;
        }
        var took = parts.Clock.GetElapsedTime(began);
        if (kind == ReplyKind.Unavailable && IdleRules.IsCut(took, parts.Options.Timeouts)) wasCut = true;
        if (kind != ReplyKind.Ok) return kind;
        await OfferAsync(session, pending, ct);
        return pending.Count == 0 && IdleRules.IsEarly(took, hangSeconds) ? ReplyKind.Unavailable : ReplyKind.Ok;
    }

    /// <summary>Behind a proxy that lets no request hang this alone brings work (W-05); to a suspended agent it always does. Stirred first, so that no suspension overtakes it.</summary>
    private async Task OfferAsync(string session, IReadOnlyList<PendingStep> pending, CancellationToken ct)
    {
        if (pending.Count == 0) return;
        // The watchdog first. One that does not start in time is waited for by the polls, which bring the same steps.
        if (parts.Idle.Stir())
        {
            await parts.Watchdog.ReadyAsync(ct).WaitAsync(parts.Options.Timeouts.Request, parts.Clock, ct).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            parts.Idle.Stir(); // that may have taken longer than idleSuspendSeconds
        }
        claimer.Offer(session, pending);
    }

    private async Task<(ReplyKind Kind, IReadOnlyList<PendingStep> Pending)> AskAsync(string session, int hangSeconds, CancellationToken ct)
    {
        await beating.WaitAsync(ct);
        try
        {
            var runners = parts.Steps.All;
            var inWork = runners.Select(r => r.ClaimId).ToHashSet();
            var request = Describe(runners) with { WaitSeconds = hangSeconds };
            var started = parts.Platform.BootNowMs();
            var timeout = hangSeconds > 0 ? TimeSpan.FromSeconds(hangSeconds) + parts.Options.Timeouts.LongPollSlack : Timeout(runners);
            var reply = await parts.Client.HeartbeatAsync(session, request, timeout, ct);
            if (!reply.IsOk)
            {
                if (!parts.Sessions.Concerns(session, reply) && reply.Kind != ReplyKind.SignedOut) LogFailed(reply.Kind, reply.Words);
                return (reply.Kind, []);
            }
            LastBeatAt = parts.Clock.GetUtcNow();
            asked = TimeSpan.FromSeconds(Math.Clamp(reply.Value!.NextHeartbeatSeconds, 1, 300));
            var named = request.Leases!.Select(l => (l.StepId, l.LeaseGeneration)).ToHashSet();
            foreach (var answer in reply.Value.Leases) Act(answer, started, inWork, named.Contains((answer.StepId, answer.LeaseGeneration)));
            // It brings work, which only a machine that is signed in is given. Nobody else asks in a suspended agent; and one that holds nothing is answered only while it is signed in.
            if (reply.Value.PendingTasks.Count > 0 || (hangSeconds > 0 && reply.Value.Leases.Count == 0)) parts.Sessions.SignIn.Back();
            parts.Outbox.Wake();
            return (ReplyKind.Ok, reply.Value.PendingTasks);
        }
        finally
        {
            beating.Release();
        }
    }

    private HeartbeatRequest Describe(IReadOnlyList<StepRunner> runners)
    {
        var leases = runners.Select(r => r.Held()).OfType<HeldLease>().ToList();
        // Results of an earlier session have no runner any more; their leases live until the server has them.
        var named = leases.Select(l => l.StepId).ToHashSet();
        leases.AddRange(parts.Outbox.HeldWithoutRunner().Where(l => named.Add(l.StepId)));
        return new HeartbeatRequest
        {
            Draining = parts.Steps.TakesNothing,
            AgentVersion = parts.Options.AgentVersion,
            Labels = labels,
            // Looked for each time: one that is installed, or goes, is known with the next beat.
            CodingAgents = parts.CodingAgents.Names(),
            ActiveTaskCount = runners.Count,
            MaxConcurrent = parts.Options.MaxConcurrent,
            Leases = leases,
        };
    }

    private void Act(LeaseAnswer answer, long requestStart, HashSet<string> inWork, bool named)
    {
        var runner = parts.Steps.Find(answer.StepId);
        if (runner?.Lease is { } lease && lease.Generation == answer.LeaseGeneration)
        {
            switch (answer.Standing)
            {
                case LeaseStanding.Held:
                    if (LeaseRules.IsRenewal(answer.Standing, named)) runner.Renewed(requestStart);
                    break;
                case LeaseStanding.NotRenewed:
                    LogNotRenewed(answer.StepId);
                    break;
                case LeaseStanding.Lost or LeaseStanding.Completed:
                    runner.Stop(StopReason.LeaseLost);
                    break;
            }
            if (answer.CancelRequested) runner.Stop(StopReason.Cancel);
            return;
        }
        // A result that waits in the outbox, which says its own word; a claim of this moment, or one that ended since the request left.
        if (named || runner is not null || (answer.ClaimId is { } claim && inWork.Contains(claim))) return;
        if (answer.Standing is LeaseStanding.Held or LeaseStanding.NotRenewed) reconciler.HandBackUnknown(answer);
    }

    /// <summary>A lease shortens the interval when it is granted, not after the long one has passed.</summary>
    private async Task WakeOnLeasesAsync(CancellationToken ct)
    {
        while (true)
        {
            var known = ShortestTtl(parts.Steps.All);
            wake.Set();
            await parts.Steps.WaitAsync(steps => ShortestTtl(steps.All) != known, ct);
        }
    }

    private TimeSpan Interval()
    {
        var shortest = ShortestTtl(parts.Steps.All);
        return shortest is { } ttl ? Shorter(asked, LeaseRules.RenewalInterval(ttl, parts.Options.Timeouts.Renewal)) : asked;
    }

    private TimeSpan Timeout(IReadOnlyList<StepRunner> runners) =>
        ShortestTtl(runners) is { } ttl ? LeaseRules.RenewalTimeout(ttl, parts.Options.Timeouts.Request) : parts.Options.Timeouts.Request;

    private static long? ShortestTtl(IReadOnlyList<StepRunner> runners) => runners.Min(r => r.Lease?.TtlMs);

    private static TimeSpan Shorter(TimeSpan a, TimeSpan b) => a < b ? a : b;

    [LoggerMessage(Level = LogLevel.Warning, Message = "The heartbeat failed ({Kind}): {Words}")]
    private partial void LogFailed(ReplyKind kind, string words);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The lease of {StepId} was not renewed: its executor has shown no life for a minute")]
    private partial void LogNotRenewed(string stepId);
}
