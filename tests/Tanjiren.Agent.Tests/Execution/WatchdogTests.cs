using System.Diagnostics;
using System.Globalization;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Tanjiren.Agent.Execution;
using Tanjiren.Agent.Execution.Linux;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.Execution;

public sealed class WatchdogTests
{
    private const string FarAway = "600000";

    [Fact]
    public async Task Kill_9_of_the_agent_kills_its_tree_and_leaves_the_neighbour()
    {
        var mark = ProcessMarks.New();
        using var neighbour = RunningStep.Start(Fugitive.Daemon());
        var other = await Fugitive.FreeAsync(() => neighbour.Out);
        using var agent = StartAgent(mark, FarAway);
        var daemon = await Fugitive.FreeAsync(() => agent.Out);
        var watchdog = NumberAfter("watchdog ", agent.Out);
        ProcTable.TryRead(watchdog, out var guard).ShouldBeTrue();

        ProcSignal.Send(agent.Pid, agent.StartTime, Libc.SIGKILL).ShouldBe(SignalResult.Sent);

        await Eventually.TrueAsync(() => new ProcessTree(mark, 0, "").IsGone(), what: "the tree is dead");
        ProcTable.IsAlive(daemon.Pid, daemon.StartTime).ShouldBeFalse();
        await Eventually.TrueAsync(() => !ProcTable.IsAlive(watchdog, guard.StartTime), what: "the watchdog has gone");
        ProcTable.IsAlive(other.Pid, other.StartTime).ShouldBeTrue();
        neighbour.Exit.IsCompleted.ShouldBeFalse();
    }

    [Fact]
    public async Task A_passed_deadline_kills_the_tree_of_an_agent_that_is_stopped()
    {
        var mark = ProcessMarks.New();
        using var agent = StartAgent(mark, "10000");
        var daemon = await Fugitive.FreeAsync(() => agent.Out);
        ProcSignal.Send(agent.Pid, agent.StartTime, Libc.SIGSTOP).ShouldBe(SignalResult.Sent);
        ProcTable.IsAlive(daemon.Pid, daemon.StartTime).ShouldBeTrue();

        await Eventually.TrueAsync(() => new ProcessTree(mark, 0, "").IsGone(), what: "the tree is dead");

        ProcTable.IsAlive(daemon.Pid, daemon.StartTime).ShouldBeFalse();
        ProcTable.TryRead(agent.Pid, out var stopped).ShouldBeTrue();
        stopped.State.ShouldBe('T');
    }

    [Fact]
    public async Task It_carries_no_mark_has_its_own_session_and_only_its_pipes()
    {
        await using var client = await StartAsync();
        ProcessMarks.IsMark(ProcTable.ReadMark(client.Pid, foreignToo: false)).ShouldBe(ProcessMarks.IsMark(MarkedSpawn.OwnLimit));
        var stat = await File.ReadAllTextAsync($"/proc/{client.Pid}/stat", TestContext.Current.CancellationToken);
        stat[(stat.LastIndexOf(')') + 2)..].Split(' ')[3].ShouldBe(client.Pid.ToString(CultureInfo.InvariantCulture));
        var pipes = Directory.GetFileSystemEntries($"/proc/{client.Pid}/fd").Where(f => int.Parse(Path.GetFileName(f), CultureInfo.InvariantCulture) <= 1)
            .Select(f => new FileInfo(f).LinkTarget).ToList();
        pipes.ShouldAllBe(target => target!.StartsWith("pipe:", StringComparison.Ordinal));
    }

    [Fact]
    public async Task It_ignores_the_signals_that_stop_an_agent_and_goes_at_the_end_of_its_input()
    {
        var client = await StartAsync();
        ProcTable.TryRead(client.Pid, out var guard).ShouldBeTrue();
        const int hangUp = 1, interrupt = 2;
        foreach (var signal in (int[])[hangUp, interrupt, Libc.SIGTERM]) ProcSignal.Send(client.Pid, guard.StartTime, signal).ShouldBe(SignalResult.Sent);
        // It still works: a tree whose deadline has passed is killed.
        using var step = RunningStep.Start(Fugitive.Daemon());
        _ = await Fugitive.FreeAsync(() => step.Out);
        client.Watch(step.StepId, step.Mark, BootClock.NowMs);
        (await step.Exit.WaitAsync(TimeSpan.FromSeconds(90), TestContext.Current.CancellationToken)).Signal.ShouldBe("SIGKILL");
        client.IsAlive.ShouldBeTrue();
        await client.DisposeAsync();
        await client.Died.WaitAsync(TimeSpan.FromSeconds(90), TestContext.Current.CancellationToken);
        ProcTable.IsAlive(client.Pid, guard.StartTime).ShouldBeFalse();
    }

    [Fact]
    public async Task An_extended_lease_lives_a_forgotten_one_too_and_one_started_late_does_not()
    {
        await using var client = await StartAsync();
        using var extended = RunningStep.Start("sleep", "600");
        using var forgotten = RunningStep.Start("sleep", "600");
        var late = RunningStep.Request("sleep", "600");
        var deadline = BootClock.NowMs + 5000;
        client.Watch(extended.StepId, extended.Mark, deadline);
        client.Extend(extended.StepId, deadline + 600_000);
        client.Watch(forgotten.StepId, forgotten.Mark, deadline);
        client.Forget(forgotten.StepId);
        client.Watch(late.StepId, late.Mark, deadline);
        await Eventually.TrueAsync(() => BootClock.NowMs > deadline + 300, what: "the deadline has passed");
        using var started = RunningStep.Start(late, ExecutionOptions.Default);
        (await started.Exit.WaitAsync(TimeSpan.FromSeconds(90), TestContext.Current.CancellationToken)).Signal.ShouldBe("SIGKILL");
        extended.Exit.IsCompleted.ShouldBeFalse();
        forgotten.Exit.IsCompleted.ShouldBeFalse();
    }

    [Fact]
    public async Task Its_death_is_noticed_and_writing_to_it_is_refused()
    {
        await using var client = await StartAsync();
        ProcTable.TryRead(client.Pid, out var guard).ShouldBeTrue();
        ProcSignal.Send(client.Pid, guard.StartTime, Libc.SIGKILL).ShouldBe(SignalResult.Sent);
        await client.Died.WaitAsync(TimeSpan.FromSeconds(90), TestContext.Current.CancellationToken);
        client.IsAlive.ShouldBeFalse();
        Should.Throw<WatchdogLostException>(() => client.Watch("step_1", 1, 0));
        // Reaped: no zombie is left of it.
        (ProcTable.TryRead(client.Pid, out var left) && left.StartTime == guard.StartTime).ShouldBeFalse();
    }

    [Fact]
    public async Task A_watchdog_that_falls_silent_is_given_up()
    {
        var options = new ExecutionOptions { WatchdogPing = TimeSpan.FromMilliseconds(50), WatchdogSilence = TimeSpan.FromSeconds(5) };
        await using var client = await StartAsync(options);
        ProcTable.TryRead(client.Pid, out var guard).ShouldBeTrue();
        ProcSignal.Send(client.Pid, guard.StartTime, Libc.SIGSTOP).ShouldBe(SignalResult.Sent);
        await client.Died.WaitAsync(TimeSpan.FromSeconds(90), TestContext.Current.CancellationToken);
        client.IsAlive.ShouldBeFalse();
    }

    [Fact]
    public async Task Writing_to_a_watchdog_that_does_not_read_ends()
    {
        var options = new ExecutionOptions { WatchdogWrite = TimeSpan.FromMilliseconds(100) };
        await using var client = await StartAsync(options);
        ProcTable.TryRead(client.Pid, out var guard).ShouldBeTrue();
        ProcSignal.Send(client.Pid, guard.StartTime, Libc.SIGSTOP).ShouldBe(SignalResult.Sent);
        // Far more than a pipe holds.
        Should.Throw<WatchdogLostException>(() => { for (var i = 0; i < 10_000; i++) client.Watch("step_" + i, 1, 0); });
        client.IsAlive.ShouldBeFalse();
    }

    [Fact]
    public async Task A_watchdog_that_ends_at_once_is_an_error()
    {
        await Should.ThrowAsync<WatchdogLostException>(() => WatchdogClient.StartAsync(["true"], ExecutionOptions.Default, TimeProvider.System, NullLogger.Instance, default));
        await Should.ThrowAsync<SpawnFailedException>(() => WatchdogClient.StartAsync(["no-such-watchdog"], ExecutionOptions.Default, TimeProvider.System, NullLogger.Instance, default));
    }

    [Fact]
    public async Task Lines_that_are_not_understood_are_said_and_survived()
    {
        using var lines = new StringWriter();
        await using var log = TextWriter.Synchronized(lines);
        using var answers = new MemoryStream();
        using var input = new MemoryStream(Encoding.ASCII.GetBytes("nonsense\nwatch step_1 notanumber 5\nextend step_unknown 5\nping\nwatch step_2 7 99999999999999\n"));
        new WatchdogLoop(answers, log).Run(input).ShouldBe(0);
        Encoding.ASCII.GetString(answers.ToArray()).ShouldBe("ready\npong\n");
        // The end waits a second for its log, which a busy machine may need longer for.
        await Eventually.TrueAsync(() => lines.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries).Length == 3, () => lines.ToString(), what: "three lines are said");
    }

    private static Task<WatchdogClient> StartAsync(ExecutionOptions? options = null) =>
        WatchdogClient.StartAsync(TestHost.Watchdog, options ?? ExecutionOptions.Default, TimeProvider.System, NullLogger.Instance, TestContext.Current.CancellationToken);

    private static AgentProcess StartAgent(ulong mark, string deadlineMs) =>
        new(TestHost.Agent("step_" + Guid.NewGuid().ToString("N"), mark, deadlineMs, Fugitive.Daemon()), mark);

    private static int NumberAfter(string label, string output) => int.Parse(
        output.Split('\n').First(l => l.StartsWith(label, StringComparison.Ordinal)).AsSpan(label.Length), CultureInfo.InvariantCulture);

    /// <summary>An agent in a process of its own, and not a step of this one: as such its watchdog would be killed as a leftover.</summary>
    private sealed class AgentProcess : IDisposable
    {
        private readonly Process _process;
        private readonly StringBuilder _out = new();

        private readonly ProcessTree _tree;

        public AgentProcess(IReadOnlyList<string> command, ulong mark)
        {
            _tree = new ProcessTree(mark, 0, "");
            var start = new ProcessStartInfo(command[0], command.Skip(1)) { RedirectStandardOutput = true, UseShellExecute = false };
            _process = MarkedSpawn.Run(0, () => Process.Start(start)!);
            ProcTable.TryRead(_process.Id, out var entry).ShouldBeTrue();
            StartTime = entry.StartTime;
            _process.OutputDataReceived += (_, line) => { lock (_out) _out.Append(line.Data).Append('\n'); };
            _process.BeginOutputReadLine();
        }

        public int Pid => _process.Id;
        public long StartTime { get; }
        public string Out { get { lock (_out) return _out.ToString(); } }

        public void Dispose()
        {
            _process.Kill();
            _process.WaitForExit();
            _process.Dispose();
            _ = _tree.KillAsync(TimeSpan.Zero, CancellationToken.None).GetAwaiter().GetResult();
        }
    }
}
