using Tanjiren.Agent.Limits;
using Tanjiren.Agent.Limits.Linux;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.Limits;

/// <summary>The road by cgroup v2, on a tree made of plain files: what is written where, and what is made of what the kernel would say.</summary>
public sealed class CgroupTests : IDisposable
{
    private static readonly int Own = Environment.ProcessId;

    private readonly TemporaryDirectory machine = new();
    private readonly string group;

    public CgroupTests()
    {
        Prerequisite.Linux();
        group = Directory.CreateDirectory(Path.Combine(machine.File("cgroup"), "user.slice", "tanjiren.service")).FullName;
        File.WriteAllText(machine.File("self"), "1:name=systemd:/\n0::/user.slice/tanjiren.service\n");
        Give("cgroup.controllers", "cpu memory pids\n");
        Give("cgroup.procs", $"{Own}\n");
    }

    public void Dispose() => machine.Dispose();

    [Fact]
    public void The_agent_moves_into_a_leaf_and_divides_memory_and_cpu()
    {
        Open(out var why).ShouldNotBeNull(why);
        File.ReadAllText(Path.Combine(group, "tanjiren-agent", "cgroup.procs")).ShouldBe($"{Own}\n");
        File.ReadAllText(Path.Combine(group, "cgroup.subtree_control")).ShouldBe("+memory +cpu\n");
    }

    [Fact]
    public void A_steps_group_has_its_caps_before_anything_is_in_it()
    {
        var leaf = Create(new JobCaps(1.5, 256, MemoryIsOwn: false), out _);
        Said(leaf, "memory.max").ShouldBe($"{256L << 20}");
        Said(leaf, "memory.swap.max").ShouldBe("0");
        Said(leaf, "memory.oom.group").ShouldBe("1");
        Said(leaf, "cpu.max").ShouldBe("150000 100000");
        File.Exists(Path.Combine(leaf, "cgroup.procs")).ShouldBeFalse();
    }

    [Fact]
    public void Only_what_is_capped_is_set()
    {
        var leaf = Create(new JobCaps(0.001, null, MemoryIsOwn: false), out _);
        // The kernel takes no less than a millisecond.
        Said(leaf, "cpu.max").ShouldBe("1000 100000");
        File.Exists(Path.Combine(leaf, "memory.max")).ShouldBeFalse();
    }

    [Fact]
    public void The_root_is_put_in_first_and_what_it_has_started_by_then_follows()
    {
        var leaf = Create(new JobCaps(1, 64, MemoryIsOwn: false), out var step);
        var moved = new List<string>();
        step.AdoptTree(4711, () =>
        {
            moved.Add(Said(leaf, "cgroup.procs"));
            return moved.Count == 1 ? [4711, 4712] : [4712];
        });
        moved.ShouldBe(["4711", "4712"]);
    }

    [Fact]
    public void What_the_kernel_killed_for_its_memory_is_known_with_the_most_that_it_took()
    {
        var leaf = Create(new JobCaps(null, 64, MemoryIsOwn: true), out var step);
        step.WasOverMemory().ShouldBeFalse();
        File.WriteAllText(Path.Combine(leaf, "memory.events"), "low 0\nhigh 0\nmax 17\noom 1\noom_kill 0\noom_group_kill 0\n");
        step.WasOverMemory().ShouldBeFalse();
        File.WriteAllText(Path.Combine(leaf, "memory.events"), "low 0\nhigh 0\nmax 17\noom 1\noom_kill 3\noom_group_kill 1\n");
        File.WriteAllText(Path.Combine(leaf, "memory.peak"), $"{64L << 20}\n");
        (step.WasOverMemory(), step.PeakBytes()).ShouldBe((true, 64L << 20));
    }

    [Fact]
    public void The_kernels_own_kill_is_used_where_there_is_one()
    {
        var leaf = Create(new JobCaps(null, 64, MemoryIsOwn: true), out var step);
        step.Kill().ShouldBeFalse();
        File.WriteAllText(Path.Combine(leaf, "cgroup.kill"), "");
        step.Kill().ShouldBeTrue();
        Said(leaf, "cgroup.kill").ShouldBe("1");
    }

    [Fact]
    public void Without_the_controllers_there_is_none_and_the_reason_is_told()
    {
        Give("cgroup.controllers", "pids\n");
        Open(out var why).ShouldBeNull();
        why.ShouldContain("memory and cpu");
        why.ShouldContain("it has: pids");
        Directory.GetDirectories(group).ShouldBeEmpty();
    }

    [Fact]
    public void A_machine_with_cgroup_v1_alone_has_none()
    {
        File.WriteAllText(machine.File("self"), "4:memory:/\n1:cpu:/\n");
        Open(out var why).ShouldBeNull();
        why.ShouldBe("this machine has no cgroup v2");
    }

    [Fact]
    public void A_group_that_others_live_in_is_left_alone()
    {
        Give("cgroup.procs", $"{Own}\n1\n");
        Open(out var why).ShouldBeNull();
        why.ShouldBe("1 processes that are not the agent's share its cgroup");
        Directory.GetDirectories(group).ShouldBeEmpty();
    }

    [Fact]
    public void What_the_kernel_refuses_is_undone()
    {
        // In other words than ours, so that it is seen when it is written back.
        Give("cgroup.procs", $"0{Own}\n");
        // A directory in the place of the file refuses the write, as the kernel would.
        Directory.CreateDirectory(Path.Combine(group, "cgroup.subtree_control"));
        Open(out var why).ShouldBeNull();
        why.ShouldContain("may not be divided");
        Said(group, "cgroup.procs").ShouldBe($"{Own}");
    }

    [Fact]
    public void Groups_of_an_agent_that_was_killed_are_removed()
    {
        var left = Directory.CreateDirectory(Path.Combine(group, "tanjiren-step_old")).FullName;
        Open(out _).ShouldNotBeNull();
        Directory.Exists(left).ShouldBeFalse();
    }

    private CgroupSubtree? Open(out string why) => CgroupSubtree.TryOpen(out why, Own, machine.File("cgroup"), machine.File("self"));

    private string Create(JobCaps caps, out StepCgroup step)
    {
        step = Open(out _)!.Create("step_1", caps);
        return Path.Combine(group, "tanjiren-step_1");
    }

    private void Give(string name, string text) => File.WriteAllText(Path.Combine(group, name), text);

    private static string Said(string directory, string name) => File.ReadAllText(Path.Combine(directory, name)).TrimEnd('\n');
}
