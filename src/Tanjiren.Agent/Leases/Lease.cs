using Tanjiren.Protocol;

namespace Tanjiren.Agent.Leases;

/// <summary>How long a lease may be trusted. Pure.</summary>
internal static class LeaseRules
{
    /// <summary>
    /// The last moment, on the boot clock, at which this machine may run the step: the server gives it away no earlier than TTL + grace after it
    /// took the request, and it took the request no earlier than it was sent. The margin covers drift and the time that killing takes.
    /// </summary>
    public static long Deadline(long requestStartBootMs, long ttlMs, long graceMs, TimeSpan longestMargin)
    {
        var whole = ttlMs + graceMs;
        return requestStartBootMs + whole - Math.Min((long)longestMargin.TotalMilliseconds, whole / 10);
    }

    /// <summary>Time between two renewals: a third of the TTL, so that two may fail.</summary>
    public static TimeSpan RenewalInterval(long ttlMs, TimeSpan longest)
    {
        var third = TimeSpan.FromMilliseconds(ttlMs / 3.0);
        return third < longest ? third : longest;
    }

    /// <summary>
    /// Whether an answer to a heartbeat renewed a lease: only one that the request named. The server also lists what it was not asked about (a claim whose answer was on its way
    /// then), and leaves that as it is: trusted from this request on, it would be trusted for longer than it lasts.
    /// </summary>
    public static bool IsRenewal(LeaseStanding standing, bool named) => named && standing == LeaseStanding.Held;

    /// <summary>How long one renewal may take, so that another one fits in before the lease goes stale.</summary>
    public static TimeSpan RenewalTimeout(long ttlMs, TimeSpan longest)
    {
        var half = TimeSpan.FromMilliseconds(ttlMs / 2.0);
        return half < longest ? half : longest;
    }
}

/// <summary>A lease that this agent was granted. Thread-safe: renewals come from the heartbeat, readings from the lease clock.</summary>
internal sealed class Lease(ClaimResponse claim, long requestStartBootMs, TimeSpan longestMargin)
{
    /// <summary>How late a new deadline may reach the watchdog on a loaded machine.</summary>
    private const long ExtendLatencyMs = 5000;

    private readonly List<(long Deadline, long ReplacedAt)> superseded = [];
    private long deadline = LeaseRules.Deadline(requestStartBootMs, claim.LeaseTtlMs, claim.LeaseGraceMs, longestMargin);

    public long Generation => claim.LeaseGeneration;
    public long TtlMs => claim.LeaseTtlMs;
    public long DeadlineBootMs => Volatile.Read(ref deadline);

    /// <summary>When the step must have ended, whatever its lease.</summary>
    public long HardDeadlineBootMs { get; } = requestStartBootMs + claim.TimeoutMs;

    /// <summary>When the watchdog kills it unasked: an agent that is stopped ends neither a lease nor a step over its time.</summary>
    public long WatchdogDeadlineBootMs(TimeSpan slack) => Math.Min(DeadlineBootMs, HardDeadlineBootMs + (long)slack.TotalMilliseconds);

    /// <summary>A renewal that started then was granted. Answers may overtake each other: the deadline never moves back.</summary>
    public long Renewed(long requestStartBootMs, long nowBootMs)
    {
        var fresh = LeaseRules.Deadline(requestStartBootMs, claim.LeaseTtlMs, claim.LeaseGraceMs, longestMargin);
        lock (superseded)
        {
            if (fresh <= deadline) return deadline;
            superseded.RemoveAll(s => s.ReplacedAt < nowBootMs - 2 * ExtendLatencyMs);
            superseded.Add((deadline, nowBootMs));
            Volatile.Write(ref deadline, fresh);
            return fresh;
        }
    }

    /// <summary>
    /// The deadline by which the watchdog may have judged a process that ended then. A renewal's answer may come when the old deadline has just passed and the
    /// watchdog has struck: then the old one counts, or the watchdog's kill would pass for the job's own end.
    /// </summary>
    public long DeadlineAt(long endedAtBootMs)
    {
        lock (superseded)
        {
            return superseded.Where(s => s.Deadline <= endedAtBootMs && s.ReplacedAt > endedAtBootMs - ExtendLatencyMs).Select(s => s.Deadline).Append(deadline).Min();
        }
    }
}
