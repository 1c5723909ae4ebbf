using System.Globalization;
using System.Runtime.InteropServices;

namespace Tanjiren.Agent.Limits.Linux;

/// <summary>On which processors threads may run. A child gets its parent's, so a job that is started within its processors never leaves them by itself.</summary>
internal static unsafe partial class Affinity
{
    /// <summary>Of cpu_set_t: 1,024 processors. On a larger machine the calls fail, and nothing is held to a cap.</summary>
    private const int MaskBytes = 128;

    /// <summary>Of a thread; 0: of the calling one. Empty when it is gone or can't be read.</summary>
    public static IReadOnlyList<int> Of(int thread)
    {
        var mask = stackalloc byte[MaskBytes];
        new Span<byte>(mask, MaskBytes).Clear();
        if (SchedGetAffinity(thread, MaskBytes, mask) < 0) return [];
        var processors = new List<int>();
        for (var i = 0; i < MaskBytes * 8; i++)
            if ((mask[i / 8] >> (i % 8) & 1) != 0) processors.Add(i);
        return processors;
    }

    public static bool Set(int thread, IReadOnlyList<int> processors)
    {
        var mask = stackalloc byte[MaskBytes];
        new Span<byte>(mask, MaskBytes).Clear();
        foreach (var processor in processors) mask[processor / 8] |= (byte)(1 << (processor % 8));
        return SchedSetAffinity(thread, MaskBytes, mask) == 0;
    }

    /// <summary>Runs <paramref name="spawn"/> with the calling thread on these processors, so that what it starts is there before its first instruction; null: as it is.</summary>
    public static T Within<T>(IReadOnlyList<int>? processors, Func<T> spawn)
    {
        if (processors is null) return spawn();
        var before = Of(0);
        if (before.Count == 0 || !Set(0, processors)) return spawn();
        try
        {
            return spawn();
        }
        finally
        {
            _ = Set(0, before);
        }
    }

    /// <summary>Brings every thread of a process back that has left these processors. Those of another user stay where they are.</summary>
    public static void Hold(int pid, IReadOnlyList<int> processors)
    {
        foreach (var thread in Threads(pid))
            if (Of(thread) is { Count: > 0 } now && now.Except(processors).Any()) _ = Set(thread, processors);
    }

    private static IReadOnlyList<int> Threads(int pid)
    {
        try
        {
            return [.. Directory.GetDirectories($"/proc/{pid}/task").Select(path => int.Parse(Path.GetFileName(path.AsSpan()), CultureInfo.InvariantCulture))];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return []; // it has ended
        }
    }

    [LibraryImport("libc", EntryPoint = "sched_getaffinity", SetLastError = true)]
    private static partial int SchedGetAffinity(int thread, nuint size, byte* mask);

    [LibraryImport("libc", EntryPoint = "sched_setaffinity", SetLastError = true)]
    private static partial int SchedSetAffinity(int thread, nuint size, byte* mask);
}
