using Tanjiren.Cli.Settings;

namespace Tanjiren.Cli.Client;

/// <summary>Pauses that double up to a bound, with jitter, so that many waiting clients do not come back in step after a server's restart.</summary>
internal sealed class Backoff(ClientTimeouts timeouts, TimeProvider clock)
{
    private int failures;

    public void Reset() => failures = 0;

    public Task PauseAsync(CancellationToken cancellation, TimeSpan? atLeast = null)
    {
        var full = Math.Min(timeouts.RetryMax.TotalMilliseconds, timeouts.RetryMin.TotalMilliseconds * Math.Pow(2, Math.Min(failures++, 20)));
        var pause = TimeSpan.FromMilliseconds(full * (0.5 + (Random.Shared.NextDouble() / 2)));
        return Task.Delay(atLeast > pause ? atLeast.Value : pause, clock, cancellation);
    }
}
