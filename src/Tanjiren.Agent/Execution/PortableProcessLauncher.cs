using System.ComponentModel;
using System.Diagnostics;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Execution;

/// <summary>
/// Starts steps on macOS and Windows through System.Diagnostics.Process. It has not been proven on real machines yet. Compared with Linux: no mark
/// and no session of its own, so what leaves the root process behind is neither found nor killed.
/// </summary>
internal sealed class PortableProcessLauncher(ExecutionOptions options) : IProcessLauncher
{
    public ILaunchedProcess Launch(LaunchRequest request)
    {
        if (request.Argv.Count == 0 || request.Argv[0].Length == 0) throw new SpawnFailedException("The command is empty.");
        if (request.WorkingDirectory is { } directory && !Directory.Exists(directory))
            throw new SpawnFailedException($"The working directory '{directory}' does not exist on this machine.");
        var start = new ProcessStartInfo(FindProgram(request))
        {
            WorkingDirectory = request.WorkingDirectory ?? "",
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
            CreateNoWindow = true,
        };
        foreach (var argument in request.Argv.Skip(1)) start.ArgumentList.Add(argument);
        start.Environment.Clear();
        foreach (var (name, value) in request.Environment) start.Environment[name] = value;
        try
        {
            var process = MarkedSpawn.Run(0, () => Process.Start(start))
                ?? throw new SpawnFailedException($"'{request.Argv[0]}' could not be started.");
            if (!request.Input) process.StandardInput.Close();
            return new PortableProcess(process, request.Input, options);
        }
        catch (Win32Exception e)
        {
            throw new SpawnFailedException($"'{request.Argv[0]}' could not be started: {e.Message}");
        }
    }

    private static string FindProgram(LaunchRequest request)
    {
        var program = request.Argv[0];
        var directory = Path.GetFullPath(request.WorkingDirectory ?? Environment.CurrentDirectory);
        if (program.AsSpan().IndexOfAny('/', Path.DirectorySeparatorChar) >= 0) return Path.GetFullPath(program, directory);
        string[] extensions = [""];
        if (OperatingSystem.IsWindows())
            extensions = ["", .. (request.Environment.GetValueOrDefault("PATHEXT") ?? ".COM;.EXE;.BAT;.CMD").Split(';', StringSplitOptions.RemoveEmptyEntries)];
        var path = request.Environment.GetValueOrDefault("PATH") ?? "";
        foreach (var entry in path.Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries))
            foreach (var extension in extensions)
                if (Path.GetFullPath(Path.Join(entry, program + extension), directory) is var candidate && File.Exists(candidate)) return candidate;
        throw new SpawnFailedException($"The program '{program}' was not found on the PATH of the job ({path}).");
    }
}

/// <summary>Two readers hand their buffers to the thread that runs the step, which calls the handlers one at a time, as on Linux.</summary>
internal sealed class PortableProcess(Process process, bool input, ExecutionOptions options) : ILaunchedProcess
{
    private const int BufferSize = 64 * 1024;
    /// <summary>After the root has ended, a stream that stays silent this long is held open by somebody else and is left.</summary>
    private static readonly TimeSpan SilenceAfterEnd = TimeSpan.FromMilliseconds(250);

    private bool _finished;

    public int Pid { get; } = process.Id;

    public long StartTime { get; } = PortableTree.StartTimeOf(process);

    public ProcessInput? Input { get; } = input ? new ProcessInput(process.StandardInput.BaseStream) : null;

    public ProcessExit Run(OutputHandler onOutput, Action onTick)
    {
        Stream[] streams = [process.StandardOutput.BaseStream, process.StandardError.BaseStream];
        byte[][] buffers = [new byte[BufferSize], new byte[BufferSize]];
        var reads = new Task<int>?[] { streams[0].ReadAsync(buffers[0], 0, BufferSize), streams[1].ReadAsync(buffers[1], 0, BufferSize) };
        var exited = process.WaitForExitAsync();
        long? endedAt = null;
        while (reads[0] is not null || reads[1] is not null || endedAt is null)
        {
            var waited = reads.OfType<Task>().Concat(endedAt is null ? [exited] : []).ToArray();
            var done = Task.WaitAny(waited, endedAt is null ? options.TickInterval : SilenceAfterEnd + options.LeftoverLinger);
            if (done < 0 && endedAt is not null) break;
            if (exited.IsCompleted) endedAt ??= BootClock.NowMs;
            for (var i = 0; i < reads.Length; i++)
            {
                if (reads[i] is not { IsCompleted: true } read) continue;
                var count = read.IsCompletedSuccessfully ? read.Result : 0;
                if (count > 0) onOutput(i == 0 ? LogStream.Stdout : LogStream.Stderr, buffers[i].AsSpan(0, count));
                reads[i] = count > 0 ? streams[i].ReadAsync(buffers[i], 0, BufferSize) : null;
            }
            onTick();
        }
        _finished = true;
        // Signals show as 128 + number here; .NET does not tell them from codes.
        return new ProcessExit(process.ExitCode, null, endedAt ?? BootClock.NowMs);
    }

    public void Dispose()
    {
        Input?.Close();
        if (!_finished) _ = PortableTree.KillAsync(Pid, StartTime, CancellationToken.None).GetAwaiter().GetResult();
        process.Dispose();
    }
}
