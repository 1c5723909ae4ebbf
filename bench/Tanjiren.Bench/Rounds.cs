namespace Tanjiren.Bench;

/// <summary>One contender's turns; the order of turns is A B C, A B C … and never A A A.</summary>
internal sealed record Measured(string Name, string Measures, IReadOnlyList<double[]> Rounds)
{
    public int Samples => Rounds.Sum(round => round.Length);

    /// <summary>The quantile of each round, and of those the median: one disturbed round does not move it.</summary>
    public double Quantile(double q) => Statistics.Median(Rounds.Select(round => Statistics.Quantile(round, q)));

    public double Lowest(double q) => Rounds.Min(round => Statistics.Quantile(round, q));

    public double Highest(double q) => Rounds.Max(round => Statistics.Quantile(round, q));
}

internal static class Rounds
{
    public static Task<IReadOnlyList<Measured>> LatencyAsync(IReadOnlyList<Entry<ILatencyContender>> entries, BenchSettings settings, CancellationToken cancellation) =>
        RunAsync(entries, settings, one => (one.Name, () => one.Measures, () => one.SampleAsync(settings.Samples, cancellation)));

    public static Task<IReadOnlyList<Measured>> ThroughputAsync(IReadOnlyList<Entry<IThroughputContender>> entries, int items, BenchSettings settings, CancellationToken cancellation) =>
        RunAsync(entries, settings, one => (one.Name, () => one.Measures, async () => [await one.RunAsync(items, cancellation)]));

    private static async Task<IReadOnlyList<Measured>> RunAsync<T>(
        IReadOnlyList<Entry<T>> entries, BenchSettings settings, Func<T, (string Name, Func<string> Measures, Func<Task<double[]>> Turn)> describe) where T : IAsyncDisposable
    {
        var contenders = new List<T>();
        try
        {
            foreach (var entry in entries.Where(entry => settings.Wants(entry.Name)))
                contenders.Add(await entry.StartAsync());
            return await RunAsync([.. contenders.Select(describe)], settings.Rounds);
        }
        finally
        {
            foreach (var contender in contenders) await contender.DisposeAsync();
        }
    }

    private static async Task<IReadOnlyList<Measured>> RunAsync(IReadOnlyList<(string Name, Func<string> Measures, Func<Task<double[]>> Turn)> contenders, int rounds)
    {
        var results = contenders.Select(_ => new List<double[]>()).ToArray();
        // The first round warms caches, compilers and connections, and does not count.
        for (var round = 0; round <= rounds; round++)
        {
            for (var i = 0; i < contenders.Count; i++)
            {
                var values = await contenders[i].Turn();
                await Console.Error.WriteLineAsync($"round {round}/{rounds}  {contenders[i].Name}: {Statistics.Median(values):0.##}");
                if (round > 0)
                    results[i].Add(values);
            }
        }
        return [.. contenders.Select((one, i) => new Measured(one.Name, one.Measures(), results[i]))];
    }
}
