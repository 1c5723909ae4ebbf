using System.Globalization;

namespace Tanjiren.Agent.Execution.Linux;

internal static class ChildSignals
{
    /// <summary>
    /// A parent may start the agent with SIGCHLD ignored; the kernel then throws exit statuses away and every step would end with an unknown
    /// outcome. Returns whether that was so.
    /// </summary>
    public static bool StopIgnoring()
    {
        var line = File.ReadLines("/proc/self/status").FirstOrDefault(l => l.StartsWith("SigIgn:", StringComparison.Ordinal));
        if (line is null) return false;
        var ignored = ulong.Parse(line.AsSpan("SigIgn:".Length).Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
        if ((ignored >> (Libc.SIGCHLD - 1) & 1) == 0) return false;
        const nint standard = 0;
        _ = Libc.Signal(Libc.SIGCHLD, standard);
        return true;
    }
}
