using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace Tanjiren.Tests;

/// <summary>
/// A level-triggered wait for what other threads or processes do. It looks at the state itself, so it cannot miss an edge; the limit is only for
/// the failing case and generous, because a loaded machine must not turn green into red.
/// </summary>
public static class Eventually
{
    private static readonly TimeSpan DefaultLimit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(2);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMilliseconds(50);

    public static Task TrueAsync(
        Func<bool> condition, Func<string>? state = null, TimeSpan? limit = null, [CallerArgumentExpression(nameof(condition))] string what = "") =>
        TrueAsync(() => Task.FromResult(condition()), state, limit, what);

    /// <param name="condition">Must not throw: PassesAsync is for what may.</param>
    /// <param name="state">Says what the state was instead, for the failure's message.</param>
    /// <param name="limit">60 s unless given.</param>
    /// <param name="what">The awaited thing; the condition's text unless given.</param>
    public static async Task TrueAsync(
        Func<Task<bool>> condition, Func<string>? state = null, TimeSpan? limit = null, [CallerArgumentExpression(nameof(condition))] string what = "")
    {
        var watch = Stopwatch.StartNew();
        var pause = FirstPause;
        while (!await condition())
        {
            if (watch.Elapsed > (limit ?? DefaultLimit))
                Assert.Fail($"after {watch.Elapsed.TotalSeconds:0.0} s still not: {what}{(state is null ? "" : Environment.NewLine + state())}");
            pause = await PauseAsync(pause);
        }
    }

    public static Task PassesAsync(Action assertion, TimeSpan? limit = null) =>
        PassesAsync(() =>
        {
            assertion();
            return Task.CompletedTask;
        }, limit);

    /// <summary>Repeats an assertion until it no longer throws; at the limit its last exception is the failure.</summary>
    public static async Task PassesAsync(Func<Task> assertion, TimeSpan? limit = null)
    {
        var watch = Stopwatch.StartNew();
        var pause = FirstPause;
        while (true)
        {
            try
            {
                await assertion();
                return;
            }
            catch (Exception last) when (!last.Message.StartsWith("$XunitDynamicSkip$", StringComparison.Ordinal))
            {
                if (watch.Elapsed > (limit ?? DefaultLimit))
                    throw new TimeoutException($"still failing after {watch.Elapsed.TotalSeconds:0.0} s: {last.Message}", last);
            }
            pause = await PauseAsync(pause);
        }
    }

    private static async Task<TimeSpan> PauseAsync(TimeSpan pause)
    {
        await Task.Delay(pause, TimeProvider.System, TestContext.Current.CancellationToken);
        return pause * 2 < LongestPause ? pause * 2 : LongestPause;
    }
}
