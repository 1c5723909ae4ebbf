using System.ComponentModel;
using System.Diagnostics;
using Tanjiren.Agent.Execution;

namespace Tanjiren.Agent.Limits;

/// <summary>Asks the driver's own program for its cards.</summary>
internal static class NvidiaSmi
{
    /// <summary>It hangs with a driver that hangs; the agent starts all the same.</summary>
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(5);

    /// <summary>Null when it is not there, fails or takes too long.</summary>
    public static string? List()
    {
        var name = OperatingSystem.IsWindows() ? "nvidia-smi.exe" : "nvidia-smi";
        var program = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
            .Select(directory => Path.Join(directory, name)).FirstOrDefault(File.Exists);
        if (program is null) return null;
        try
        {
            var start = new ProcessStartInfo(program, "-L") { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false, CreateNoWindow = true };
            using var process = MarkedSpawn.Run(0, () => Process.Start(start));
            if (process is null) return null;
            var output = process.StandardOutput.ReadToEndAsync();
            var ended = Task.WhenAll(output, process.StandardError.ReadToEndAsync(), process.WaitForExitAsync());
            if (ended.Wait(Limit)) return process.ExitCode == 0 ? output.Result : null;
            process.Kill();
            return null;
        }
        catch (Exception e) when (e is Win32Exception or InvalidOperationException or AggregateException)
        {
            return null;
        }
    }
}
