using System.Runtime;
using System.Runtime.InteropServices;

namespace Tanjiren.Agent.Idle;

/// <summary>
/// Gives memory back to the machine, once at the beginning of a suspension: the collector by itself would keep what the last job needed. A setting for the whole process (ConserveMemory) was
/// rejected: it costs every collection under load, and the control plane is in the same program.
/// </summary>
internal static partial class MemoryTrim
{
    public static void Run()
    {
        GCSettings.LargeObjectHeapCompactionMode = GCLargeObjectHeapCompactionMode.CompactOnce;
        // Twice: what finalizers let go of is free only then.
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        GC.WaitForPendingFinalizers();
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        if (OperatingSystem.IsLinux()) TrimNative();
    }

    /// <summary>The C library keeps what it freed, too: sockets, TLS, the runtime's own.</summary>
    private static void TrimNative()
    {
        try
        {
            _ = MallocTrim(0);
        }
        catch (EntryPointNotFoundException)
        {
            // musl has no such call, and keeps little.
        }
    }

    [LibraryImport("libc", EntryPoint = "malloc_trim")]
    private static partial int MallocTrim(nuint pad);
}
