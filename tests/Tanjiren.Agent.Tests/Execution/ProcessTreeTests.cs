using Tanjiren.Agent.Execution;
using Tanjiren.Agent.Execution.Linux;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.Execution;

public sealed class ProcessTreeTests
{
    [Fact]
    public async Task A_daemon_dies_with_its_tree_and_the_step_beside_it_lives_on()
    {
        using var victim = RunningStep.Start(Fugitive.Daemon());
        using var neighbour = RunningStep.Start(Fugitive.Daemon());
        var daemon = await Fugitive.FreeAsync(() => victim.Out);
        var other = await Fugitive.FreeAsync(() => neighbour.Out);
        (await File.ReadAllBytesAsync($"/proc/{daemon.Pid}/environ", TestContext.Current.CancellationToken)).ShouldBeEmpty();
        victim.Tree.Find().ShouldBe([victim.Pid, daemon.Pid], ignoreOrder: true);

        var report = await victim.Tree.KillAsync(TimeSpan.FromMilliseconds(200), TestContext.Current.CancellationToken);

        report.IsComplete.ShouldBeTrue();
        // The root obeyed SIGTERM, the daemon needed more.
        report.Killed.ShouldBe([daemon.Pid]);
        ProcTable.IsAlive(daemon.Pid, daemon.StartTime).ShouldBeFalse();
        (await victim.Exit).Signal.ShouldBe("SIGTERM");
        ProcTable.IsAlive(other.Pid, other.StartTime).ShouldBeTrue();
        neighbour.Exit.IsCompleted.ShouldBeFalse();
        neighbour.Tree.Find().Count.ShouldBe(2);
    }

    [Fact]
    public async Task A_step_and_its_children_are_stopped_without_a_search_and_its_neighbour_is_not()
    {
        using var step = RunningStep.Start("sh", "-c", "sleep 600 & echo $!; wait");
        using var neighbour = RunningStep.Start("sh", "-c", "sleep 600 & echo $!; wait");
        await Eventually.TrueAsync(() => step.Out.EndsWith('\n') && neighbour.Out.EndsWith('\n'), what: "both have children");
        step.Tree.StopGroup();
        foreach (var pid in (int[])[step.Pid, int.Parse(step.Out)])
            await Eventually.TrueAsync(() => ProcTable.TryRead(pid, out var entry) && entry.IsStopped, what: $"{pid} is stopped");
        ProcTable.TryRead(neighbour.Pid, out var other).ShouldBeTrue();
        other.IsStopped.ShouldBeFalse();
        // A root that is another process by now is nobody's business.
        new ProcessTree(neighbour.Mark, neighbour.Pid, neighbour.StepId, neighbour.StartTime + 1).StopGroup();
        ProcTable.TryRead(neighbour.Pid, out other).ShouldBeTrue();
        other.IsStopped.ShouldBeFalse();
    }

    [Fact]
    public async Task What_the_root_left_behind_dies_at_its_end_and_its_output_is_kept()
    {
        using var step = RunningStep.Start(Fugitive.Daemon(rootThen: "select(undef, undef, undef, 0.3); exit 3"));
        var exit = await step.Exit.WaitAsync(TimeSpan.FromSeconds(90), TestContext.Current.CancellationToken);
        exit.ExitCode.ShouldBe(3);
        var daemon = Fugitive.PidIn(step.Out);
        exit.Leftovers.ShouldNotBeNull().Killed.ShouldBe([daemon]);
        step.Tree.IsGone().ShouldBeTrue();
    }

    [Fact]
    public async Task Leftovers_may_finish_within_the_linger()
    {
        var request = RunningStep.Request("sh", "-c", "(read line < \"$0\"; echo late) & exit 0", MakeFifo(out var fifo));
        using var step = RunningStep.Start(request, new ExecutionOptions { LeftoverLinger = TimeSpan.FromMinutes(5) });
        await Eventually.TrueAsync(() => !ProcTable.IsAlive(step.Pid, step.StartTime), what: "the root has ended");
        step.Exit.IsCompleted.ShouldBeFalse();
        await File.WriteAllTextAsync(fifo, "go\n", TestContext.Current.CancellationToken);
        var exit = await step.Exit.WaitAsync(TimeSpan.FromSeconds(90), TestContext.Current.CancellationToken);
        exit.Leftovers.ShouldBeNull();
        step.Out.ShouldBe("late\n");
        File.Delete(fifo);
    }

    [Fact]
    public async Task A_pipe_held_open_outside_of_the_tree_does_not_keep_the_step()
    {
        // The keeper is no part of the step: it opens the step's pipe through /proc and writes to it without pause.
        using var step = RunningStep.Start("sh", "-c", "echo mine; read line < \"$0\"", MakeFifo(out var fifo));
        await Eventually.TrueAsync(() => step.Out.Length > 0, what: "the step writes");
        using var keeper = RunningStep.Start("sh", "-c", $"exec 5>/proc/{step.Pid}/fd/1; echo holding; while :; do echo noise >&5; done");
        await Eventually.TrueAsync(() => keeper.Out.Length > 0 && step.Out.Contains("noise", StringComparison.Ordinal), what: "the keeper writes");
        await File.WriteAllTextAsync(fifo, "go\n", TestContext.Current.CancellationToken);
        (await step.Exit.WaitAsync(TimeSpan.FromSeconds(90), TestContext.Current.CancellationToken)).ExitCode.ShouldBe(0);
        keeper.Exit.IsCompleted.ShouldBeFalse();
        File.Delete(fifo);
    }

    [Fact]
    public async Task The_mark_alone_finds_the_tree_and_so_does_the_step_id_alone()
    {
        using var step = RunningStep.Start(Fugitive.Daemon());
        var daemon = await Fugitive.FreeAsync(() => step.Out);
        new ProcessTree(step.Mark, 0, "").Find().ShouldBe([step.Pid, daemon.Pid], ignoreOrder: true);
        // The environment and the pid lead to the root only; its mark leads on.
        new ProcessTree(0, 0, step.StepId).Find().ShouldBe([step.Pid, daemon.Pid], ignoreOrder: true);
        new ProcessTree(0, step.Pid, "", step.StartTime).Find().ShouldBe([step.Pid, daemon.Pid], ignoreOrder: true);
    }

    /// <summary>Found by the fault tests: a paused agent that went on stopped for good what another agent of the machine ran by then.</summary>
    [Fact]
    public void Two_claims_of_one_step_on_one_machine_are_two_trees()
    {
        var earlier = RunningStep.Request("sleep", "600");
        using var one = RunningStep.Start(earlier, ExecutionOptions.Default);
        using var other = RunningStep.Start(earlier with { Mark = ProcessMarks.New() }, ExecutionOptions.Default);
        one.Tree.Find().ShouldBe([one.Pid]);
        new ProcessTree(other.Mark, 0, other.StepId).Find().ShouldBe([other.Pid]);
    }

    [Fact]
    public async Task A_pid_counts_only_with_its_start_time()
    {
        using var step = RunningStep.Start("sleep", "600");
        foreach (var startTime in (long?[])[step.StartTime + 1, null])
        {
            var tree = new ProcessTree(0, step.Pid, "step_of_yesterday", startTime);
            tree.Find().ShouldBeEmpty();
            (await tree.KillAsync(TimeSpan.Zero, TestContext.Current.CancellationToken)).Killed.ShouldBeEmpty();
        }
        ProcSignal.Send(step.Pid, step.StartTime + 1, Libc.SIGKILL).ShouldBe(SignalResult.Gone);
        ProcTable.IsAlive(step.Pid, step.StartTime).ShouldBeTrue();
    }

    [Fact]
    public async Task Processes_that_keep_forking_are_killed_to_the_last()
    {
        // At most 3 + 9 + … + 729 processes; each forks its three children one by one.
        using var step = RunningStep.Start("perl", "-e",
            "sub grow { my $d = shift; for (1..3) { if ($d > 0 && fork() == 0) { setpgrp; grow($d - 1); exit } select(undef, undef, undef, 0.02) } sleep 600 while 1 } grow(6)");
        await Eventually.TrueAsync(() => step.Tree.Find().Count > 20, what: "it grows");
        var report = await step.Tree.KillAsync(TimeSpan.Zero, TestContext.Current.CancellationToken);
        report.IsComplete.ShouldBeTrue();
        report.Killed.Count.ShouldBeGreaterThan(20);
        step.Tree.IsGone().ShouldBeTrue();
        (await step.Exit).Signal.ShouldBe("SIGKILL");
        step.Tree.IsGone().ShouldBeTrue();
    }

    [Fact]
    public async Task Suspend_stops_every_process_and_resume_continues_those_it_stopped()
    {
        using var step = RunningStep.Start(Fugitive.Daemon(rootThen: "if (fork() == 0) { print \"halted $$\\n\"; kill STOP => $$; sleep 600 } sleep 600"));
        var daemon = await Fugitive.FreeAsync(() => step.Out);
        await Eventually.TrueAsync(() => States(step).Count(s => s == 'T') == 1, what: "the third has stopped itself");
        step.Tree.Suspend();
        await Eventually.TrueAsync(() => States(step) is { Count: 3 } all && all.TrueForAll(s => s == 'T'), what: "all are stopped");
        step.Tree.Resume();
        await Eventually.TrueAsync(() => States(step).Count(s => s == 'T') == 1, what: "two go on");
        ProcTable.IsAlive(daemon.Pid, daemon.StartTime).ShouldBeTrue();
    }

    [Fact]
    public async Task A_stopped_tree_gets_its_chance_to_end_by_itself()
    {
        using var step = RunningStep.Start("sh", "-c", "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.05; done");
        await Eventually.TrueAsync(() => step.Out.Length > 0, what: "the trap is set");
        step.Tree.Suspend();
        var report = await step.Tree.KillAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken);
        report.Killed.ShouldBeEmpty();
        (await step.Exit).ExitCode.ShouldBe(5);
        step.Out.ShouldBe("up\nbye\n");
    }

    [Fact]
    public async Task A_child_keeps_its_grace_when_its_parent_ends_first()
    {
        using var step = RunningStep.Start("sh", "-c", "(trap 'sleep 0.3; echo saved; exit' TERM; echo up; while :; do sleep 0.05; done) & wait");
        await Eventually.TrueAsync(() => step.Out.Length > 0, what: "the trap is set");
        var report = await step.Tree.KillAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken);
        report.Killed.ShouldBeEmpty();
        var exit = await step.Exit;
        exit.Signal.ShouldBe("SIGTERM");
        exit.Leftovers.ShouldBeNull();
        step.Out.ShouldBe("up\nsaved\n");
    }

    [Fact]
    public async Task A_leader_that_ended_before_its_threads_is_no_zombie()
    {
        // exit(2) ends only the calling thread: /proc shows state Z while the other thread goes on.
        using var step = RunningStep.Start("python3", "-c",
            "import ctypes, threading, time; threading.Thread(target=lambda: time.sleep(600)).start(); print('two', flush=True); ctypes.CDLL(None).syscall(60 if __import__('platform').machine() == 'x86_64' else 93, 0)");
        await Eventually.TrueAsync(() => step.Tree.Find().Any(p => ProcTable.TryRead(p, out var e) && e.State == 'Z'), what: "its leader has ended");
        (await step.Tree.KillAsync(TimeSpan.Zero, TestContext.Current.CancellationToken)).IsComplete.ShouldBeTrue();
        (await step.Exit.WaitAsync(TimeSpan.FromSeconds(90), TestContext.Current.CancellationToken)).Signal.ShouldBe("SIGKILL");
    }

    [Fact]
    public async Task An_agent_inside_a_step_takes_its_own_steps_along()
    {
        var innerMark = ProcessMarks.New();
        using var outer = RunningStep.Start([.. TestHost.Agent("step_inner", innerMark, "none", Fugitive.Daemon())]);
        var daemon = await Fugitive.FreeAsync(() => outer.Out);
        ProcTable.ReadMark(daemon.Pid, foreignToo: true).ShouldBe(innerMark);
        var report = await outer.Tree.KillAsync(TimeSpan.Zero, TestContext.Current.CancellationToken);
        report.Killed.ShouldContain(daemon.Pid);
        ProcTable.IsAlive(daemon.Pid, daemon.StartTime).ShouldBeFalse();
    }

    [Fact]
    public async Task A_process_of_another_user_is_reported_and_does_not_hang_the_kill()
    {
        Prerequisite.Root();
        using var step = RunningStep.Start("sleep", "600");
        using var kill = RunningStep.Start([.. TestHost.Kill(step.Mark, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")]);
        (await kill.Exit.WaitAsync(TimeSpan.FromSeconds(90), TestContext.Current.CancellationToken)).ExitCode.ShouldBe(0, kill.Error);
        kill.Out.ShouldBe($"killed 0 processes; these live on: {step.Pid} (sleep): it belongs to another user\n");
        step.Exit.IsCompleted.ShouldBeFalse();
    }

    [Fact]
    public async Task A_spared_process_is_no_member_though_it_carries_the_mark()
    {
        using var step = RunningStep.Start(Fugitive.Daemon());
        var daemon = await Fugitive.FreeAsync(() => step.Out);
        var tree = new ProcessTree(step.Mark, 0, "", spared: new ProcessName(step.Pid, step.StartTime));
        tree.Find().ShouldBe([daemon.Pid]);
        (await tree.KillAsync(TimeSpan.Zero, TestContext.Current.CancellationToken)).Killed.ShouldBe([daemon.Pid]);
        tree.HasLeftovers().ShouldBeFalse();
        step.Exit.IsCompleted.ShouldBeFalse();
    }

    private static List<char> States(RunningStep step) =>
        [.. step.Tree.Find().Select(p => ProcTable.TryRead(p, out var e) ? e.State : '-')];

    private static string MakeFifo(out string path)
    {
        path = Path.Join(Path.GetTempPath(), "tanjiren-" + Guid.NewGuid().ToString("N"));
        using var make = RunningStep.Start("mkfifo", path);
        make.Exit.GetAwaiter().GetResult().ExitCode.ShouldBe(0);
        return path;
    }
}
