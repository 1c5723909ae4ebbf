namespace Tanjiren.Server.Hosting;

/// <summary>
/// A background loop: one pass (<see cref="RunOnceAsync"/>, which tests call directly) at a time, an interval between passes, a failed pass logged,
/// counted and tried again. Every server process runs every loop; the database arbitrates.
/// </summary>
internal abstract partial class PeriodicLoop(string name, TimeProvider clock, ILogger logger) : BackgroundService, ILoop
{
    public LoopRecord Record { get; } = new(name, clock);

    protected TimeProvider Clock => clock;
    protected abstract TimeSpan Interval { get; }

    public abstract Task RunOnceAsync(CancellationToken cancellationToken);

    protected void Count(string counter, long by = 1) => Record.Count(counter, by);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, clock);
        try
        {
            do
            {
                var (began, next) = (clock.GetTimestamp(), clock.GetUtcNow() + Interval);
                try
                {
                    await RunOnceAsync(stoppingToken);
                    Record.Ran(clock.GetElapsedTime(began), next);
                }
                catch (Exception e) when (e is not OperationCanceledException || !stoppingToken.IsCancellationRequested)
                {
                    Record.Failed(e, clock.GetElapsedTime(began), next);
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
