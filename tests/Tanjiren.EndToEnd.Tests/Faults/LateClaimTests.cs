using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>A claim arrives after the step was claimed by another, lost and queued again (acceptance 4): the expected generation has moved on.</summary>
public sealed class LateClaimTests
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(3);

    [Fact]
    public Task A_claim_that_arrives_after_a_requeue_is_refused() => FaultRounds.RunAsync("claim delayed past a requeue", new SceneOptions(), async (scene, random) =>
    {
        var stalls = scene.Agents.ToDictionary(agent => agent, agent => agent.Proxy.Inject(FaultKind.Stall, "POST", "/api/steps/*/claim", times: 1));
        // It outlives its lease: only the agent's own clock ends it before the other one begins.
        var task = await scene.SubmitAsync(beats: random.Next(65, 80));
        var claims = stalls.Values.Select(rule => rule.FirstHit).ToList();
        var late = await await Task.WhenAny(claims).WaitAsync(Limit, TimeProvider.System);
        var (slow, stall) = stalls.Single(pair => pair.Value == late.Fault);
        foreach (var other in stalls.Values.Where(rule => rule != stall))
            other.Lift();

        var holder = await scene.HolderAfterAsync(task, lines: random.Next(1, 6));
        holder.ShouldNotBe(slow, scene.Evidence());
        var refused = BrokenConnectionRound.RefusedWrites(holder);
        var dead = holder.Proxy.Partition(FaultKind.Drop);
        await Eventually.TrueAsync(async () => (await scene.Workspace.TaskAsync(task.Id)).Execution!.Steps[0] is { State: StepState.Queued, LeaseGeneration: >= 2 },
            scene.Evidence, Limit, $"{task.Id} is queued again");
        late.ForwardedAt.ShouldBeNull("the claim must still be under way");
        stall.Lift();
        await late.Answered.WaitAsync(Limit, TimeProvider.System);
        late.Status.ShouldBe(409, scene.Evidence());

        // The slow one is offered the step again and takes it; the first holder comes back to that.
        await scene.HandedOnAsync(task, holder);
        dead.Lift();
        await Eventually.TrueAsync(() => BrokenConnectionRound.RefusedWrites(holder) > refused, scene.Evidence, Limit, $"agent {holder.Name} is back and was refused");
    });
}
