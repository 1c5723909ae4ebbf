namespace Tanjiren.Simulation.Tests.Server;

/// <summary>The clock of the server's machine: its elapsed time stands still while it sleeps, its wall clock goes on and may be stepped.</summary>
internal sealed class ServerClock(World world) : TimeProvider
{
    public static readonly DateTimeOffset Start = new(2026, 3, 1, 8, 0, 0, TimeSpan.Zero);

    private static readonly long StartMs = Start.ToUnixTimeMilliseconds();

    private long _wallOffset;
    private long _slept;
    private long? _sleptAt;

    public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;

    public override long TimestampFrequency => 1000;

    public override long GetTimestamp() => (_sleptAt ?? world.Now) - _slept;

    public override DateTimeOffset GetUtcNow() => DateTimeOffset.FromUnixTimeMilliseconds(world.Instant(StartMs + _wallOffset));

    /// <summary>Without taking time.</summary>
    public long WallMs => StartMs + _wallOffset + world.Now;

    /// <summary>Whether it was ever put back: then what happens may bear a time before that of its cause.</summary>
    public bool WentBack { get; private set; }

    public void StepWall(long byMs)
    {
        _wallOffset += byMs;
        WentBack |= byMs < 0;
    }

    public void Sleep() => _sleptAt = world.Now;

    public void Wake()
    {
        _slept += world.Now - _sleptAt!.Value;
        _sleptAt = null;
    }

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
        throw new NotSupportedException("In the simulation nothing waits but the scheduler's queue.");
}
