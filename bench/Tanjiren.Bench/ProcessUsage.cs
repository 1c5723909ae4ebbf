using System.Globalization;

namespace Tanjiren.Bench;

/// <summary>What processes used, by proc(5): their own time and that of the children that they waited for.</summary>
internal static class ProcessUsage
{
    // USER_HZ, which the kernel's ABI fixes for x86-64 and arm64.
    private const double MicrosecondsPerTick = 10_000;

    /// <summary>CPU time so far, in microseconds.</summary>
    public static double CpuMicroseconds(IEnumerable<int> processes) => processes.Sum(pid =>
    {
        // After the name, which may contain anything, in brackets: state is field 3, utime, stime, cutime and cstime are 14 to 17.
        var fields = File.ReadAllText(string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/stat")).Split(") ", 2)[1].Split(' ');
        return fields[11..15].Sum(field => long.Parse(field, CultureInfo.InvariantCulture)) * MicrosecondsPerTick;
    });

    /// <summary>Resident memory now, in MiB.</summary>
    public static double ResidentMiB(int process) => StatusKiB(process, "VmRSS:") / 1024.0;

    /// <summary>The most that was ever resident, in MiB.</summary>
    public static double PeakMiB(int process) => StatusKiB(process, "VmHWM:") / 1024.0;

    /// <summary>The process and everything below it.</summary>
    public static IReadOnlyList<int> Tree(int root)
    {
        // Children are listed by the thread that made them.
        var below = Directory.GetDirectories(string.Create(CultureInfo.InvariantCulture, $"/proc/{root}/task"))
            .SelectMany(thread => File.ReadAllText(Path.Combine(thread, "children")).Split(' ', StringSplitOptions.RemoveEmptyEntries));
        return [root, .. below.Select(pid => int.Parse(pid, CultureInfo.InvariantCulture)).SelectMany(Tree)];
    }

    private static long StatusKiB(int process, string name) =>
        File.ReadLines(string.Create(CultureInfo.InvariantCulture, $"/proc/{process}/status")).Where(line => line.StartsWith(name, StringComparison.Ordinal))
            .Select(line => long.Parse(line[name.Length..].Replace("kB", "", StringComparison.Ordinal).Trim(), CultureInfo.InvariantCulture)).Single();
}
