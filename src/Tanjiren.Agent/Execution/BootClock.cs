using System.Runtime.InteropServices;

namespace Tanjiren.Agent.Execution;

/// <summary>
/// Milliseconds since boot, time asleep included: the clock of every lease deadline. Agent and watchdog are two processes and compare its values,
/// so it must be the machine's and not the process's. .NET's Stopwatch and TickCount64 stop while a Linux machine sleeps.
/// </summary>
internal static partial class BootClock
{
    private const int ClockBootTime = 7;
    private static readonly (uint Numerator, uint Denominator) MacTimebase = ReadMacTimebase();

    public static long NowMs
    {
        get
        {
            if (OperatingSystem.IsLinux())
            {
                if (ClockGetTime(ClockBootTime, out var now) != 0)
                    throw new InvalidOperationException($"clock_gettime(CLOCK_BOOTTIME) failed with error {Marshal.GetLastPInvokeError()}.");
                return (long)now.Seconds * 1000 + now.Nanoseconds / 1_000_000;
            }
            if (OperatingSystem.IsMacOS())
                return (long)((UInt128)MachContinuousTime() * MacTimebase.Numerator / MacTimebase.Denominator / 1_000_000);
            if (OperatingSystem.IsWindows())
            {
                QueryInterruptTime(out var hundredNanoseconds);
                return (long)(hundredNanoseconds / 10_000);
            }
            throw new PlatformNotSupportedException("No clock that counts time asleep is known for this system.");
        }
    }

    private static (uint Numerator, uint Denominator) ReadMacTimebase()
    {
        if (!OperatingSystem.IsMacOS()) return (1, 1);
        _ = MachTimebaseInfo(out var timebase);
        return (timebase.Numerator, timebase.Denominator);
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct TimeSpec
    {
        public nint Seconds;
        public nint Nanoseconds;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct Timebase
    {
        public uint Numerator;
        public uint Denominator;
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime", SetLastError = true)]
    private static partial int ClockGetTime(int clock, out TimeSpec time);

    [LibraryImport("libSystem", EntryPoint = "mach_continuous_time")]
    private static partial ulong MachContinuousTime();

    [LibraryImport("libSystem", EntryPoint = "mach_timebase_info")]
    private static partial int MachTimebaseInfo(out Timebase timebase);

    [LibraryImport("kernelbase", EntryPoint = "QueryInterruptTime")]
    private static partial void QueryInterruptTime(out ulong hundredNanoseconds);
}
