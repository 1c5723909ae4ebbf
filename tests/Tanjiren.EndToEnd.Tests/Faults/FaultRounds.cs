using System.Diagnostics;
using System.Globalization;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>
/// Runs one kind of fault again and again, every choice taken from a printed seed: <c>TANJIREN_FAULT_SEED=… eng/test -method '*…'</c> repeats them
/// (the choices, not the scheduler's). 5 rounds in eng/test, 50 in eng/test-long; one scene serves all rounds of a kind.
/// </summary>
internal static class FaultRounds
{
    public static int Count { get; } = Prerequisite.LongRun ? 50 : 5;

    /// <param name="kind">The fault's name in the table.</param>
    /// <param name="options">Of the scene.</param>
    /// <param name="round">
    /// Provokes and heals. The scene then waits until nothing runs, and checks the guarantee. What must be provoked for certain goes by
    /// <see cref="FaultScene.Round"/>, the rest by the generator.
    /// </param>
    /// <param name="exempt">Counters that this kind cannot move, and why; every other one that stays zero fails the test.</param>
    public static async Task RunAsync(string kind, SceneOptions options, Func<FaultScene, Random, Task> round, params CannotProvoke[] exempt)
    {
        var seed = int.TryParse(Environment.GetEnvironmentVariable("TANJIREN_FAULT_SEED"), NumberStyles.Integer, CultureInfo.InvariantCulture, out var given)
            ? given
            : Random.Shared.Next(1_000_000);
        Say($"fault '{kind}': seed {seed}, {Count} rounds");
        var began = Stopwatch.GetTimestamp();
        await using var scene = await FaultScene.StartAsync(options);
        for (var i = 1; i <= Count; i++)
        {
            try
            {
                scene.Round = i;
                // One generator a round: a failing round can be looked at without those before it.
                await round(scene, new Random(HashCode(seed, i)));
                await scene.SettleAsync();
            }
            catch (Exception failure)
            {
                throw new FaultRoundFailedException($"fault '{kind}', seed {seed}, round {i} of {Count}: {failure.Message}{Environment.NewLine}{scene.Evidence()}", failure);
            }
        }
        var missing = FaultTally.Add(kind, Count, await scene.CountersAsync(), exempt, Stopwatch.GetElapsedTime(began));
        Say($"fault '{kind}': {Count} rounds in {Stopwatch.GetElapsedTime(began).TotalSeconds:0} s{Environment.NewLine}{FaultTally.Table()}");
        missing.ShouldBeEmpty($"seed {seed}{Environment.NewLine}{scene.Evidence()}");
    }

    // System.HashCode is seeded by the process and would not repeat.
    private static int HashCode(int seed, int round) => unchecked((seed * 397) ^ (round * 7919));

    private static void Say(string line)
    {
        TestContext.Current.TestOutputHelper?.WriteLine(line);
        // Shown while it runs and also when all is well: the seed of a run that was green once is worth as much.
        Console.Error.WriteLine(line.Split('\n')[0].TrimEnd());
    }
}

internal sealed class FaultRoundFailedException(string message, Exception inner) : Exception(message, inner);
