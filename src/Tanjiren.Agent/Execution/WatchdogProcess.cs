using System.Collections;
using System.Diagnostics;
using System.Runtime.InteropServices;
using Tanjiren.Agent.Execution.Linux;

namespace Tanjiren.Agent.Execution;

/// <summary>The watchdog as a child process: a pipe in, a pipe out. Its error output is the agent's, so that its last words are read when the agent is gone.</summary>
internal abstract class WatchdogProcess : IDisposable
{
    public abstract int Pid { get; }

    /// <summary>Writes the whole of a short message, or nothing: false when it could not be written within the limit, or nobody reads any more.</summary>
    public abstract bool TryWrite(ReadOnlySpan<byte> message, TimeSpan limit);

    /// <summary>Bytes read; 0 at the end of the stream, which is the process's end; -1 when nothing came in time.</summary>
    public abstract int Read(byte[] buffer, int timeoutMs);

    /// <summary>End of input: it kills what it watches, and goes.</summary>
    public abstract void CloseInput();

    public abstract void Kill();

    /// <summary>Collects the exit status after <see cref="Read"/> has returned 0.</summary>
    public abstract void Reap();

    public abstract void Dispose();

    /// <exception cref="SpawnFailedException">It could not be started.</exception>
    public static WatchdogProcess Start(IReadOnlyList<string> command)
    {
        var environment = new Dictionary<string, string>();
        foreach (DictionaryEntry variable in Environment.GetEnvironmentVariables())
            environment[(string)variable.Key] = (string?)variable.Value ?? "";
        // A small process for a small duty: no collector threads, no diagnostics port.
        environment["DOTNET_gcServer"] = "0";
        environment["DOTNET_gcConcurrent"] = "0";
        environment["DOTNET_EnableDiagnostics"] = "0";
        return OperatingSystem.IsLinux() ? new LinuxWatchdogProcess(command, environment) : new PortableWatchdogProcess(command, environment);
    }
}

internal sealed unsafe class LinuxWatchdogProcess : WatchdogProcess
{
    private readonly Lock _gate = new();
    private readonly int _pid;
    private int _input;
    private int _output;
    private bool _reaped;

    public LinuxWatchdogProcess(IReadOnlyList<string> command, IReadOnlyDictionary<string, string> environment)
    {
        var program = ProgramLookup.Find(new LaunchRequest { StepId = "", Mark = 0, Argv = command, Environment = environment });
        using var input = new Linux.Pipe();
        using var output = new Linux.Pipe();
        const int ownErrorOutput = 2;
        var error = PosixSpawn.Start(program, command, [.. environment.Select(v => $"{v.Key}={v.Value}")], workingDirectory: "/",
            new PosixSpawn.Stdio(input.ReadEnd, output.WriteEnd, ownErrorOutput), mark: 0, out _pid);
        if (error != 0) throw ProgramLookup.Explain(error, command[0]);
        _input = input.TakeWriteEnd();
        _output = output.TakeReadEnd();
        _ = Libc.Fcntl(_input, Libc.F_SETFL, Libc.O_WRONLY | Libc.O_NONBLOCK);
    }

    public override int Pid => _pid;

    public override bool TryWrite(ReadOnlySpan<byte> message, TimeSpan limit)
    {
        lock (_gate)
        {
            if (_input < 0) return false;
            var until = BootClock.NowMs + (long)limit.TotalMilliseconds;
            while (true)
            {
                nint written;
                fixed (byte* bytes = message) written = Libc.Write(_input, bytes, (nuint)message.Length);
                if (written == message.Length) return true;
                var error = Marshal.GetLastPInvokeError();
                if (error == Libc.EINTR) continue;
                var left = until - BootClock.NowMs;
                if (error != Libc.EAGAIN || left <= 0) return false;
                var room = new Libc.PollFd { Fd = _input, Events = Libc.POLLOUT };
                _ = Libc.Poll(&room, 1, (int)left);
            }
        }
    }

    public override int Read(byte[] buffer, int timeoutMs)
    {
        var ready = new Libc.PollFd { Fd = _output, Events = Libc.POLLIN };
        if (Libc.Poll(&ready, 1, timeoutMs) <= 0) return -1;
        fixed (byte* bytes = buffer)
        {
            var count = Libc.Read(_output, bytes, (nuint)buffer.Length);
            return count >= 0 ? (int)count : Marshal.GetLastPInvokeError() == Libc.EINTR ? -1 : 0;
        }
    }

    public override void CloseInput()
    {
        lock (_gate) Linux.Pipe.Close(ref _input);
    }

    public override void Kill()
    {
        // Not yet reaped, so the pid is still its own.
        lock (_gate) if (!_reaped) _ = Libc.Kill(_pid, Libc.SIGKILL);
    }

    public override void Reap()
    {
        // One that closed its output and lives on would block the wait.
        Kill();
        while (Libc.WaitPid(_pid, out _, 0) < 0 && Marshal.GetLastPInvokeError() == Libc.EINTR) { }
        lock (_gate) _reaped = true;
    }

    public override void Dispose()
    {
        CloseInput();
        Linux.Pipe.Close(ref _output);
    }
}

/// <summary>Not proven on real machines yet. It has no session of its own there; it ignores the console's signals instead.</summary>
internal sealed class PortableWatchdogProcess : WatchdogProcess
{
    private readonly Process _process;
    private Task<int>? _pending;

    public PortableWatchdogProcess(IReadOnlyList<string> command, IReadOnlyDictionary<string, string> environment)
    {
        var start = new ProcessStartInfo(command[0], command.Skip(1)) { RedirectStandardInput = true, RedirectStandardOutput = true, UseShellExecute = false, CreateNoWindow = true };
        foreach (var (name, value) in environment) start.Environment[name] = value;
        try
        {
            _process = MarkedSpawn.Run(0, () => Process.Start(start)) ?? throw new SpawnFailedException($"'{command[0]}' could not be started.");
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            throw new SpawnFailedException($"'{command[0]}' could not be started: {e.Message}");
        }
    }

    public override int Pid => _process.Id;

    public override bool TryWrite(ReadOnlySpan<byte> message, TimeSpan limit)
    {
        // A write that hangs is abandoned; the caller then kills the process, which ends it.
        try
        {
            var input = _process.StandardInput.BaseStream;
            var copy = message.ToArray();
            return Task.Run(async () => { await input.WriteAsync(copy); await input.FlushAsync(); }).Wait(limit);
        }
        catch (Exception e) when (e is IOException or AggregateException or ObjectDisposedException or InvalidOperationException)
        {
            return false;
        }
    }

    public override int Read(byte[] buffer, int timeoutMs)
    {
        _pending ??= _process.StandardOutput.BaseStream.ReadAsync(buffer, 0, buffer.Length);
        try
        {
            if (!_pending.Wait(timeoutMs)) return -1;
            var count = _pending.Result;
            _pending = null;
            return count;
        }
        catch (AggregateException)
        {
            return 0;
        }
    }

    public override void CloseInput() => _process.StandardInput.Close();

    public override void Kill()
    {
        if (!_process.HasExited) _process.Kill();
    }

    public override void Reap() => _process.WaitForExit();

    public override void Dispose() => _process.Dispose();
}
