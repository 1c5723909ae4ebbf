namespace Tanjiren.Tests;

/// <summary>
/// A clock that stands still until a test moves it. <see cref="Advance"/> moves wall and elapsed time together and fires what falls due, in order, each
/// at its own instant; <see cref="StepWall"/> moves the wall alone, as a time server or an administrator does. <c>Task.Delay</c>, <c>PeriodicTimer</c> and
/// <c>CancellationTokenSource</c> given this provider follow it. Callbacks run on the advancing thread; what they make runnable may finish a moment
/// later on the thread pool, so a test looks at the outcome with <see cref="Eventually"/>.
/// </summary>
public sealed class ManualTimeProvider(DateTimeOffset? start = null) : TimeProvider
{
    private readonly Lock _gate = new();
    private readonly List<ManualTimer> _timers = [];
    private readonly DateTimeOffset _start = start ?? new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private TimeSpan _elapsed;
    private TimeSpan _wallOffset;
    private long _created;

    public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    /// <summary>Timers that wait to fire: above zero once the loop under test sleeps.</summary>
    public int PendingTimers
    {
        get
        {
            lock (_gate)
                return _timers.Count;
        }
    }

    public override DateTimeOffset GetUtcNow()
    {
        lock (_gate)
            return _start + _elapsed + _wallOffset;
    }

    public override long GetTimestamp()
    {
        lock (_gate)
            return _elapsed.Ticks;
    }

    public void StepWall(TimeSpan by)
    {
        lock (_gate)
            _wallOffset += by;
    }

    public void Advance(TimeSpan by)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(by, TimeSpan.Zero);
        TimeSpan target;
        lock (_gate)
            target = _elapsed + by;
        while (true)
        {
            ManualTimer? due;
            lock (_gate)
            {
                due = _timers.Where(timer => timer.DueAt <= target).OrderBy(timer => timer.DueAt).ThenBy(timer => timer.Order).FirstOrDefault();
                if (due is null)
                {
                    _elapsed = target > _elapsed ? target : _elapsed;
                    return;
                }
                _elapsed = due.DueAt > _elapsed ? due.DueAt : _elapsed;
                if (due.Period > TimeSpan.Zero)
                    due.DueAt += due.Period;
                else
                    _timers.Remove(due);
            }
            // Outside of the lock: the callback may read the clock, or change and make timers.
            due.Fire();
        }
    }

    /// <summary>Waits until something sleeps on this clock, then advances: a loop that has not reached its delay yet cannot miss the step.</summary>
    public async Task AdvanceOnceSleepingAsync(TimeSpan by, int sleepers = 1)
    {
        await Eventually.TrueAsync(() => PendingTimers >= sleepers, () => $"{PendingTimers} timers wait, {sleepers} expected");
        Advance(by);
    }

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        ArgumentNullException.ThrowIfNull(callback);
        var timer = new ManualTimer(this, callback, state) { Order = Interlocked.Increment(ref _created) };
        timer.Change(dueTime, period);
        return timer;
    }

    private bool Schedule(ManualTimer timer, TimeSpan dueTime, TimeSpan period)
    {
        lock (_gate)
        {
            if (timer.Disposed)
                return false;
            _timers.Remove(timer);
            timer.Period = period;
            if (dueTime == Timeout.InfiniteTimeSpan)
                return true;
            timer.DueAt = _elapsed + dueTime;
            if (dueTime > TimeSpan.Zero)
            {
                _timers.Add(timer);
                return true;
            }
            if (period > TimeSpan.Zero)
            {
                timer.DueAt += period;
                _timers.Add(timer);
            }
        }
        // Due at once, as the system's timers: on the pool, never inside Change.
        ThreadPool.QueueUserWorkItem(static due => due.Fire(), timer, preferLocal: false);
        return true;
    }

    private void Forget(ManualTimer timer)
    {
        lock (_gate)
        {
            timer.Disposed = true;
            _timers.Remove(timer);
        }
    }

    private sealed class ManualTimer(ManualTimeProvider clock, TimerCallback callback, object? state) : ITimer
    {
        public TimeSpan DueAt { get; set; }
        public TimeSpan Period { get; set; }
        public long Order { get; init; }
        public bool Disposed { get; set; }

        public void Fire() => callback(state);

        public bool Change(TimeSpan dueTime, TimeSpan period) => clock.Schedule(this, dueTime, period);

        public void Dispose() => clock.Forget(this);

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
