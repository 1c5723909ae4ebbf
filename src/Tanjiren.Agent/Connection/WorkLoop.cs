using Tanjiren.Agent.Execution;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Connection;

/// <summary>
/// The work loop: two long-polls. One asks for work while there is room; the other stays open for cancels while there is none. Two instead of one that is
/// broken off at each freed slot: a hanging request that is cancelled costs its connection. They are broken off for a suspension only.
/// </summary>
internal sealed class WorkLoop(RunnerParts parts, StepClaimer claimer)
{
    /// <summary>Cancels named in a poll, so that the server need not repeat them. More than fit into a URL (8 KiB) are repeated.</summary>
    private const int NamedCancels = 128;

    /// <summary>Cancels remembered, newest last; more when more can run. One that is forgotten while it is repeated would be news each time: a hot loop.</summary>
    private const int KeptCancels = 1024;

    private readonly Lock gate = new();
    private readonly LinkedList<string> cancelsSeen = [];

    /// <summary>Polls for work whenever a slot is free.</summary>
    public async Task RunAsync(CancellationToken ct)
    {
        var backoff = NewBackoff();
        while (true)
        {
            await parts.Idle.AwakeAsync(ct);
            await parts.Watchdog.ReadyAsync(ct);
            await parts.Steps.WaitAsync(steps => steps.FreeSlots > 0, ct);
            await VisitAsync(backoff, () => parts.Steps.FreeSlots, ct);
        }
    }

    /// <summary>Polls for cancels while no slot is free.</summary>
    public async Task RunCancelsAsync(CancellationToken ct)
    {
        var backoff = NewBackoff();
        while (true)
        {
            await parts.Steps.WaitAsync(steps => steps.FreeSlots <= 0 && steps.Active > 0, ct);
            await parts.Idle.AwakeAsync(ct);
            await VisitAsync(backoff, () => 0, ct);
        }
    }

    /// <summary>One poll, unless the agent suspends itself. What a poll that is broken off might have brought waits at the server, and the heartbeat that follows brings it.</summary>
    private async Task VisitAsync(Backoff backoff, Func<int> capacity, CancellationToken ct)
    {
        if (parts.Idle.TryEnter() is not { } visit) return;
        using (visit)
        {
            using var either = CancellationTokenSource.CreateLinkedTokenSource(ct, visit.BreakOff);
            try
            {
                await PollAsync(backoff, capacity, either.Token);
            }
            catch (OperationCanceledException) when (!ct.IsCancellationRequested)
            {
                // Broken off; the loop waits until the agent is awake again.
            }
        }
    }

    private async Task PollAsync(Backoff backoff, Func<int> capacity, CancellationToken ct)
    {
        var session = await parts.Sessions.CurrentAsync(ct);
        string[] seen;
        lock (gate) seen = [.. cancelsSeen.TakeLast(NamedCancels)];
        var began = parts.Clock.GetTimestamp();
        var reply = await parts.Client.WorkAsync(session, Math.Max(0, capacity()), seen, ct);
        if (!reply.IsOk)
        {
            if (parts.Sessions.Concerns(session, reply)) return;
            var pause = reply.Kind switch
            {
                ReplyKind.ClockRefused => parts.Options.Timeouts.SlowRetry,
                ReplyKind.SignedOut => parts.Options.Timeouts.SignedOutRetry,
                _ => backoff.Next(reply.RetryAfter),
            };
            await Task.Delay(pause, parts.Clock, ct);
            return;
        }
        parts.Sessions.SignIn.Back();
        backoff.Reset();
        var cancelled = reply.Value!.Cancels.Count(Cancel);
        // Before they are taken on: what stirs can't be overtaken by a suspension.
        if (reply.Value.Assignments.Count > 0) parts.Idle.Stir();
        var claims = claimer.Offer(session, reply.Value.Assignments);
        if (claims.Count > 0)
        {
            // Until a claim is decided the server offers its step again. A slow one must not hold up the next for long.
            await Task.WhenAny(Task.WhenAll(claims), Task.Delay(parts.Options.Timeouts.RefusalPause, parts.Clock, ct));
        }
        else if (reply.Value.Assignments.Count > 0 || (cancelled == 0 && parts.Clock.GetElapsedTime(began) < parts.Options.Timeouts.RefusalPause))
        {
            // Only what we cannot take now, or nothing at once: the next poll would be answered the same.
            await Task.Delay(parts.Options.Timeouts.RefusalPause * (0.5 + Random.Shared.NextDouble()), parts.Clock, ct);
        }
    }

    /// <summary>Passes a cancel on; true when it is news.</summary>
    private bool Cancel(LeaseNotice notice)
    {
        if (parts.Steps.Find(notice.StepId) is { } runner)
        {
            // It overtook the answer to the claim: not seen, so the server says it again.
            if (runner.Lease is not { } lease) return false;
            if (lease.Generation == notice.LeaseGeneration) runner.Stop(StopReason.Cancel);
        }
        lock (gate)
        {
            if (cancelsSeen.Contains(notice.StepId)) return false;
            cancelsSeen.AddLast(notice.StepId);
            if (cancelsSeen.Count > Math.Max(KeptCancels, parts.Options.MaxConcurrent)) cancelsSeen.RemoveFirst();
            return true;
        }
    }

    private Backoff NewBackoff() => new(parts.Options.Timeouts.BackoffFirst, parts.Options.Timeouts.BackoffMax);
}
