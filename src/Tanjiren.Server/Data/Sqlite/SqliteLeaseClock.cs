namespace Tanjiren.Server.Data.Sqlite;

/// <summary>
/// The lease clock of a single-process control plane: the wall clock at the start plus the time elapsed since. A step of the wall clock, by NTP or by
/// hand, therefore moves no lease. The reconciler stores its reading every 30 s, and the next start continues from there at the earliest, so a wall clock
/// that was turned back meanwhile makes no lease look young for hours.
/// </summary>
internal sealed class SqliteLeaseClock(TimeProvider clock)
{
    private readonly long _startTimestamp = clock.GetTimestamp();
    private long _base = clock.GetUtcNow().ToUnixTimeMilliseconds();

    public long NowMs => Interlocked.Read(ref _base) + (long)clock.GetElapsedTime(_startTimestamp).TotalMilliseconds;

    public void AdvanceTo(long lastReading)
    {
        var behind = lastReading - NowMs;
        if (behind > 0) Interlocked.Add(ref _base, behind);
    }
}
