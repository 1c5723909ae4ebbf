using System.Globalization;

using Tanjiren.Agent.Limits.Linux;

namespace Tanjiren.Cli.Commands.Doctor;

/// <summary>Whether the agent may make control groups (v2), by which the kernel itself holds jobs to their limits: the one that runs, else one that was started from here.</summary>
internal static class CgroupCheck
{
    private const string Name = "cgroup";
    private const string Mount = "/sys/fs/cgroup";
    private const string Accounting = "limits are held by adding up each job's processes instead, which works; ";
    private static readonly string[] Needed = ["cpu", "memory"];

    public static DoctorCheck Check { get; } = new(Name, Verdict.Warning, (scene, _) => Task.FromResult(Look(Mount, $"/proc/{(scene.Status is { } agent ? agent.ProcessId.ToString(CultureInfo.InvariantCulture) : "self")}/cgroup")));

    internal static Finding Look(string mount, string ofProcess)
    {
        if (!OperatingSystem.IsLinux()) return Finding.Ok(Name, "control groups are Linux's; this system has its own way");
        if (!File.Exists(Path.Combine(mount, "cgroup.controllers")))
            return Finding.Warning(Name, "control groups v2 are not mounted here", Accounting + "for more, start the system with systemd.unified_cgroup_hierarchy=1");
        // "0::/user.slice/…": the one line of v2.
        if (File.ReadLines(ofProcess).FirstOrDefault(line => line.StartsWith("0::/", StringComparison.Ordinal)) is not { } line)
            return Finding.Warning(Name, "the agent is in no control group of v2", Accounting + "run the agent as a service (`tanvrit-compute agent install`)");
        var own = Path.Combine(mount, line["0::/".Length..]);
        var controllers = Path.Combine(own, "cgroup.controllers");
        var given = File.Exists(controllers) ? File.ReadAllText(controllers).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries) : [];
        var missing = Needed.Except(given).ToList();
        if (missing.Count > 0) return Finding.Warning(Name, $"no controller for {string.Join(" and ", missing)} in the agent's control group", Accounting + "run the agent as a service, whose unit asks for them (`tanvrit-compute agent install`)");
        if (!IsWritable(own)) return Finding.Warning(Name, "the agent's control group is not delegated to this user", Accounting + "run the agent as a service, whose unit asks for that (`tanvrit-compute agent install`)");
        // An agent that may divide its group sits in a leaf of it.
        if (Path.GetFileName(own) == CgroupSubtree.AgentLeaf) return Finding.Ok(Name, $"v2, divided by the agent that runs, with {string.Join(", ", given)}");
        return File.ReadLines(Path.Combine(own, "cgroup.procs")).Count(pid => pid.Length > 0) is > 1 and var processes
            ? Finding.Warning(Name, $"the agent would share its control group with other processes ({processes} are in it), so it can't be divided", Accounting + "run the agent as a service, which has a group of its own (`tanvrit-compute agent install`)")
            : Finding.Ok(Name, $"v2, delegated to this user, with {string.Join(", ", given)}");
    }

    /// <summary>Whether a group could be made in it. Asked of the mode and not by making one: nothing is changed here.</summary>
    private static bool IsWritable(string directory)
    {
        try
        {
            using (new FileStream(Path.Combine(directory, "cgroup.procs"), FileMode.Open, FileAccess.Write)) { }
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
