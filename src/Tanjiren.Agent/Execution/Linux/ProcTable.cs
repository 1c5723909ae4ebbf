using System.Buffers;
using System.Buffers.Text;
using System.Globalization;
using System.IO.Enumeration;
using System.Runtime.InteropServices;
using System.Text;

namespace Tanjiren.Agent.Execution.Linux;

/// <summary>A process as /proc shows it. <paramref name="StartTime"/> is in clock ticks since boot: with the pid it is unique.</summary>
internal readonly record struct ProcEntry(int Pid, int ParentPid, long StartTime, char State, int Threads)
{
    /// <summary>
    /// Dead but for its exit status. A leader that ended before its other threads shows as zombie too, with more than one thread: that one
    /// still runs, and may be signalled.
    /// </summary>
    public bool IsDead => State is 'X' or 'x' || (State == 'Z' && Threads <= 1);

    public bool IsStopped => State is 'T' or 't';
}

/// <summary>Reads /proc. Processes come and go meanwhile: every read may find its process gone, which is an answer and no error.</summary>
internal static unsafe class ProcTable
{
    /// <summary>How much of a process's environment is searched. The agent puts its own variables first.</summary>
    private const int EnvironmentLimit = 256 * 1024;
    private const int KernelThreads = 2;

    public static IEnumerable<int> Pids() => new FileSystemEnumerable<int>("/proc",
        (ref FileSystemEntry e) => int.Parse(e.FileName, NumberStyles.None, CultureInfo.InvariantCulture))
    {
        ShouldIncludePredicate = (ref FileSystemEntry e) => char.IsAsciiDigit(e.FileName[0]),
    };

    /// <summary>Every live process but this one and the kernel's own threads.</summary>
    public static List<ProcEntry> Live()
    {
        var live = new List<ProcEntry>(256);
        foreach (var pid in Pids())
        {
            if (pid == Environment.ProcessId || pid == KernelThreads) continue;
            if (TryRead(pid, out var entry) && !entry.IsDead && entry.ParentPid != KernelThreads) live.Add(entry);
        }
        return live;
    }

    public static bool TryRead(int pid, out ProcEntry entry)
    {
        Span<byte> buffer = stackalloc byte[1024];
        var length = ReadFile(pid, "stat"u8, buffer);
        // The name in parentheses may itself contain spaces and parentheses: fields are counted from the last one (proc(5)).
        var text = buffer[..Math.Max(length, 0)];
        var nameEnd = text.LastIndexOf((byte)')');
        entry = default;
        if (nameEnd < 0 || nameEnd + 2 >= text.Length) return false;
        var fields = text[(nameEnd + 2)..];
        char state = (char)fields[0];
        int parent = 0, threads = 0, index = 0;
        foreach (var range in fields.Split((byte)' '))
        {
            var field = fields[range];
            if (index == 1) _ = Utf8Parser.TryParse(field, out parent, out _);
            else if (index == 17) _ = Utf8Parser.TryParse(field, out threads, out _);
            else if (index == 19)
            {
                if (!Utf8Parser.TryParse(field, out long start, out _)) return false;
                entry = new ProcEntry(pid, parent, start, state, threads);
                return true;
            }
            index++;
        }
        return false;
    }

    /// <summary>Whether the process with this start time still lives.</summary>
    public static bool IsAlive(int pid, long startTime) => TryRead(pid, out var entry) && entry.StartTime == startTime && !entry.IsDead;

    /// <summary>The soft RLIMIT_RTTIME, 0 when it cannot be read. One system call; the file serves for other users' processes when <paramref name="foreignToo"/>.</summary>
    public static ulong ReadMark(int pid, bool foreignToo)
    {
        Libc.RLimit limit;
        if (Libc.PrLimit(pid, Libc.RLIMIT_RTTIME, null, &limit) == 0) return limit.Soft;
        if (!foreignToo || Marshal.GetLastPInvokeError() != Libc.EPERM) return 0;
        Span<byte> buffer = stackalloc byte[4096];
        var length = ReadFile(pid, "limits"u8, buffer);
        if (length <= 0) return 0;
        var label = "Max realtime timeout"u8;
        var at = buffer[..length].IndexOf(label);
        if (at < 0) return 0;
        var value = buffer[(at + label.Length)..length].TrimStart((byte)' ');
        return Utf8Parser.TryParse(value, out ulong soft, out _) ? soft : 0;
    }

    /// <summary>Whether the environment that the process was started with holds this <c>NAME=value</c>.</summary>
    public static bool HasVariable(int pid, ReadOnlySpan<byte> assignment)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(EnvironmentLimit);
        try
        {
            var length = ReadFile(pid, "environ"u8, buffer);
            if (length <= 0) return false;
            var rest = buffer.AsSpan(0, length);
            for (var start = 0; ;)
            {
                var found = rest[start..].IndexOf(assignment);
                if (found < 0) return false;
                var at = start + found;
                var end = at + assignment.Length;
                if ((at == 0 || rest[at - 1] == 0) && (end == rest.Length || rest[end] == 0)) return true;
                start = at + 1;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>The name of the program, for reports.</summary>
    public static string ReadName(int pid)
    {
        Span<byte> buffer = stackalloc byte[64];
        var length = ReadFile(pid, "comm"u8, buffer);
        return length > 0 ? Encoding.UTF8.GetString(buffer[..length]).TrimEnd('\n') : "?";
    }

    private static int ReadFile(int pid, ReadOnlySpan<byte> name, Span<byte> buffer)
    {
        Span<byte> path = stackalloc byte[64];
        "/proc/"u8.CopyTo(path);
        _ = Utf8Formatter.TryFormat(pid, path[6..], out var digits);
        path[6 + digits] = (byte)'/';
        name.CopyTo(path[(7 + digits)..]);
        path[7 + digits + name.Length] = 0;
        fixed (byte* nativePath = path)
        fixed (byte* target = buffer)
        {
            var fd = Libc.Open(nativePath, Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
            if (fd < 0) return -1;
            var total = 0;
            // environ comes a page at a time.
            while (total < buffer.Length)
            {
                var read = Libc.Read(fd, target + total, (nuint)(buffer.Length - total));
                if (read < 0 && Marshal.GetLastPInvokeError() == Libc.EINTR) continue;
                if (read <= 0) break;
                total += (int)read;
            }
            _ = Libc.Close(fd);
            return total;
        }
    }
}
