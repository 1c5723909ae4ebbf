using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests;

/// <summary>How an agent stops, and how it is kept from running beside another.</summary>
public sealed class AgentStopTests : IAsyncLifetime
{
    private FakeControlPlane server = null!;
    private AgentHarness agent = null!;

    public async ValueTask InitializeAsync()
    {
        Prerequisite.Linux();
        server = await FakeControlPlane.StartAsync();
        agent = await AgentHarness.PairedAsync(server);
    }

    public async ValueTask DisposeAsync()
    {
        await agent.DisposeAsync();
        await server.DisposeAsync();
    }

    [Fact]
    public async Task Drain_finishes_what_runs_takes_nothing_new_and_exits_zero()
    {
        await agent.StartAsync();
        var running = server.Shell($"echo up; while [ ! -e {agent.File("go")} ]; do sleep 0.02; done");
        await Eventually.TrueAsync(() => running.Output().Contains("up"));

        agent.Drain();
        await Eventually.TrueAsync(() => server.Heartbeats.LastOrDefault()?.Draining == true);
        var late = server.Enqueue("/bin/true");
        await File.WriteAllTextAsync(agent.File("go"), "", TestContext.Current.CancellationToken);

        (await agent.Running).ShouldBe(AgentExit.Drained);
        running.Result!.Outcome.ShouldBe(StepOutcome.Succeeded);
        late.Generation.ShouldBe(0);
    }

    [Fact]
    public async Task Drain_hands_back_a_claim_that_was_granted_meanwhile()
    {
        await agent.StartAsync();
        var hold = server.Hold("claim");
        var step = server.Shell($"touch {agent.File("ran")}");
        await Eventually.TrueAsync(() => server.Count("claim") == 1);

        agent.Drain();
        await Eventually.TrueAsync(() => server.Heartbeats.LastOrDefault()?.Draining == true);
        hold.SetResult();

        (await agent.Running).ShouldBe(AgentExit.Drained);
        step.Releases.ShouldBe(1);
        File.Exists(agent.File("ran")).ShouldBeFalse();
    }

    [Fact]
    public async Task Drain_without_a_server_ends_in_bounded_time_and_the_next_start_sends_the_result()
    {
        agent.Timeouts = AgentHarness.Fast with { DrainFlush = TimeSpan.FromSeconds(1) };
        await agent.StartAsync();
        var step = server.Shell($"echo up; while [ ! -e {agent.File("go")} ]; do sleep 0.02; done");
        await Eventually.TrueAsync(() => step.Output().Contains("up"));
        server.Down = true;
        await File.WriteAllTextAsync(agent.File("go"), "", TestContext.Current.CancellationToken);

        agent.Drain();

        (await agent.Running.WaitAsync(TimeSpan.FromSeconds(90), TimeProvider.System, TestContext.Current.CancellationToken)).ShouldBe(AgentExit.Drained);
        server.Down = false;
        await agent.StartAsync();
        await Eventually.TrueAsync(() => step.Result is { Outcome: StepOutcome.Succeeded });
    }

    [Fact]
    public async Task Abort_kills_what_runs_and_reports_it()
    {
        // It gives a fifth of this to the report.
        agent.Timeouts = AgentHarness.Fast with { BackoffMax = TimeSpan.FromMinutes(5) };
        await agent.StartAsync();
        var step = server.Shell("trap '' TERM; echo $$; while :; do sleep 0.1; done");
        await Eventually.TrueAsync(() => step.Output().Length > 0);
        var pid = int.Parse(step.Output());

        (await agent.AbortAsync()).ShouldBe(AgentExit.Aborted);

        Directory.Exists($"/proc/{pid}").ShouldBeFalse();
        (step.Result!.Outcome, step.Result.Reason).ShouldBe((StepOutcome.Failed, StepReason.UnknownOutcome));
    }

    [Fact]
    public async Task A_second_agent_on_the_same_home_is_refused()
    {
        await agent.StartAsync();

        var second = await AgentRuntime.RunAsync(agent.Options(), new AgentSignals(default, default), TimeProvider.System, agent.Logs);

        second.ShouldBe(AgentExit.NeedsAttention);
        AgentStatus.IsRunning(agent.Home).ShouldBeTrue();
    }

    [Fact]
    public async Task While_another_machine_has_the_identity_nothing_is_asked_for_or_run()
    {
        server.Refuse("sessions", 409, ErrorCode.IdentityInUse, count: 1000, detail: "host-a and host-b");
        server.Enqueue("/bin/true");
        var starting = agent.StartAsync();

        await Eventually.TrueAsync(() => server.Count("sessions") > 3);

        (server.Count("work"), server.Count("claim"), server.Count("heartbeat")).ShouldBe((0, 0, 0));
        await Eventually.TrueAsync(() => AgentStatus.Load(agent.Home)?.Notice?.Contains("host-a and host-b") == true);
        server.StopRefusing("sessions");
        await starting;
        await Eventually.TrueAsync(() => server.Completes.Count == 1);
    }

    [Fact]
    public async Task A_lost_session_answer_is_repeated_with_the_same_session_id()
    {
        server.LoseAnswers("sessions", 2);

        await agent.StartAsync();
        await Eventually.TrueAsync(() => !server.Heartbeats.IsEmpty);

        server.Sessions.Count.ShouldBe(3);
        server.Sessions.Select(s => s.SessionId).Distinct().Count().ShouldBe(1);
    }

    [Fact]
    public async Task When_its_session_ends_everything_is_killed_before_the_next_one_is_opened()
    {
        await agent.StartAsync();
        var step = server.Shell("echo $$; exec sleep 1000");
        await Eventually.TrueAsync(() => step.Output().Length > 0);
        var pid = int.Parse(step.Output());
        var first = server.Session;

        server.EndSession();

        await Eventually.TrueAsync(() => server.Sessions.Count == 2);
        Directory.Exists($"/proc/{pid}").ShouldBeFalse();
        server.Sessions.Last().PreviousSessionIds![0].ShouldBe(first);
        server.Sessions.Last().Steps!.Single().State.ShouldBe(StepReportState.UnknownOutcome);
        await Eventually.TrueAsync(() => step.Result?.Reason == StepReason.UnknownOutcome);
    }

    [Fact]
    public async Task A_revoked_key_kills_what_runs_and_stops_the_agent_with_a_reason()
    {
        await agent.StartAsync();
        var step = server.Shell("echo $$; exec sleep 1000");
        await Eventually.TrueAsync(() => step.Output().Length > 0);
        var pid = int.Parse(step.Output());

        server.Refuse("work", 401, ErrorCode.KeyRevoked, count: 100);
        server.Changed();
        server.Enqueue("/bin/true");

        (await agent.Running.WaitAsync(TimeSpan.FromSeconds(90), TimeProvider.System, TestContext.Current.CancellationToken)).ShouldBe(AgentExit.NeedsAttention);
        Directory.Exists($"/proc/{pid}").ShouldBeFalse();
    }

    [Fact]
    public async Task A_dead_watchdog_is_replaced_and_nothing_is_claimed_meanwhile()
    {
        agent.WatchdogCommand = ["/bin/sh", "-c", $"while [ -e {agent.File("broken")} ]; do sleep 0.02; done; echo $$ > {agent.File("pid")}; echo ready; while read line; do echo pong; done"];
        await agent.StartAsync();
        await File.WriteAllTextAsync(agent.File("broken"), "", TestContext.Current.CancellationToken);
        using (var watchdog = System.Diagnostics.Process.GetProcessById(int.Parse(await File.ReadAllTextAsync(agent.File("pid"), TestContext.Current.CancellationToken)))) watchdog.Kill();
        await Eventually.TrueAsync(() => AgentStatus.Load(agent.Home)!.WatchdogAlive == false);

        var step = server.Enqueue("/bin/true");
        await Eventually.TrueAsync(() => server.WorkOffered > 0);
        server.Count("claim").ShouldBe(0);
        File.Delete(agent.File("broken"));

        await Eventually.TrueAsync(() => step.Result is { Outcome: StepOutcome.Succeeded });
    }

    [Fact]
    public async Task A_home_without_an_identity_is_refused_with_exit_code_two()
    {
        using var empty = new TemporaryDirectory();

        var exit = await AgentRuntime.RunAsync(agent.Options() with { Home = empty.Path }, new AgentSignals(default, default), TimeProvider.System, agent.Logs);

        exit.ShouldBe(AgentExit.NeedsAttention);
    }
}
