using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>
/// A copy of an agent's home is started beside the original, on the same machine and in the same boot, which is as like it as a copy can be: same key, same
/// journal, same predecessor session (acceptance 4).
/// </summary>
public sealed class CopiedHomeTests
{
    [Fact]
    public Task A_copied_home_runs_nothing_and_disturbs_nothing() => FaultRounds.RunAsync("copied agent home", new SceneOptions(), async (scene, random) =>
    {
        var (paused, killed) = (scene.Round % 3 == 1, scene.Round % 3 == 2);
        // Undisturbed, it must still run when the copy has read its journal.
        var task = await scene.SubmitAsync(beats: paused ? 60 : killed ? 30 : 100);
        var holder = await scene.HolderAfterAsync(task, lines: random.Next(1, 8));
        var generation = await scene.GenerationAsync(task);
        var copy = await holder.CopyHomeAsync($"{holder.Name}-copy-{scene.Round}");
        scene.Adopt(copy);
        if (paused)
            holder.Process.Pause();
        if (killed)
            await holder.KillAsync();
        copy.Start();
        await Eventually.TrueAsync(() => Sessions(copy).Any(open => open.Status == 409), scene.Evidence, FaultScene.StartLimit, "the copy has asked for a session");

        if (paused || killed)
        {
            await scene.HandedOnAsync(task, holder);
            if (paused)
                holder.Process.Resume();
            else
                await holder.StartAgainAsync();
        }
        var step = await scene.EndAsync(task.Id);
        if (!paused && !killed)
            (step.State, step.LeaseGeneration).ShouldBe((StepState.Succeeded, generation + 1), "the original was not disturbed");
        await copy.KillAsync();
        Sessions(copy).ShouldAllBe(open => open.Status != 200);
        copy.Proxy.Exchanges.ShouldAllBe(exchange => !exchange.Path.StartsWith("/api/steps/", StringComparison.Ordinal));
    });

    private static IEnumerable<Exchange> Sessions(RealAgent agent) => agent.Proxy.Exchanges.Where(exchange => exchange.Path.EndsWith("/sessions", StringComparison.Ordinal));
}
