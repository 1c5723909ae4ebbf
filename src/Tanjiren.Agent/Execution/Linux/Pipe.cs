using System.Runtime.InteropServices;

namespace Tanjiren.Agent.Execution.Linux;

/// <summary>A close-on-exec pipe. What was not taken is closed.</summary>
internal sealed unsafe class Pipe : IDisposable
{
    private int _read;
    private int _write;

    public Pipe()
    {
        var ends = stackalloc int[2];
        if (Libc.Pipe2(ends, Libc.O_CLOEXEC) != 0)
            throw new SpawnFailedException($"No pipe could be made (error {Marshal.GetLastPInvokeError()}): this agent has reached its limit of open files.");
        _read = AboveStdio(ends[0]);
        _write = AboveStdio(ends[1]);
    }

    public int ReadEnd => _read;

    public int WriteEnd => _write;

    public int TakeReadEnd() => Interlocked.Exchange(ref _read, -1);

    public int TakeWriteEnd() => Interlocked.Exchange(ref _write, -1);

    public void Dispose()
    {
        Close(ref _read);
        Close(ref _write);
    }

    /// <summary>Closes and forgets a descriptor; -1 is none.</summary>
    public static void Close(ref int fd)
    {
        var taken = Interlocked.Exchange(ref fd, -1);
        if (taken >= 0) _ = Libc.Close(taken);
    }

    /// <summary>In an agent that was started with a closed stdin the pipe would be 0, and be overwritten by the child's own.</summary>
    private static int AboveStdio(int fd)
    {
        if (fd > 2) return fd;
        var moved = Libc.Fcntl(fd, Libc.F_DUPFD_CLOEXEC, 3);
        _ = Libc.Close(fd);
        return moved;
    }
}
