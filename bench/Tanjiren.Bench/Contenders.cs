namespace Tanjiren.Bench;

/// <summary>Measures one latency again and again. Started once, asked in turn with the others, so that a noisy minute hits all alike.</summary>
internal interface ILatencyContender : IAsyncDisposable
{
    string Name { get; }

    /// <summary>What exactly is between the two instants; goes into the report.</summary>
    string Measures { get; }

    /// <returns>Milliseconds, one for each sample.</returns>
    Task<double[]> SampleAsync(int count, CancellationToken cancellation);
}

/// <summary>Measures how many items go through a second.</summary>
internal interface IThroughputContender : IAsyncDisposable
{
    string Name { get; }

    /// <summary>Asked when the rounds are over: it may say what they cost.</summary>
    string Measures { get; }

    Task<double> RunAsync(int items, CancellationToken cancellation);
}

/// <summary>A contender that is started only when <see cref="BenchSettings.Wants"/> its name.</summary>
internal sealed record Entry<T>(string Name, Func<Task<T>> StartAsync) where T : IAsyncDisposable;
