using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;

using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>One real <c>tanvrit-compute</c> process: started, watched, and killed in every way that a machine can kill it.</summary>
internal sealed partial class RealProcess : IAsyncDisposable
{
    private const int SigKill = 9;
    private const int SigTerm = 15;
    private const int SigCont = 18;
    private const int SigStop = 19;

    private readonly Process _process;

    private RealProcess(Process process, ProcessLog log) => (_process, Log) = (process, log);

    public int Id => _process.Id;

    public bool HasExited => _process.HasExited;

    public int ExitCode => _process.ExitCode;

    public ProcessLog Log { get; }

    /// <summary>The build under test, beside the tests.</summary>
    public static string Executable { get; } = Path.Combine(AppContext.BaseDirectory, "tanvrit-compute.dll");

    /// <param name="name">For messages: <c>server</c>, <c>agent a</c>.</param>
    /// <param name="arguments">Of tanvrit-compute.</param>
    /// <param name="environment">Added to the test's own, from which everything of Tanjiren's is taken out first; null removes.</param>
    /// <param name="log">Continues an earlier process's log.</param>
    public static RealProcess Start(string name, IEnumerable<string> arguments, IEnumerable<KeyValuePair<string, string?>> environment, ProcessLog? log = null)
    {
        var start = new ProcessStartInfo("dotnet", ["exec", Executable, .. arguments])
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = Path.GetTempPath(),
        };
        foreach (var inherited in start.Environment.Keys.Where(key => key.StartsWith("TANVRIT_", StringComparison.Ordinal) || key.StartsWith("Tanjiren__", StringComparison.Ordinal)).ToList())
            start.Environment.Remove(inherited);
        // The keychain of whoever runs the tests is left alone.
        start.Environment["TANVRIT_KEYCHAIN"] = "file";
        foreach (var (variable, value) in environment)
            start.Environment[variable] = value;
        log ??= new ProcessLog(name);
        var process = new Process { StartInfo = start };
        process.OutputDataReceived += (_, line) => log.Add("out", line.Data);
        process.ErrorDataReceived += (_, line) => log.Add("err", line.Data);
        process.Start();
        log.Add("test", $"started as {process.Id}: {string.Join(' ', arguments)}");
        process.StandardInput.Close();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        return new RealProcess(process, log);
    }

    /// <summary>The first line, of either stream, that matches; fails at once when the process ends without one.</summary>
    public async Task<Match> WaitForLineAsync(Regex pattern, TimeSpan? limit = null)
    {
        Match? found = null;
        await Eventually.TrueAsync(() => (found = Log.Find(pattern)) is not null || HasExited, () => Log.Tail(), limit, $"a line like {pattern}");
        // What it said last is read when both streams have ended, which is after the process has.
        if (found is null) await EndAsync(SigTerm, TimeSpan.FromSeconds(60));
        return found ?? Log.Find(pattern) ?? throw new InvalidOperationException($"{Log.Name} ended with {ExitCode} before a line like {pattern}{Environment.NewLine}{Log.Tail()}");
    }

    /// <summary><c>kill -9</c>: no handler, no flush. Returns when it is dead.</summary>
    public Task KillAsync() => EndAsync(SigKill, TimeSpan.FromSeconds(60));

    /// <summary>SIGTERM, and the time it takes to end by itself.</summary>
    public async Task<int> TerminateAsync(TimeSpan? limit = null)
    {
        await EndAsync(SigTerm, limit ?? TimeSpan.FromSeconds(90));
        return ExitCode;
    }

    /// <summary>SIGTERM, without a wait.</summary>
    public void Terminate() => Send(SigTerm);

    /// <summary>SIGSTOP: it keeps its sockets and locks and does nothing, as a machine that is paged out or suspended.</summary>
    public void Pause() => Send(SigStop);

    public void Resume() => Send(SigCont);

    public async ValueTask DisposeAsync()
    {
        if (!HasExited)
            await KillAsync();
        _process.Dispose();
    }

    private async Task EndAsync(int signal, TimeSpan limit)
    {
        if (!HasExited)
            Send(signal);
        using var timeout = new CancellationTokenSource(limit, TimeProvider.System);
        try
        {
            await _process.WaitForExitAsync(timeout.Token);
        }
        catch (OperationCanceledException late)
        {
            throw new TimeoutException($"{Log.Name} ({Id}) lives {limit.TotalSeconds:0} s after signal {signal}{Environment.NewLine}{Log.Tail()}", late);
        }
        Log.Add("test", $"ended with {ExitCode} after signal {signal}");
    }

    private void Send(int signal)
    {
        Log.Add("test", $"signal {signal}");
        if (Kill(Id, signal) != 0 && !HasExited)
            throw new InvalidOperationException($"signal {signal} to {Log.Name} ({Id}): errno {Marshal.GetLastPInvokeError()}");
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int Kill(int process, int signal);
}
