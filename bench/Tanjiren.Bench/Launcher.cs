using System.Globalization;

namespace Tanjiren.Bench;

/// <summary>
/// Latency of a command line that ends in <c>stamp FIFO</c>, taken by the C launcher: neither our garbage collector nor our way to start a process
/// is on the peer's bill.
/// </summary>
internal sealed class Launcher(string name, string measures, string stamp, IReadOnlyList<string> prefix) : ILatencyContender
{
    private readonly StampFifo _fifo = new();

    public string Name => name;

    public string Measures => measures;

    public static Launcher Ssh(BenchSettings settings) => new(
        "ssh, multiplexed", "exec of ssh → first instruction of the remote command, over an open ControlMaster connection", settings.Stamp,
        ["ssh", "-F", settings.SshConfig, "-o", "ControlMaster=no", "bench"]);

    public static Launcher Spawn(BenchSettings settings) => new(
        "posix_spawn alone", "spawn → first instruction of the child: the floor of every row", settings.Stamp, []);

    public async Task<double[]> SampleAsync(int count, CancellationToken cancellation)
    {
        await using var launcher = new LineProcess(stamp, ["--launch", count.ToString(CultureInfo.InvariantCulture), _fifo.Path, .. prefix, stamp, _fifo.Path]);
        var samples = new double[count];
        for (var i = 0; i < count; i++)
            samples[i] = long.Parse(await launcher.ReadLineAsync(cancellation), CultureInfo.InvariantCulture) / 1e6;
        return samples;
    }

    public ValueTask DisposeAsync()
    {
        _fifo.Dispose();
        return ValueTask.CompletedTask;
    }
}
