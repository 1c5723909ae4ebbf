using System.Diagnostics;
using System.Globalization;
using Tanjiren.Agent.Keys;
using Tanjiren.Agent.Settings;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.Idle;

/// <summary>A whole agent that has nothing to do (A-06), with a real watchdog process: what it gives up, what it keeps, and what wakes it.</summary>
public sealed class IdleSuspendTests : IAsyncLifetime
{
    private FakeControlPlane server = null!;
    private AgentHarness agent = null!;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    private AgentStatus Status => AgentStatus.Load(agent.Home)!;

    public async ValueTask InitializeAsync()
    {
        Prerequisite.Linux();
        server = await FakeControlPlane.StartAsync();
        agent = await AgentHarness.PairedAsync(server);
        agent.Settings = new AgentSettings { IdleSuspendSeconds = 1 };
        agent.Timeouts = AgentHarness.Fast with { IdleHang = TimeSpan.FromSeconds(1) };
        agent.WatchdogCommand = ["/bin/sh", "-c", $"echo $$ > {agent.File("watchdog.new")}; mv {agent.File("watchdog.new")} {agent.File("watchdog")}; echo ready; while read line; do echo pong; done"];
    }

    public async ValueTask DisposeAsync()
    {
        if (agent is not null) await agent.DisposeAsync();
        if (server is not null) await server.DisposeAsync();
    }

    [Fact]
    public async Task Without_work_it_keeps_one_hanging_heartbeat_and_no_watchdog()
    {
        await SuspendedAsync();
        var watchdog = Watchdog();
        await Eventually.TrueAsync(() => !Directory.Exists($"/proc/{watchdog}"));
        await Eventually.TrueAsync(() => !Status.WatchdogAlive);
        await Eventually.TrueAsync(() => (server.Hanging("heartbeat"), server.Hanging("work")) == (1, 0));
        var (polls, beats, tokens) = (server.Count("work"), server.Heartbeats.Count, server.TokensIssued);

        await Eventually.TrueAsync(() => server.Heartbeats.Count >= beats + 3);

        (server.Count("work"), server.TokensIssued).ShouldBe((polls, tokens), "nothing else is asked");
        server.Heartbeats.Skip(beats).ShouldAllBe(b => b.WaitSeconds == 1 && !b.Draining && b.Leases!.Count == 0);
        Status.SuspendedSince.ShouldNotBeNull();
        Status.Connected.ShouldBeTrue();
    }

    [Fact]
    public async Task A_job_wakes_it_and_it_suspends_again_afterwards()
    {
        agent.Timeouts = AgentHarness.Fast; // the heartbeat hangs for 30 s
        await SuspendedAsync();
        var (first, since) = (Watchdog(), Status.SuspendedSince!.Value);
        await Eventually.TrueAsync(() => server.Hanging("heartbeat") == 1);
        var began = Stopwatch.GetTimestamp();

        var step = server.Shell("echo up");
        await ResultAsync(step);

        // From the step that is queued to its result at the server, with a shell for a watchdog.
        TestContext.Current.TestOutputHelper?.WriteLine(string.Create(CultureInfo.InvariantCulture, $"woken and done after {Stopwatch.GetElapsedTime(began).TotalMilliseconds:0} ms"));
        (step.Output(), step.Generation, step.Releases).ShouldBe(("up\n", 2, 0));
        Watchdog().ShouldNotBe(first, "a watchdog came first");
        await Eventually.TrueAsync(() => Status.SuspendedSince > since);
    }

    /// <summary>Between the last look of the poll and the first of the heartbeat; and just as the heartbeat begins to hang.</summary>
    [Theory]
    [InlineData("work broken off")]
    [InlineData("heartbeat hangs")]
    public async Task A_job_in_the_very_moment_of_suspension_is_taken_once(string moment)
    {
        agent.Timeouts = AgentHarness.Fast;
        var steps = new List<FakeStep>();
        server.Moment = now =>
        {
            if (now != moment) return;
            lock (steps) if (steps.Count < 5) steps.Add(server.Enqueue("/bin/true"));
        };
        await agent.StartAsync();

        await Eventually.TrueAsync(() =>
        {
            lock (steps) return steps.Count == 5 && steps.All(s => s.Result is not null);
        });

        // Granted once and completed: nothing was handed back and claimed again.
        steps.ShouldAllBe(s => s.Generation == 2 && s.Releases == 0 && s.Result!.Outcome == StepOutcome.Succeeded);
    }

    [Fact]
    public async Task Work_is_taken_from_the_heartbeat_itself_where_no_poll_gets_through()
    {
        server.Refuse("work", 503, ErrorCode.Unavailable, count: 100_000);
        await SuspendedAsync();

        await ResultAsync(server.Enqueue("/bin/true"));
    }

    [Fact]
    public async Task A_watchdog_that_does_not_start_costs_time_and_no_job()
    {
        agent.WatchdogCommand = ["/bin/sh", "-c", $"[ ! -e {agent.File("broken")} ] || exit 1; echo $$ > {agent.File("watchdog")}; echo ready; while read line; do echo pong; done"];
        agent.Timeouts = AgentHarness.Fast with { Request = TimeSpan.FromSeconds(1), Connect = TimeSpan.FromMilliseconds(500) };
        await SuspendedAsync();
        await File.WriteAllTextAsync(agent.File("broken"), "", Ct);
        var step = server.Enqueue("/bin/true");
        await Eventually.TrueAsync(() => Status.SuspendedSince is null);
        server.Claims.ShouldBeEmpty();

        File.Delete(agent.File("broken"));

        await ResultAsync(step);
        step.Releases.ShouldBe(0);
    }

    [Fact]
    public async Task Drained_while_suspended_it_exits_at_once()
    {
        agent.Timeouts = AgentHarness.Fast;
        await SuspendedAsync();
        await Eventually.TrueAsync(() => server.Hanging("heartbeat") == 1);
        var began = Stopwatch.GetTimestamp();

        agent.Drain();

        (await agent.Running.WaitAsync(TimeSpan.FromSeconds(90), TimeProvider.System, Ct)).ShouldBe(AgentExit.Drained);
        Stopwatch.GetElapsedTime(began).ShouldBeLessThan(TimeSpan.FromSeconds(15), "the hanging heartbeat has 30 s");
        Status.SuspendedSince.ShouldBeNull();
    }

    [Fact]
    public async Task Killed_while_suspended_the_next_start_takes_work()
    {
        await SuspendedAsync();
        (await agent.AbortAsync()).ShouldBe(AgentExit.Aborted);

        await agent.StartAsync();

        await ResultAsync(server.Enqueue("/bin/true"));
    }

    [Fact]
    public async Task Signed_out_while_suspended_it_says_so_and_the_next_sign_in_finds_it()
    {
        await SuspendedAsync();
        server.SignedOut = true;
        await Eventually.TrueAsync(() => Status.Notice?.Contains("tanvrit-compute auth login") == true);
        var step = server.Enqueue("/bin/true");

        server.SignedOut = false;

        await ResultAsync(step);
        await Eventually.TrueAsync(() => Status.Notice is null);
    }

    [Fact]
    public async Task A_sign_in_that_comes_back_is_noticed_without_work()
    {
        await SuspendedAsync();
        server.SignedOut = true;
        await Eventually.TrueAsync(() => Status.Notice is not null);

        server.SignedOut = false;

        await Eventually.TrueAsync(() => Status.Notice is null);
    }

    [Fact]
    public async Task A_new_key_is_found_with_a_heartbeat_and_keeps_it_awake_until_it_is_in_place()
    {
        server.BoundKey = AgentIdentity.Load(agent.Home)!.KeyFingerprint;
        // Between two looks it would have the time to suspend itself.
        agent.Timeouts = agent.Timeouts with { SlowRetry = TimeSpan.FromSeconds(2), SignedOutRetry = TimeSpan.FromSeconds(3) };
        await SuspendedAsync();

        var next = KeyRotation.Start(agent.Home);
        await Eventually.TrueAsync(() => server.Statements.Any(s => s.SubjectFingerprint == next));
        await Eventually.TrueAsync(() => Status.SuspendedSince is null);
        int Hung() => server.Heartbeats.Count(b => b.WaitSeconds > 0);
        var (hung, asked) = (Hung(), server.Statements.Count);
        await Eventually.TrueAsync(() => server.Statements.Count >= asked + 2);
        Hung().ShouldBe(hung, "an admin is still waited for");
        server.ApproveKey();

        await Eventually.TrueAsync(() => AgentIdentity.Load(agent.Home)!.KeyFingerprint == next);
        await Eventually.TrueAsync(() => Status.SuspendedSince is not null);
        await ResultAsync(server.Enqueue("/bin/true"));
        server.Sessions.Count.ShouldBe(1);
    }

    [Fact]
    public async Task A_session_that_ends_while_suspended_is_followed_by_another()
    {
        await SuspendedAsync();

        server.EndSession();

        await Eventually.TrueAsync(() => server.Sessions.Count == 2);
        await ResultAsync(server.Enqueue("/bin/true"));
    }

    [Fact]
    public async Task Without_its_server_it_stays_suspended_and_asks_on()
    {
        await SuspendedAsync();
        server.Down = true;
        await Eventually.TrueAsync(() => !Status.Connected);
        Status.SuspendedSince.ShouldNotBeNull();

        server.Down = false;

        await ResultAsync(server.Enqueue("/bin/true"));
    }

    [Fact]
    public async Task A_server_that_lets_nothing_hang_is_not_asked_in_a_hot_loop()
    {
        agent.Timeouts = AgentHarness.Fast with { BackoffFirst = TimeSpan.FromMilliseconds(400) };
        await SuspendedAsync();
        // Each change ends the hanging without anything to tell, as a server does that stops.
        server.LetsHang = false;
        server.Changed();
        var (before, began) = (server.Heartbeats.Count, Stopwatch.GetTimestamp());

        await Eventually.TrueAsync(() => server.Heartbeats.Count >= before + 6);

        Stopwatch.GetElapsedTime(began).ShouldBeGreaterThan(TimeSpan.FromSeconds(1));
    }

    private async Task SuspendedAsync()
    {
        await agent.StartAsync();
        await Eventually.TrueAsync(() => Status.SuspendedSince is not null);
    }

    private int Watchdog() => int.Parse(File.ReadAllText(agent.File("watchdog")), CultureInfo.InvariantCulture);

    private static Task ResultAsync(FakeStep step) => Eventually.TrueAsync(() => step.Result is { Outcome: StepOutcome.Succeeded });
}
