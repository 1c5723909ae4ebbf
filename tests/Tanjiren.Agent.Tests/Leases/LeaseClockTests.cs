using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.Leases;

/// <summary>What becomes of running steps when the machine sleeps or the server is away. The machine's clock is moved; processes are real.</summary>
public sealed class LeaseClockTests : IAsyncLifetime
{
    private FakeControlPlane server = null!;
    private AgentHarness agent = null!;

    public async ValueTask InitializeAsync()
    {
        Prerequisite.Linux();
        server = await FakeControlPlane.StartAsync();
        agent = await AgentHarness.PairedAsync(server);
        await agent.StartAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await agent.DisposeAsync();
        await server.DisposeAsync();
    }

    [Fact]
    public async Task After_a_sleep_a_step_whose_lease_is_renewed_goes_on()
    {
        var (step, _) = await RunningAsync();
        var beats = server.Heartbeats.Count;

        Interlocked.Add(ref agent.SleptMs, 30_000);
        await Eventually.TrueAsync(() => server.Heartbeats.Count > beats);
        await File.WriteAllTextAsync(agent.File("go"), "", TestContext.Current.CancellationToken);

        await Eventually.TrueAsync(() => step.Result is { Outcome: StepOutcome.Succeeded });
    }

    [Fact]
    public async Task After_a_sleep_a_step_stays_stopped_until_the_server_has_answered()
    {
        var (_, pid) = await RunningAsync();
        var hold = server.Hold("heartbeat");

        Interlocked.Add(ref agent.SleptMs, 30_000);

        await Eventually.TrueAsync(() => State(pid) == 'T');
        hold.SetResult();
        await Eventually.TrueAsync(() => State(pid) is 'S' or 'R');
    }

    [Fact]
    public async Task After_a_sleep_a_step_that_was_given_away_dies_without_running_again()
    {
        var (step, pid) = await RunningAsync();
        server.TakeAway(step);

        Interlocked.Add(ref agent.SleptMs, 30_000);

        await Eventually.TrueAsync(() => State(pid) is null or 'Z');
        server.Completes.ShouldBeEmpty();
    }

    [Fact]
    public async Task Without_a_renewal_a_step_is_killed_at_its_deadline_and_its_outcome_is_unknown()
    {
        var (step, pid) = await RunningAsync();
        server.Down = true;

        Interlocked.Add(ref agent.SleptMs, 300_000);

        await Eventually.TrueAsync(() => State(pid) is null or 'Z', limit: TimeSpan.FromSeconds(40));
        server.Down = false;
        await Eventually.TrueAsync(() => step.Result?.Reason == StepReason.UnknownOutcome);
    }

    [Fact]
    public async Task A_sleep_past_the_hard_deadline_ends_a_step_whose_timer_slept_too()
    {
        var (step, _) = await RunningAsync();

        Interlocked.Add(ref agent.SleptMs, 120_000); // its timeout is 60 s, its lease lives for 210

        await Eventually.TrueAsync(() => step.Result?.Reason == StepReason.Timeout);
    }

    private async Task<(FakeStep Step, int Pid)> RunningAsync()
    {
        var step = server.Shell($"echo $$; while [ ! -e {agent.File("go")} ]; do sleep 0.05; done");
        await Eventually.TrueAsync(() => step.Output().Length > 0);
        // The lease clock must have read the clock once, or it could not see it jump.
        var pid = int.Parse(step.Output());
        await Eventually.TrueAsync(() => AgentStatus.Load(agent.Home)!.Steps.Any(s => s.Phase == "running"));
        return (step, pid);
    }

    /// <summary>The state letter of a process, or null when it is gone.</summary>
    private static char? State(int pid)
    {
        try
        {
            var stat = File.ReadAllText($"/proc/{pid}/stat");
            return stat[stat.LastIndexOf(')') + 2];
        }
        catch (IOException)
        {
            return null;
        }
    }
}
