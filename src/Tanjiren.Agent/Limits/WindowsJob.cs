using System.ComponentModel;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Tanjiren.Agent.Limits;

/// <summary>
/// A Job Object around one step: whatever its processes start is in it, its processors are held to the cap by the kernel, and it dies with the agent. Memory is looked at as on the other systems,
/// because Windows only refuses a job more memory, which programs answer with errors of their own; that wall stands a little beyond the cap. Not proven on a real machine yet.
/// </summary>
internal sealed unsafe partial class WindowsJob : IDisposable
{
    private const int ExtendedLimitInformation = 9, CpuRateControlInformation = 15;
    private const uint LimitJobMemory = 0x200, LimitKillOnClose = 0x2000;
    private const uint CpuRateEnable = 0x1, CpuRateHardCap = 0x4;
    private const uint SetQuota = 0x100, Terminate = 0x1;
    /// <summary>The wall, in eighths of the cap.</summary>
    private const long WallEighths = 9;

    private readonly SafeFileHandle job;

    /// <exception cref="Win32Exception">Windows refuses it.</exception>
    public WindowsJob(JobCaps caps)
    {
        job = new SafeFileHandle(CreateJobObject(0, 0), ownsHandle: true);
        if (job.IsInvalid) throw new Win32Exception();
        var limits = new ExtendedLimits { Flags = LimitKillOnClose };
        if (caps.MemoryBytes is { } bytes)
        {
            limits.Flags |= LimitJobMemory;
            limits.JobMemoryLimit = (nuint)(bytes / 8 * WallEighths);
        }
        Check(SetInformation(job, ExtendedLimitInformation, &limits, (uint)sizeof(ExtendedLimits)));
        if (caps.Cpu is not { } cores || cores >= Environment.ProcessorCount) return;
        // In hundredths of a percent of the whole machine.
        var rate = new CpuRate { Flags = CpuRateEnable | CpuRateHardCap, Rate = (uint)Math.Clamp(cores / Environment.ProcessorCount * 10_000, 1, 10_000) };
        Check(SetInformation(job, CpuRateControlInformation, &rate, (uint)sizeof(CpuRate)));
    }

    /// <summary>Puts a process in; what it has started before stays outside.</summary>
    /// <exception cref="Win32Exception">It has ended, or Windows refuses it.</exception>
    public void Add(int pid)
    {
        using var process = new SafeFileHandle(OpenProcess(SetQuota | Terminate, 0, (uint)pid), ownsHandle: true);
        if (process.IsInvalid) throw new Win32Exception();
        Check(AssignProcess(job, process));
    }

    /// <summary>The most memory that its processes had committed at once, in bytes.</summary>
    public long PeakBytes()
    {
        var limits = default(ExtendedLimits);
        return QueryInformation(job, ExtendedLimitInformation, &limits, (uint)sizeof(ExtendedLimits), null) == 0 ? 0 : (long)limits.PeakJobMemoryUsed;
    }

    public void Dispose() => job.Dispose();

    private static void Check(int result)
    {
        if (result == 0) throw new Win32Exception();
    }

    /// <summary>JOBOBJECT_EXTENDED_LIMIT_INFORMATION.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct ExtendedLimits
    {
        public long ProcessTime, JobTime;
        public uint Flags;
        public nuint MinimumWorkingSet, MaximumWorkingSet;
        public uint ActiveProcesses;
        public nuint Affinity;
        public uint PriorityClass, SchedulingClass;
        public ulong ReadOperations, WriteOperations, OtherOperations, ReadBytes, WrittenBytes, OtherBytes;
        public nuint ProcessMemoryLimit, JobMemoryLimit, PeakProcessMemoryUsed, PeakJobMemoryUsed;
    }

    /// <summary>JOBOBJECT_CPU_RATE_CONTROL_INFORMATION.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct CpuRate
    {
        public uint Flags, Rate;
    }

    [LibraryImport("kernel32", EntryPoint = "CreateJobObjectW", SetLastError = true)]
    private static partial nint CreateJobObject(nint security, nint name);

    [LibraryImport("kernel32", EntryPoint = "SetInformationJobObject", SetLastError = true)]
    private static partial int SetInformation(SafeFileHandle job, int kind, void* information, uint size);

    [LibraryImport("kernel32", EntryPoint = "QueryInformationJobObject", SetLastError = true)]
    private static partial int QueryInformation(SafeFileHandle job, int kind, void* information, uint size, uint* returned);

    [LibraryImport("kernel32", EntryPoint = "OpenProcess", SetLastError = true)]
    private static partial nint OpenProcess(uint access, int inherit, uint pid);

    [LibraryImport("kernel32", EntryPoint = "AssignProcessToJobObject", SetLastError = true)]
    private static partial int AssignProcess(SafeFileHandle job, SafeFileHandle process);
}
