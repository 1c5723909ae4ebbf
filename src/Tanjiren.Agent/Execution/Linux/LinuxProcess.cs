using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Execution.Linux;

/// <summary>
/// A running root process. One thread a step polls both pipes and the pidfd: a wake-up for a byte costs no hop over the thread pool, and a handler
/// that blocks simply stops the reading. It reaps its own pid and no other (never waitpid(-1)), so other children of the agent are left to their owners.
/// </summary>
internal sealed unsafe partial class LinuxProcess : ILaunchedProcess
{
    private const int BufferSize = 64 * 1024;
    private const int OutputSlot = 0, ErrorSlot = 1, ExitSlot = 2;
    /// <summary>Before Linux 5.3 there is no pidfd: the exit is asked for this often.</summary>
    private const int ExitPollMs = 25;

    private readonly ProcessTree _tree;
    private readonly ExecutionOptions _options;
    private readonly ILogger _logger;
    private readonly int[] _pipes;
    private readonly byte[] _buffer = GC.AllocateUninitializedArray<byte>(BufferSize, pinned: true);
    private int _pidFd;
    private bool _reaped;

    public LinuxProcess(int pid, long startTime, ProcessTree tree, int input, int output, int error, ExecutionOptions options, ILogger logger)
    {
        Pid = pid;
        StartTime = startTime;
        _tree = tree;
        _options = options;
        _logger = logger;
        _pipes = [output, error];
        if (input >= 0) Input = new ProcessInput(new FileStream(new SafeFileHandle(input, ownsHandle: true), FileAccess.Write, bufferSize: 0));
        _pidFd = Libc.PidFdOpen(pid);
    }

    public int Pid { get; }

    public long StartTime { get; }

    public ProcessInput? Input { get; }

    public ProcessExit Run(OutputHandler onOutput, Action onTick)
    {
        ObjectDisposedException.ThrowIf(_reaped, this);
        var nextTick = BootClock.NowMs + TickMs;
        ProcessExit exit;
        while (!TryPump(onOutput, WaitMs(nextTick), out exit)) Tick(onTick, ref nextTick);
        exit = exit with { Leftovers = EndLeftovers(onOutput, onTick, nextTick) };
        Drain(OutputSlot, onOutput);
        Drain(ErrorSlot, onOutput);
        return exit;
    }

    public void Dispose()
    {
        if (!_reaped)
        {
            // Run never finished. Blocking: a caller that goes on believes that nothing runs any more.
            var report = _tree.KillAsync(TimeSpan.Zero, CancellationToken.None).GetAwaiter().GetResult();
            if (!report.IsComplete) LogSurvivors(_logger, Pid, report);
            else _ = Reap(wait: true, out _);
            _reaped = true;
        }
        Input?.Close();
        Pipe.Close(ref _pidFd);
        Pipe.Close(ref _pipes[OutputSlot]);
        Pipe.Close(ref _pipes[ErrorSlot]);
    }

    private long TickMs => (long)_options.TickInterval.TotalMilliseconds;

    private int WaitMs(long nextTick)
    {
        var untilTick = (int)Math.Clamp(nextTick - BootClock.NowMs, 0, TickMs);
        return _pidFd >= 0 ? untilTick : Math.Min(untilTick, ExitPollMs);
    }

    private void Tick(Action onTick, ref long nextTick)
    {
        if (BootClock.NowMs < nextTick) return;
        onTick();
        nextTick = BootClock.NowMs + TickMs;
    }

    /// <summary>Waits, delivers what has come, and says whether the root process has ended.</summary>
    private bool TryPump(OutputHandler onOutput, int timeoutMs, out ProcessExit exit)
    {
        var fds = stackalloc Libc.PollFd[3];
        fds[OutputSlot] = new Libc.PollFd { Fd = _pipes[OutputSlot], Events = Libc.POLLIN };
        fds[ErrorSlot] = new Libc.PollFd { Fd = _pipes[ErrorSlot], Events = Libc.POLLIN };
        fds[ExitSlot] = new Libc.PollFd { Fd = _pidFd, Events = Libc.POLLIN };
        exit = default;
        if (Libc.Poll(fds, 3, timeoutMs) < 0)
        {
            var error = Marshal.GetLastPInvokeError();
            return error == Libc.EINTR ? false : throw new InvalidOperationException($"poll failed with error {error}.");
        }
        if (fds[OutputSlot].Returned != 0) Read(OutputSlot, BufferSize, onOutput);
        if (fds[ErrorSlot].Returned != 0) Read(ErrorSlot, BufferSize, onOutput);
        if (_reaped || (_pidFd >= 0 && fds[ExitSlot].Returned == 0)) return false;
        return Reap(wait: false, out exit);
    }

    /// <summary>Reads at most <paramref name="limit"/> bytes, once; returns how many, 0 at the end of the stream.</summary>
    private int Read(int slot, int limit, OutputHandler onOutput)
    {
        nint count;
        fixed (byte* buffer = _buffer)
        {
            do count = Libc.Read(_pipes[slot], buffer, (nuint)Math.Min(limit, BufferSize));
            while (count < 0 && Marshal.GetLastPInvokeError() == Libc.EINTR);
        }
        if (count <= 0)
        {
            Pipe.Close(ref _pipes[slot]);
            return 0;
        }
        onOutput(slot == OutputSlot ? LogStream.Stdout : LogStream.Stderr, _buffer.AsSpan(0, (int)count));
        return (int)count;
    }

    /// <summary>
    /// After the root: what its tree left behind. Only then is the rest of the pipes read: a daemon may hold them open for ever, and one that writes
    /// without pause would keep a loop "until there is no more" from ending.
    /// </summary>
    private KillReport? EndLeftovers(OutputHandler onOutput, Action onTick, long nextTick)
    {
        if (!_tree.HasLeftovers()) return null;
        var lingerUntil = BootClock.NowMs + (long)_options.LeftoverLinger.TotalMilliseconds;
        while (BootClock.NowMs < lingerUntil || _tree.IsBeingKilled)
        {
            // The pid is no longer ours; without open pipes this is a plain wait between two searches.
            _ = TryPump(onOutput, ExitPollMs, out _);
            Tick(onTick, ref nextTick);
            if (!_tree.HasLeftovers()) return null;
        }
        var report = _tree.KillAsync(TimeSpan.Zero, CancellationToken.None).GetAwaiter().GetResult();
        if (!report.IsComplete) LogSurvivors(_logger, Pid, report);
        return report;
    }

    /// <summary>
    /// Reads what is in the pipe now and no more. The tree is dead, so all that it wrote is there; whoever else holds the pipe (a process that cannot be
    /// killed, or one that was handed the descriptor) must not keep the step from ending.
    /// </summary>
    private void Drain(int slot, OutputHandler onOutput)
    {
        if (_pipes[slot] < 0) return;
        int left;
        if (Libc.Ioctl(_pipes[slot], Libc.FIONREAD, &left) != 0) left = 0;
        while (left > 0)
        {
            var count = Read(slot, left, onOutput);
            if (count == 0) return;
            left -= count;
        }
    }

    private bool Reap(bool wait, out ProcessExit exit)
    {
        int result, status;
        do result = Libc.WaitPid(Pid, out status, wait ? 0 : Libc.WNOHANG);
        while (result < 0 && Marshal.GetLastPInvokeError() == Libc.EINTR);
        exit = default;
        if (result == 0) return false;
        _reaped = true;
        var now = BootClock.NowMs;
        var signal = status & 0x7f;
        exit = result < 0 ? new ProcessExit(null, null, now)
            : signal == 0 ? new ProcessExit((status >> 8) & 0xff, null, now)
            : new ProcessExit(null, SignalNames.Of(signal), now);
        if (result < 0) LogStatusLost(_logger, Pid);
        Pipe.Close(ref _pidFd);
        return true;
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Of the tree of process {Pid}: {Report}")]
    private static partial void LogSurvivors(ILogger logger, int pid, KillReport report);

    [LoggerMessage(Level = LogLevel.Error, Message = "The exit status of process {Pid} was collected by somebody else; how it ended is unknown")]
    private static partial void LogStatusLost(ILogger logger, int pid);
}
