using System.Globalization;
using Tanjiren.Agent.Execution.Linux;

namespace Tanjiren.Agent.Limits.Linux;

/// <summary>
/// The agent's own part of the cgroup v2 tree, when it was given one (systemd: <c>Delegate=cpu memory</c>): the agent sits in one leaf, and each capped step gets a leaf of its own beside it. The
/// kernel wants it so: a group that divides memory and cpu among its children holds no process itself.
/// </summary>
internal sealed class CgroupSubtree
{
    /// <summary>The leaf that the agent itself sits in.</summary>
    public const string AgentLeaf = "tanjiren-agent";

    private const string StepPrefix = "tanjiren-";

    private readonly string directory;

    private CgroupSubtree(string directory) => this.directory = directory;

    /// <summary>Null: the caps are held by accounting instead, and <paramref name="why"/> says why.</summary>
    /// <param name="why">For the log; empty when there is one. <c>doctor</c> looks at the same without dividing anything.</param>
    /// <param name="agentPid">This process.</param>
    /// <param name="root">Where cgroup v2 is mounted; a parameter for tests.</param>
    /// <param name="self">The file that says in which group this process is.</param>
    public static CgroupSubtree? TryOpen(out string why, int agentPid, string root = "/sys/fs/cgroup", string self = "/proc/self/cgroup")
    {
        try
        {
            why = Obstacle(agentPid, root, self, out var directory, out var residents);
            if (why.Length > 0) return null;
            Divide(directory, residents);
            return new CgroupSubtree(directory);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            why = $"the agent's cgroup may not be divided ({e.Message})";
            return null;
        }
    }

    /// <summary>The group of one step, with its caps set, and still empty.</summary>
    /// <exception cref="IOException">The kernel refuses it.</exception>
    public StepCgroup Create(string stepId, JobCaps caps)
    {
        var leaf = Directory.CreateDirectory(Path.Join(directory, StepPrefix + stepId)).FullName;
        try
        {
            if (caps.MemoryBytes is { } bytes)
            {
                CgroupFile.Write(leaf, "memory.max", bytes.ToString(CultureInfo.InvariantCulture));
                // Swapped out it would be slow instead of over its cap. Absent where the kernel counts no swap.
                CgroupFile.TryWrite(leaf, "memory.swap.max", "0");
                // Of a job that is over its cap nothing is left: half of one would go on with wrong results.
                CgroupFile.Write(leaf, "memory.oom.group", "1");
            }
            if (caps.Cpu is { } cores) CgroupFile.Write(leaf, "cpu.max", $"{Math.Max(1000, (long)(cores * 100_000))} 100000");
            return new StepCgroup(leaf);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            CgroupFile.TryRemove(leaf);
            throw;
        }
    }

    private static string Obstacle(int agentPid, string root, string self, out string directory, out List<int> residents)
    {
        directory = "";
        residents = [];
        var line = File.Exists(self) ? File.ReadLines(self).FirstOrDefault(l => l.StartsWith("0::", StringComparison.Ordinal)) : null;
        if (line is null) return "this machine has no cgroup v2";
        directory = Path.Join(root, line["0::".Length..].TrimStart('/'));
        var controllers = (CgroupFile.Read(directory, "cgroup.controllers") ?? "").Trim().Split(' ', StringSplitOptions.RemoveEmptyEntries);
        if (!controllers.Contains("memory") || !controllers.Contains("cpu"))
            return $"the controllers memory and cpu are not on cgroup v2 here, or not given to the agent's group '{line["0::".Length..]}' (it has: {string.Join(' ', controllers)})";
        foreach (var pid in (CgroupFile.Read(directory, "cgroup.procs") ?? "").Split('\n', StringSplitOptions.RemoveEmptyEntries))
            residents.Add(int.Parse(pid, CultureInfo.InvariantCulture));
        // A shell's own group has other inhabitants: they are not the agent's to move.
        var others = residents.Count(pid => !IsOwn(pid, agentPid));
        return others == 0 ? "" : $"{others} processes that are not the agent's share its cgroup";
    }

    private static void Divide(string directory, List<int> residents)
    {
        var leaf = Directory.CreateDirectory(Path.Join(directory, AgentLeaf)).FullName;
        try
        {
            foreach (var pid in residents) CgroupFile.Write(leaf, "cgroup.procs", pid.ToString(CultureInfo.InvariantCulture));
            CgroupFile.Write(directory, "cgroup.subtree_control", "+memory +cpu");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            foreach (var pid in residents) CgroupFile.TryWrite(directory, "cgroup.procs", pid.ToString(CultureInfo.InvariantCulture));
            CgroupFile.TryRemove(leaf);
            throw;
        }
        // Of an agent that was killed: its watchdog has ended what was in them.
        foreach (var left in Directory.GetDirectories(directory, StepPrefix + "step_*")) CgroupFile.TryRemove(left);
    }

    private static bool IsOwn(int pid, int agentPid)
    {
        // Far deeper than any tree of the agent's; a parent that changes meanwhile must not make it endless.
        for (var steps = 0; steps < 100 && pid > 1; steps++)
        {
            if (pid == agentPid) return true;
            if (!ProcTable.TryRead(pid, out var entry)) return false;
            pid = entry.ParentPid;
        }
        return false;
    }
}
