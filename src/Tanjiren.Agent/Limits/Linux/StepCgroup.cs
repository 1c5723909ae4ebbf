using System.Globalization;

namespace Tanjiren.Agent.Limits.Linux;

/// <summary>
/// The cgroup of one step. Its root process is put in right after the spawn (posix_spawn can start a child in a group only with the newest C libraries); children that it has made by then
/// are found by their mark and follow. From then on whatever the step starts is born in the group.
/// </summary>
internal sealed class StepCgroup(string directory)
{
    /// <summary>A tree that forks between two looks may need several; a few always suffice once the root is in.</summary>
    private const int MaxSweeps = 10;

    /// <summary>Moves these processes into the group; the kernel ignores those that are there already.</summary>
    public void Adopt(IEnumerable<int> pids)
    {
        var inside = Members();
        // One that has ended meanwhile is refused, and is no loss.
        foreach (var pid in pids)
            if (!inside.Contains(pid)) CgroupFile.TryWrite(directory, "cgroup.procs", pid.ToString(CultureInfo.InvariantCulture));
    }

    /// <summary>The root, then everything that it has started before it was in.</summary>
    public void AdoptTree(int rootPid, Func<IReadOnlyList<int>> members)
    {
        CgroupFile.TryWrite(directory, "cgroup.procs", rootPid.ToString(CultureInfo.InvariantCulture));
        for (var sweep = 0; sweep < MaxSweeps; sweep++)
        {
            var inside = Members();
            var outside = members().Where(pid => !inside.Contains(pid)).ToList();
            if (outside.Count == 0) return;
            Adopt(outside);
        }
    }

    /// <summary>Kills everything in the group at once, forks under way included (Linux 5.14). False: the kernel has no such file, and the tree is killed process by process.</summary>
    public bool Kill() => File.Exists(Path.Join(directory, "cgroup.kill")) && CgroupFile.TryWrite(directory, "cgroup.kill", "1");

    /// <summary>Whether the kernel killed something in it for its memory.</summary>
    public bool WasOverMemory() => Event("oom_kill") + Event("oom_group_kill") > 0;

    /// <summary>The most memory that it had at once; null before Linux 5.19.</summary>
    public long? PeakBytes() =>
        long.TryParse(CgroupFile.Read(directory, "memory.peak")?.Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out var bytes) ? bytes : null;

    public bool TryRemove() => CgroupFile.TryRemove(directory);

    private long Event(string name)
    {
        foreach (var line in (CgroupFile.Read(directory, "memory.events") ?? "").Split('\n'))
            if (line.Split(' ') is [var key, var value] && key == name && long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var count)) return count;
        return 0;
    }

    private HashSet<int> Members() =>
        [.. (CgroupFile.Read(directory, "cgroup.procs") ?? "").Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(pid => int.Parse(pid, CultureInfo.InvariantCulture))];
}
