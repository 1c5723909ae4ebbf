using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests;

/// <summary>The sign-in behind the machine ends: what runs is finished, nothing new begins, and the next sign-in finds everything in its place.</summary>
public sealed class SignedOutTests : IAsyncLifetime
{
    private readonly Lines log = new();
    private FakeControlPlane server = null!;
    private AgentHarness agent = null!;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        Prerequisite.Linux();
        server = await FakeControlPlane.StartAsync();
        agent = await AgentHarness.PairedAsync(server);
        agent.Logs = LoggerFactory.Create(logging => logging.AddProvider(log));
    }

    public async ValueTask DisposeAsync()
    {
        if (agent is not null) await agent.DisposeAsync();
        if (server is not null) await server.DisposeAsync();
        log.Dispose();
    }

    [Fact]
    public async Task What_runs_is_finished_and_reported_nothing_new_is_taken_and_the_next_sign_in_goes_on()
    {
        await agent.StartAsync();
        var running = server.Shell($"echo up; while [ ! -e {agent.File("go")} ]; do sleep 0.02; done; echo done");
        await Eventually.TrueAsync(() => running.Output().Contains("up"));

        server.SignedOut = true;
        var next = server.Enqueue("/bin/true");
        await Eventually.TrueAsync(() => AgentStatus.Load(agent.Home)!.Notice?.Contains("tanvrit-compute auth login") == true);
        await File.WriteAllTextAsync(agent.File("go"), "", Ct);

        await Eventually.TrueAsync(() => running.Result is not null);
        (running.Result!.Outcome, running.Output()).ShouldBe((StepOutcome.Succeeded, "up\ndone\n"));
        var asked = server.Count("work");
        await Eventually.TrueAsync(() => server.Count("work") >= asked + 10); // it goes on asking, for a while
        (next.ClaimId, next.Queued).ShouldBe((null, true));
        agent.Running.IsCompleted.ShouldBeFalse();
        log.Count("Signed out:").ShouldBe(1);

        server.SignedOut = false;
        await Eventually.TrueAsync(() => next.Result is not null);
        await Eventually.TrueAsync(() => AgentStatus.Load(agent.Home)!.Notice is null);
        server.Sessions.Count.ShouldBe(1, "the session went on");
        log.Count("Signed in again").ShouldBe(1);
    }

    [Fact]
    public async Task It_asks_slowly()
    {
        await agent.StartAsync();
        server.SignedOut = true;
        await Eventually.TrueAsync(() => AgentStatus.Load(agent.Home)!.Notice is not null);
        var (before, began) = (server.Count("work"), TimeProvider.System.GetTimestamp());

        await Eventually.TrueAsync(() => server.Count("work") >= before + 10);

        TimeProvider.System.GetElapsedTime(began).ShouldBeGreaterThan(AgentHarness.Fast.SignedOutRetry * 9);
    }

    [Fact]
    public async Task A_result_that_comes_too_late_waits_for_the_next_sign_in()
    {
        await agent.StartAsync();
        var go = server.Hold("complete");
        var step = server.Enqueue("/bin/true");
        await Eventually.TrueAsync(() => server.Count("complete") > 0);
        // The lease runs out while the result is on its way, so that nothing is held any more.
        server.SignedOut = true;
        step.Held = false;
        go.SetResult();
        var tries = server.Count("complete");
        await Eventually.TrueAsync(() => server.Count("complete") >= tries + 2);
        step.Held = true;
        server.SignedOut = false;

        await Eventually.TrueAsync(() => step.Result is not null);
        step.Result!.Outcome.ShouldBe(StepOutcome.Succeeded);
    }

    [Fact]
    public async Task Started_while_signed_out_it_waits_and_then_opens_its_session()
    {
        server.SignedOut = true;
        var started = agent.StartAsync();
        await Eventually.TrueAsync(() => server.Count("sessions") >= 3);
        await Eventually.TrueAsync(() => AgentStatus.Load(agent.Home)?.Notice?.Contains("Signed out") == true);
        server.Sessions.ShouldBeEmpty();

        server.SignedOut = false;
        await started;
        var step = server.Enqueue("/bin/true");
        await Eventually.TrueAsync(() => step.Result is not null);
    }

    [Fact]
    public async Task A_heartbeat_that_brings_work_says_that_it_is_signed_in_again()
    {
        server.HeartbeatSeconds = 1;
        await agent.StartAsync();
        server.SignedOut = true;
        await Eventually.TrueAsync(() => AgentStatus.Load(agent.Home)!.Notice is not null);
        // No poll is answered meanwhile.
        var go = server.Hold("work");
        server.PendingInHeartbeats = true;
        server.SignedOut = false;
        var step = server.Enqueue("/bin/true");

        await Eventually.TrueAsync(() => step.Result is not null);
        await Eventually.TrueAsync(() => AgentStatus.Load(agent.Home)!.Notice is null);
        log.Count("Signed in again").ShouldBe(1);
        go.SetResult();
    }

    [Fact]
    public async Task Gone_from_the_machine_alone_it_ends_the_same_whatever_the_server_gives()
    {
        await agent.StartAsync();
        var running = server.Shell($"echo up; while [ ! -e {agent.File("go")} ]; do sleep 0.02; done; echo done");
        await Eventually.TrueAsync(() => running.Output().Contains("up"));

        agent.SignInGone = "It was signed out here.";
        await Eventually.TrueAsync(() => AgentStatus.Load(agent.Home)!.Notice?.Contains("It was signed out here.") == true);
        server.PendingInHeartbeats = true;
        var next = server.Enqueue("/bin/true");
        // The server is told, so that the job can go elsewhere; it gives all the same.
        await Eventually.TrueAsync(() => server.Heartbeats.LastOrDefault()?.Draining == true);
        await File.WriteAllTextAsync(agent.File("go"), "", Ct);
        await Eventually.TrueAsync(() => running.Result is not null);
        (running.Result!.Outcome, running.Output()).ShouldBe((StepOutcome.Succeeded, "up\ndone\n"));
        (next.ClaimId, next.Queued, agent.Running.IsCompleted, log.Count("Signed out:")).ShouldBe((null, true, false, 1));

        agent.SignInGone = null;
        await Eventually.TrueAsync(() => next.Result is not null);
        await Eventually.TrueAsync(() => server.Heartbeats.Last().Draining == false);
        (server.Sessions.Count, log.Count("Signed in again")).ShouldBe((1, 1));
    }

    [Fact]
    public async Task Gone_while_no_agent_ran_nothing_is_taken_from_the_start()
    {
        agent.SignInGone = "It was signed out here.";
        server.PendingInHeartbeats = true;
        var step = server.Enqueue("/bin/true");
        await agent.StartAsync();
        await Eventually.TrueAsync(() => !server.Heartbeats.IsEmpty && AgentStatus.Load(agent.Home)!.Notice is not null);
        (step.ClaimId, server.Heartbeats.First().Draining, server.Count("work")).ShouldBe((null, true, 0));
    }

    [Fact]
    public async Task Of_the_machine_and_the_server_the_first_says_it_and_the_last_ends_it()
    {
        await agent.StartAsync();
        server.SignedOut = true;
        await Eventually.TrueAsync(() => log.Count("Signed out:") == 1);
        await LookedAsync("It was signed out here.");
        // Signed in anew, and the workstation not registered with that yet.
        await LookedAsync(null);
        var asked = server.Count("work");
        await Eventually.TrueAsync(() => server.Count("work") >= asked + 2);
        (log.Count("Signed out:"), log.Count("Signed in again")).ShouldBe((1, 0));

        server.SignedOut = false;
        var step = server.Enqueue("/bin/true"); // only an answer brings it back, and a poll hangs until there is work
        await Eventually.TrueAsync(() => step.Result is not null);
        log.Count("Signed in again").ShouldBe(1);
    }

    private async Task LookedAsync(string? gone)
    {
        agent.SignInGone = gone;
        var looks = agent.SignInLooks;
        await Eventually.TrueAsync(() => agent.SignInLooks >= looks + 2);
    }

    private sealed class Lines : ILoggerProvider, ILogger
    {
        private readonly ConcurrentQueue<string> lines = new();

        public int Count(string text) => lines.Count(l => l.Contains(text, StringComparison.Ordinal));

        public ILogger CreateLogger(string categoryName) => this;
        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;
        public bool IsEnabled(LogLevel logLevel) => true;
        public void Dispose() { }

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            lines.Enqueue(formatter(state, exception));
    }
}
