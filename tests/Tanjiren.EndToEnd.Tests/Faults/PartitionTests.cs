using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>One agent is cut off for longer than TTL and grace, and comes back to a step that is another's by then (acceptance 4).</summary>
public sealed class PartitionTests
{
    private static readonly TimeSpan ReturnLimit = TimeSpan.FromMinutes(3);

    [Fact]
    public Task An_agent_that_returns_after_its_lease_is_refused_and_the_step_is_the_others() => FaultRounds.RunAsync("partition past TTL and grace", new SceneOptions(), async (scene, random) =>
    {
        var kinds = new[] { FaultKind.Drop, FaultKind.Stall, FaultKind.Reset };
        // It would still run when the other one begins, if nobody killed it: a job that ends by itself before that shows no overlap.
        var task = await scene.SubmitAsync(beats: random.Next(65, 90));
        // A second job on the same line: a partition takes all that a machine runs.
        await scene.SubmitAsync(beats: random.Next(15, 40));
        var away = await scene.HolderAfterAsync(task, lines: random.Next(1, 8));
        var refused = BrokenConnectionRound.RefusedWrites(away);
        var cut = away.Proxy.Partition(kinds[scene.Round % kinds.Length]);
        await scene.HandedOnAsync(task, away);
        // Back while the other one works, or when it has long ended.
        await Task.Delay(scene.LeaseEnd * random.NextDouble(), TimeProvider.System);
        cut.Lift();
        await Eventually.TrueAsync(() => BrokenConnectionRound.RefusedWrites(away) > refused, scene.Evidence, ReturnLimit, $"agent {away.Name} is back and was refused");
    });
}
