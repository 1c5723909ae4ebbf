using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;

namespace Tanjiren.Bench;

/// <summary>Output of one job, in MiB a second: printed by its process, stored by the server, and tailed by whoever started it.</summary>
internal sealed class LogTail : IThroughputContender
{
    private readonly string _file;
    private readonly ControlPlaneProcess _server;
    private readonly string _instance;
    private double _peakBefore;

    private LogTail(ControlPlaneProcess server, string instance, string file) => (_server, _instance, _file) = (server, instance, file);

    public string Name => "Tanjiren on SQLite, jobs run";

    public string Measures => string.Create(CultureInfo.InvariantCulture,
        $"`jobs run -- cat FILE`, from the start of the command line to its end, every byte through agent, outbox, server and event stream; most memory ever resident in the server {_server.Peaks[0]:0} MiB, in the agent {_server.Peaks[1]:0} MiB ({_peakBefore:0} MiB in both together after the first round)");

    public static async Task<LogTail> StartAsync(string file, CancellationToken cancellation)
    {
        var server = await ControlPlaneProcess.StartAsync(postgres: null, cancellation);
        return new LogTail(server, await server.StartAgentAsync(cancellation), file);
    }

    public async Task<double> RunAsync(int items, CancellationToken cancellation)
    {
        var rate = await MiBPerSecondAsync(_server.CommandLine(["jobs", "run", "--workstation", _instance, "--", "cat", _file]), _file, cancellation);
        if (_peakBefore is 0) _peakBefore = _server.Peaks.Take(2).Sum();
        return rate;
    }

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    /// <summary>A file that nothing compresses.</summary>
    public static string CreateFile(string directory, int mebibytes)
    {
        var path = Path.Combine(directory, "output");
        using var file = File.Create(path);
        for (var i = 0; i < mebibytes; i++) file.Write(RandomNumberGenerator.GetBytes(1 << 20));
        return path;
    }

    /// <summary>Runs a program that prints the file, counts what it prints, and checks that it was all.</summary>
    public static async Task<double> MiBPerSecondAsync(ProcessStartInfo start, string file, CancellationToken cancellation)
    {
        var from = Stopwatch.GetTimestamp();
        start.RedirectStandardOutput = true;
        using var process = Process.Start(start)!;
        var buffer = new byte[1 << 16];
        long total = 0;
        for (int read; (read = await process.StandardOutput.BaseStream.ReadAsync(buffer, cancellation)) > 0;) total += read;
        await process.WaitForExitAsync(cancellation);
        var seconds = Stopwatch.GetElapsedTime(from).TotalSeconds;
        if (process.ExitCode != 0 || total != new FileInfo(file).Length) throw new InvalidOperationException($"{start.FileName} ended with {process.ExitCode} after {total} bytes");
        return total / 1048576.0 / seconds;
    }
}

/// <summary>The same bytes over an open ssh connection.</summary>
internal sealed class SshCat(BenchSettings settings, string file) : IThroughputContender
{
    public string Name => "ssh cat";

    public string Measures => "`ssh host cat FILE` over an open ControlMaster connection, nothing stored";

    public Task<double> RunAsync(int items, CancellationToken cancellation) =>
        LogTail.MiBPerSecondAsync(new ProcessStartInfo("ssh", ["-F", settings.SshConfig, "-o", "ControlMaster=no", "bench", "cat", file]), file, cancellation);

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
