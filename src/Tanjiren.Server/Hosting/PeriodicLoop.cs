using Tanjiren.Protocol;

namespace Tanjiren.Server.Hosting;

/// <summary>
/// A background loop: one pass (<see cref="RunOnceAsync"/>, which tests call directly) at a time, an interval between passes, a failed pass logged,
/// counted and tried again. Every server process runs every loop; the database arbitrates.
/// </summary>
internal abstract partial class PeriodicLoop(string name, TimeProvider clock, ILogger logger) : BackgroundService
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, long> _counters = [];
    private DateTimeOffset? _lastRunAt;
    private string? _lastError;
    private long _runs;
    private long _errors;

    protected TimeProvider Clock => clock;
    protected abstract TimeSpan Interval { get; }

    public abstract Task RunOnceAsync(CancellationToken cancellationToken);

    public LoopStatus Status()
    {
        lock (_gate)
        {
            return new LoopStatus
            {
                Name = name, LastRunAt = _lastRunAt, LastError = _lastError, Runs = _runs, Errors = _errors,
                Counters = new Dictionary<string, long>(_counters),
            };
        }
    }

    protected void Count(string counter, long by = 1)
    {
        if (by == 0) return;
        lock (_gate) _counters[counter] = _counters.GetValueOrDefault(counter) + by;
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, clock);
        try
        {
            do
            {
                try
                {
                    await RunOnceAsync(stoppingToken);
                    lock (_gate)
                    {
                        _runs++;
                        _lastRunAt = clock.GetUtcNow();
                    }
                }
                catch (Exception e) when (e is not OperationCanceledException || !stoppingToken.IsCancellationRequested)
                {
                    lock (_gate)
                    {
                        _errors++;
                        _lastError = e.Message;
                    }
                    LogFailed(logger, name, e);
                }
            } while (await timer.WaitForNextTickAsync(stoppingToken));
        }
        catch (OperationCanceledException)
        {
            // The host stops.
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "A pass of the loop {Loop} failed; it is tried again")]
    private static partial void LogFailed(ILogger logger, string loop, Exception exception);
}
