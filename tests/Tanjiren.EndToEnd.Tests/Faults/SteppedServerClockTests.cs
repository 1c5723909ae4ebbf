using Tanjiren.Protocol;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>The server's wall clock steps by ten minutes either way and back again while a step runs (acceptance 4).</summary>
public sealed class SteppedServerClockTests
{
    private static readonly TimeSpan Step = TimeSpan.FromMinutes(10);

    // Proofs may be ten minutes old here, so agents are still heard after a step ahead and only the leases' own clock is put to the test. After a step
    // back all proofs come from the future, nobody is heard, and every lease runs out under a clock that is wrong.
    private static readonly Dictionary<string, string?> WideProofs = new() { ["Tanjiren__DeviceTrust__ProofWindowSeconds"] = "600", ["Tanjiren__DeviceTrust__ClockSkewSeconds"] = "60" };

    [Fact]
    public Task A_step_of_the_servers_clock_gives_no_lease_away() => FaultRounds.RunAsync(
        "clock step of the server, +-10 min", new SceneOptions { SteppedClock = true, TtlSeconds = 3, GraceSeconds = 3, Settings = WideProofs }, async (scene, random) =>
        {
            var task = await scene.SubmitAsync(beats: 30);
            var holder = await scene.HolderAfterAsync(task, lines: random.Next(1, 8));
            var generation = await scene.GenerationAsync(task);
            if (scene.Round % 2 == 0)
            {
                scene.Clock!.Step(Step);
                var step = await scene.EndAsync(task.Id);
                (step.State, step.LeaseGeneration).ShouldBe((StepState.Succeeded, generation + 1), "the step ahead moved no lease");
            }
            else
            {
                scene.Clock!.Step(-Step);
                await Task.Delay(scene.LeaseEnd * (1.1 + (random.NextDouble() / 2)), TimeProvider.System);
            }
            scene.Clock.Step(TimeSpan.Zero);
        });
}
