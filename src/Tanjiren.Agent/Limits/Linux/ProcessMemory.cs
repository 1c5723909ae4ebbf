using System.Globalization;

namespace Tanjiren.Agent.Limits.Linux;

/// <summary>What processes take of the machine's memory, in bytes, from /proc. A process that is gone takes none.</summary>
internal static class ProcessMemory
{
    /// <summary>
    /// Of several together. What they share counts once: the kernel divides shared pages among those that map them (Pss). That costs it a walk over all their pages, so it is asked only
    /// where the cheap sum, which counts shared pages in each and is never less, is over <paramref name="cap"/>.
    /// </summary>
    public static long Of(IReadOnlyCollection<int> pids, long cap)
    {
        var most = pids.Sum(Resident);
        return most <= cap ? most : pids.Sum(Proportional);
    }

    /// <summary>In memory or swapped out, shared pages included.</summary>
    private static long Resident(int pid) => Sum(pid, "status", "VmRSS:", "VmSwap:") ?? 0;

    /// <summary>Before Linux 4.14, and of another user's process: as above.</summary>
    private static long Proportional(int pid) => Sum(pid, "smaps_rollup", "Pss:", "SwapPss:") ?? Resident(pid);

    /// <summary>Null: the file can't be read, or has none of these lines (a kernel thread, a zombie).</summary>
    private static long? Sum(int pid, string file, string first, string second)
    {
        try
        {
            long? sum = null;
            foreach (var line in File.ReadLines($"/proc/{pid}/{file}"))
            {
                var name = line.StartsWith(first, StringComparison.Ordinal) ? first : line.StartsWith(second, StringComparison.Ordinal) ? second : null;
                if (name is null) continue;
                var number = line.AsSpan(name.Length).Trim();
                var unit = number.IndexOf(' ');
                if (long.TryParse(unit < 0 ? number : number[..unit], NumberStyles.None, CultureInfo.InvariantCulture, out var kibi)) sum = (sum ?? 0) + kibi * 1024;
            }
            return sum;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
