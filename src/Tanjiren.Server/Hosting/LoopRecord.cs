using Tanjiren.Protocol;

namespace Tanjiren.Server.Hosting;

/// <summary>Something that works in the background for as long as the server runs. <c>/api/status</c> lists each; a test holds every hosted service to it.</summary>
internal interface ILoop
{
    LoopRecord Record { get; }
}

/// <summary>What a loop did since the start. Any thread may write and read.</summary>
internal sealed class LoopRecord(string name, TimeProvider clock)
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, long> _counters = [];
    private readonly Dictionary<string, long> _errorTypes = [];
    private DateTimeOffset? _lastRunAt;
    private DateTimeOffset? _nextRunAt;
    private TimeSpan? _lastDuration;
    private string? _lastError;
    private long _runs;
    private long _errors;

    public string Name => name;

    /// <summary>A pass is through. <paramref name="next"/>: when the next one is due, for loops that go by the clock.</summary>
    public void Ran(TimeSpan took, DateTimeOffset? next = null)
    {
        lock (_gate)
        {
            _runs++;
            _lastRunAt = clock.GetUtcNow();
            (_lastDuration, _nextRunAt) = (took, next);
        }
    }

    public void Failed(Exception exception, TimeSpan? took = null, DateTimeOffset? next = null)
    {
        var type = exception.GetType().FullName!;
        lock (_gate)
        {
            _errors++;
            _errorTypes[type] = _errorTypes.GetValueOrDefault(type) + 1;
            (_lastError, _lastDuration, _nextRunAt) = (exception.Message, took ?? _lastDuration, next);
        }
    }

    /// <summary>What failed works again and waits for something to do: the instant of the next try is over, and a record that kept it would look stuck.</summary>
    public void Waits()
    {
        lock (_gate) _nextRunAt = null;
    }

    public void Count(string counter, long by = 1)
    {
        if (by == 0) return;
        lock (_gate) _counters[counter] = _counters.GetValueOrDefault(counter) + by;
    }

    /// <summary>Failures by the type of the exception, which a metric may carry: a message may say anything.</summary>
    public IReadOnlyDictionary<string, long> ErrorTypes()
    {
        lock (_gate) return new Dictionary<string, long>(_errorTypes);
    }

    public LoopStatus Status()
    {
        lock (_gate)
        {
            return new LoopStatus
            {
                Name = name, LastRunAt = _lastRunAt, LastDurationMs = _lastDuration?.TotalMilliseconds, NextRunAt = _nextRunAt, LastError = _lastError, Runs = _runs,
                Errors = _errors, Counters = new Dictionary<string, long>(_counters),
            };
        }
    }
}
