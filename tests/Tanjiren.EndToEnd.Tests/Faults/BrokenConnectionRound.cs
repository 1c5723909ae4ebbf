using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>
/// What the rounds of dropped, stalled and reset connections have in common. First the line is bad while work is offered and claimed: some requests of both agents are
/// befallen. Then it is dead for the holder, in odd rounds until its step has been given away, in even ones for less.
/// </summary>
internal static class BrokenConnectionRound
{
    private static readonly TimeSpan HitLimit = TimeSpan.FromMinutes(3);

    public static async Task RunAsync(FaultScene scene, Random random, FaultKind kind)
    {
        var bad = scene.Agents.Select(agent => agent.Proxy.Inject(kind, path: "/api/**", times: random.Next(1, 4))).ToList();
        // In odd rounds it would still run when the other one begins, if nobody killed it.
        var task = await scene.SubmitAsync(beats: scene.Round % 2 == 0 ? random.Next(20, 35) : random.Next(65, 90));
        await Task.WhenAny(bad.Select(rule => rule.FirstHit)).WaitAsync(HitLimit, TimeProvider.System);
        // A request that stalls does so until the rule is lifted; a dropped one is over.
        await Task.Delay(scene.LeaseEnd * (random.NextDouble() / 8), TimeProvider.System);
        bad.ForEach(rule => rule.Lift());

        var holder = await scene.HolderAfterAsync(task, lines: random.Next(1, 6));
        var refused = RefusedWrites(holder);
        var dead = holder.Proxy.Partition(kind);
        if (scene.Round % 2 == 0)
        {
            await Task.Delay(scene.LeaseEnd * (random.NextDouble() * 0.9), TimeProvider.System);
            dead.Lift();
            return;
        }
        await scene.HandedOnAsync(task, holder);
        dead.Lift();
        await Eventually.TrueAsync(() => RefusedWrites(holder) > refused, scene.Evidence, HitLimit, $"agent {holder.Name} is back and was refused");
    }

    public static int RefusedWrites(RealAgent agent) => WriteLedger.Of(agent.Proxy.Exchanges).Refused;
}
