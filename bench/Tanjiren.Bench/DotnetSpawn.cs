using System.Diagnostics;

namespace Tanjiren.Bench;

/// <summary>A child started by this runtime without any queue: what is left for us between the floor and our own figure.</summary>
internal sealed class DotnetSpawn(BenchSettings settings) : ILatencyContender
{
    private readonly StampFifo _fifo = new();

    public string Name => ".NET Process.Start alone";

    public string Measures => "Process.Start called → first instruction of the child";

    public async Task<double[]> SampleAsync(int count, CancellationToken cancellation)
    {
        var samples = new double[count];
        for (var i = 0; i < count; i++)
        {
            var from = Stopwatch.GetTimestamp();
            using var child = Process.Start(settings.Stamp, [_fifo.Path]);
            samples[i] = (await _fifo.ReadAsync(cancellation) - from) / 1e6;
            await child.WaitForExitAsync(cancellation);
        }
        return samples;
    }

    public ValueTask DisposeAsync()
    {
        _fifo.Dispose();
        return ValueTask.CompletedTask;
    }
}
