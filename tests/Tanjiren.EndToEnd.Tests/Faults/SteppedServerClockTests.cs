using Tanjiren.Protocol;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>The server's wall clock steps by ten minutes, either way, while a step runs, and back again (acceptance 4).</summary>
public sealed class SteppedServerClockTests
{
    private static readonly TimeSpan Step = TimeSpan.FromMinutes(10);

    [Fact]
    public Task A_step_of_the_servers_clock_moves_no_lease() => FaultRounds.RunAsync(
        "clock step of the server, +-10 min", new SceneOptions { SteppedClock = true, TtlSeconds = 3, GraceSeconds = 3 }, async (scene, random) =>
        {
            // A holder that falls silent under the wrong clock must lose its lease all the same, in its own time and not before.
            var silent = scene.Round % 3 == 1;
            var task = await scene.SubmitAsync(beats: silent ? 80 : 30);
            var holder = await scene.HolderAfterAsync(task, lines: random.Next(1, 8));
            var generation = await scene.GenerationAsync(task);
            scene.Clock!.Step(scene.Round % 2 == 0 ? Step : -Step);
            if (silent)
            {
                holder.Process.Pause();
                await scene.HandedOnAsync(task, holder);
                holder.Process.Resume();
            }
            else
            {
                var step = await scene.EndAsync(task.Id);
                (step.State, step.LeaseGeneration).ShouldBe((StepState.Succeeded, generation + 1), "nobody noticed");
            }
            scene.Clock.Step(TimeSpan.Zero);
        });
}
