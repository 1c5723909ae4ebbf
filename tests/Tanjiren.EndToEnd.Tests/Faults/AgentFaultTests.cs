namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>Faults of the agent's process (acceptance 4).</summary>
public sealed class AgentFaultTests
{
    [Fact]
    public Task A_killed_agent_leaves_nothing_running_and_loses_no_result() => FaultRounds.RunAsync("kill -9 of the agent", new SceneOptions(), async (scene, random) =>
    {
        var task = await scene.SubmitAsync(beats: 30);
        var holder = await scene.HolderAfterAsync(task, lines: random.Next(1, 12));
        await holder.KillAsync();
        await Task.Delay(scene.LeaseEnd * (random.Next(3) / 2.0), TimeProvider.System);
        await holder.StartAgainAsync();
    });
}
