namespace Tanjiren.Agent.Connection;

/// <summary>
/// Exponential pauses with full jitter over the upper half. Without jitter every agent of a restarted server would come back in step.
/// Not safe for two threads: one loop, one backoff.
/// </summary>
internal sealed class Backoff(TimeSpan first, TimeSpan max)
{
    private TimeSpan ceiling;
    private TimeSpan Ceiling => ceiling == default ? first : ceiling;

    /// <summary>The next pause; at least <paramref name="atLeast"/> when the server named one.</summary>
    public TimeSpan Next(TimeSpan? atLeast = null)
    {
        var pause = Ceiling * (0.5 + Random.Shared.NextDouble() / 2);
        ceiling = Ceiling * 2 < max ? Ceiling * 2 : max;
        return atLeast is { } floor && floor > pause ? floor : pause;
    }

    public void Reset() => ceiling = default;
}
