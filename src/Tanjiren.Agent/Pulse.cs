namespace Tanjiren.Agent;

/// <summary>A level-triggered wake-up for one waiting loop: set any number of times, taken once. A set before the wait is not lost.</summary>
internal sealed class Pulse
{
    private readonly Lock gate = new();
    private TaskCompletionSource source = New();

    public void Set()
    {
        lock (gate) source.TrySetResult();
    }

    /// <summary>Waits for the next set, or until <paramref name="longest"/> has passed; answers whether it was set.</summary>
    public async Task<bool> WaitAsync(TimeSpan longest, TimeProvider clock, CancellationToken ct)
    {
        Task signal;
        lock (gate) signal = source.Task;
        try
        {
            await signal.WaitAsync(longest, clock, ct);
        }
        catch (TimeoutException)
        {
            return false;
        }
        lock (gate) source = New();
        return true;
    }

    private static TaskCompletionSource New() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
