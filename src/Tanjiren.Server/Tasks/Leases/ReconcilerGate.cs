namespace Tanjiren.Server.Tasks.Leases;

/// <summary>
/// Decides whether this process may release leases of others yet. It may once it has served without a gap for TTL plus grace: before that it cannot know
/// whether holders were silent or it was deaf. A start, a pause between passes, or a lease clock that ran differently from the elapsed time restarts the
/// wait, so neither an NTP step nor a laptop's sleep kills live work. Pure.
/// </summary>
internal sealed class ReconcilerGate(long maxGapMs, long maxDriftMs)
{
    private long? _lastElapsed;
    private long _lastClock;
    private long _lastWall;
    private long _servedSince;

    /// <summary>How long this process has served without a gap, after the pass at the given readings (both in milliseconds).</summary>
    /// <param name="elapsedMs">Time elapsed in this process, from any origin.</param>
    /// <param name="leaseClockMs">The lease clock of the database.</param>
    /// <param name="wallClockMs">The wall clock of this process.</param>
    public long Observe(long elapsedMs, long leaseClockMs, long wallClockMs)
    {
        var gap = _lastElapsed is { } last ? elapsedMs - last : long.MaxValue;
        var drift = _lastElapsed is null ? 0 : Math.Max(Math.Abs(leaseClockMs - _lastClock - gap), Math.Abs(wallClockMs - _lastWall - gap));
        if (gap > maxGapMs || drift > maxDriftMs) _servedSince = elapsedMs;
        (_lastElapsed, _lastClock, _lastWall) = (elapsedMs, leaseClockMs, wallClockMs);
        return elapsedMs - _servedSince;
    }
}
