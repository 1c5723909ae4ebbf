using Tanjiren.Agent.Connection;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Execution;

/// <summary>How a claim was answered, for the loop that offered it.</summary>
internal enum ClaimVerdict { Granted, Refused, Unanswered }

/// <summary>What became of a claim. <see cref="RequestStartBootMs"/> is when the granted request left: the lease is trusted from then on.</summary>
internal readonly record struct ClaimAnswer(ClaimVerdict Verdict, ClaimResponse? Response, long RequestStartBootMs);

/// <summary>
/// Asks for one step until the server has decided, always under the same claim id: a lost answer is asked for again and comes again. Given up, the server
/// may still hold a lease for the claim: its next heartbeat answer lists it, and it goes back as never started.
/// </summary>
internal sealed class ClaimAttempt(PendingStep pending, string claimId, string sessionId, RunnerParts parts)
{
    private const long MaxLeaseMs = 24L * 60 * 60 * 1000;
    private const long MaxTimeoutMs = 366 * MaxLeaseMs;

    public async Task<ClaimAnswer> RunAsync(CancellationToken giveUp)
    {
        var request = new ClaimRequest { ClaimId = claimId, ExpectedGeneration = pending.ExpectedGeneration };
        var backoff = new Backoff(parts.Options.Timeouts.BackoffFirst, parts.Options.Timeouts.BackoffMax);
        var began = parts.Clock.GetTimestamp();
        try
        {
            while (true)
            {
                var requestStart = parts.Platform.BootNowMs();
                var reply = await parts.Client.ClaimAsync(sessionId, pending.StepId, request, giveUp);
                if (reply.IsOk) return IsUsable(reply.Value!) ? new ClaimAnswer(ClaimVerdict.Granted, reply.Value!, requestStart) : new ClaimAnswer(ClaimVerdict.Refused, null, 0);
                if (parts.Sessions.Concerns(sessionId, reply)) return new ClaimAnswer(ClaimVerdict.Unanswered, null, 0);
                if (reply.Kind is not (ReplyKind.Unavailable or ReplyKind.ClockRefused)) return new ClaimAnswer(ClaimVerdict.Refused, null, 0);
                if (parts.Clock.GetElapsedTime(began) > parts.Options.Timeouts.ClaimGiveUp || parts.Steps.Draining)
                    return new ClaimAnswer(ClaimVerdict.Unanswered, null, 0);
                await Task.Delay(backoff.Next(reply.RetryAfter), parts.Clock, giveUp);
            }
        }
        catch (OperationCanceledException) when (giveUp.IsCancellationRequested)
        {
            return new ClaimAnswer(ClaimVerdict.Unanswered, null, 0);
        }
    }

    /// <summary>Its numbers decide when this agent beats, before anybody has looked at the signature over them. One that no server gives goes back with the next heartbeat.</summary>
    private static bool IsUsable(ClaimResponse claim) =>
        claim is { LeaseTtlMs: > 0 and <= MaxLeaseMs, LeaseGraceMs: >= 0 and <= MaxLeaseMs, TimeoutMs: > 0 and <= MaxTimeoutMs };
}
