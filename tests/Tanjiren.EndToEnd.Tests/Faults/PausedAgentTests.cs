namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>SIGSTOP and SIGCONT of the agent: it is there, holds its sockets and locks, and does nothing, also past its deadline (acceptance 4).</summary>
public sealed class PausedAgentTests
{
    [Fact]
    public Task A_paused_agent_runs_nothing_past_its_deadline_and_writes_nothing_when_it_goes_on() => FaultRounds.RunAsync("SIGSTOP and SIGCONT of the agent", new SceneOptions(), async (scene, random) =>
    {
        // Longer than a lease where the watchdog has to end it.
        var task = await scene.SubmitAsync(beats: scene.Round % 3 == 1 ? 60 : 30);
        var holder = await scene.HolderAfterAsync(task, lines: random.Next(1, 12));
        holder.Process.Pause();
        await ((scene.Round % 3) switch
        {
            // The other agent has it by then: the watchdog has killed the tree, and the agent finds out only now.
            1 => scene.HandedOnAsync(task, holder),
            // Around the deadline, either side of it.
            2 => Task.Delay(scene.LeaseEnd * (0.6 + (random.NextDouble() * 0.8)), TimeProvider.System),
            // Back in time.
            _ => Task.Delay(scene.LeaseEnd * 0.4 * random.NextDouble(), TimeProvider.System),
        });
        holder.Process.Resume();
    });
}
