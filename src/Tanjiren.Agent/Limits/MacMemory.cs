using System.Runtime.InteropServices;

namespace Tanjiren.Agent.Limits;

/// <summary>What a process and its descendants take of a Mac's memory, by libproc. Not proven on a real machine yet.</summary>
internal static unsafe partial class MacMemory
{
    /// <summary>RUSAGE_INFO_V0: 16 bytes of UUID, then 64-bit numbers, of which the eighth is ri_phys_footprint.</summary>
    private const int UsageFlavor = 0, UsageBytes = 96, FootprintAt = 72;
    private const int MaxChildren = 4096;

    /// <summary>In bytes; descendants whose parent has ended are not found.</summary>
    public static long OfTree(int rootPid)
    {
        long sum = 0;
        var seen = new HashSet<int>();
        var open = new Stack<int>([rootPid]);
        while (open.TryPop(out var pid))
        {
            if (!seen.Add(pid)) continue;
            sum += Of(pid);
            foreach (var child in Children(pid)) open.Push(child);
        }
        return sum;
    }

    private static long Of(int pid)
    {
        var usage = stackalloc byte[UsageBytes];
        return ProcPidRusage(pid, UsageFlavor, usage) == 0 ? *(long*)(usage + FootprintAt) : 0;
    }

    private static int[] Children(int pid)
    {
        var children = new int[MaxChildren];
        int count;
        fixed (int* buffer = children) count = ProcListChildPids(pid, buffer, MaxChildren * sizeof(int));
        return count <= 0 ? [] : children[..Math.Min(count, MaxChildren)];
    }

    [LibraryImport("libproc", EntryPoint = "proc_pid_rusage")]
    private static partial int ProcPidRusage(int pid, int flavor, byte* usage);

    [LibraryImport("libproc", EntryPoint = "proc_listchildpids")]
    private static partial int ProcListChildPids(int parent, int* buffer, int bytes);
}
