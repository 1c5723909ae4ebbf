using System.Runtime.ExceptionServices;

namespace Tanjiren.Server.Hosting;

/// <summary>
/// A background loop that sleeps until the next thing is due instead of passing at an interval, so nothing waits for the end of an interval. Woken when that
/// changes; a hint that was lost, or a wall clock that was put forward, costs <see cref="LongestSleep"/> at most.
/// </summary>
internal abstract partial class DueLoop(string name, string wakeUp, WakeUps wakeUps, TimeProvider clock, ILogger logger) : BackgroundService, ILoop
{
    private static readonly TimeSpan LongestSleep = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan ShortestSleep = TimeSpan.FromMilliseconds(1);
    private static readonly TimeSpan RetryDelay = TimeSpan.FromSeconds(1);

    public LoopRecord Record { get; } = new(name, clock);

    protected TimeProvider Clock => clock;

    /// <summary>Does all that is due, and says when the next is; null: nothing is planned.</summary>
    public abstract Task<DateTimeOffset?> RunOnceAsync(CancellationToken cancellationToken);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var subscription = wakeUps.Subscribe(wakeUp);
        try
        {
            while (!wakeUps.IsClosed)
            {
                var (began, sleep) = (clock.GetTimestamp(), LongestSleep);
                try
                {
                    var next = await RunOnceAsync(stoppingToken);
                    if (next - clock.GetUtcNow() is { } until && until < sleep) sleep = until > ShortestSleep ? until : ShortestSleep;
                    Record.Ran(clock.GetElapsedTime(began), next);
                }
                catch (Exception e) when (e is not OperationCanceledException || !stoppingToken.IsCancellationRequested)
                {
                    sleep = RetryDelay;
                    Record.Failed(e, clock.GetElapsedTime(began), clock.GetUtcNow() + sleep);
                    LogFailed(logger, name, e);
                }
                await subscription.WaitAsync(sleep, clock, stoppingToken);
            }
        }
        catch (OperationCanceledException)
        {
            // The host stops.
        }
    }

    /// <summary>Each in its own transaction: one that can't be dealt with does not hold up the others. Its failure is the pass's, after them.</summary>
    protected async Task EachAsync(IReadOnlyList<string> ids, Func<string, Task> act, CancellationToken cancellationToken)
    {
        ExceptionDispatchInfo? failure = null;
        foreach (var id in ids)
        {
            try
            {
                await act(id);
            }
            catch (Exception e) when (!cancellationToken.IsCancellationRequested)
            {
                LogUndone(logger, name, id, e);
                failure ??= ExceptionDispatchInfo.Capture(e);
            }
        }
        failure?.Throw();
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "The loop {Loop} could not deal with {Id}; it is tried again")]
    private static partial void LogUndone(ILogger logger, string loop, string id, Exception exception);

    [LoggerMessage(Level = LogLevel.Warning, Message = "A pass of the loop {Loop} failed; it is tried again")]
    private static partial void LogFailed(ILogger logger, string loop, Exception exception);
}
