using Tanjiren.Protocol;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>
/// kill -9 of the agent in the middle of a job that must not run twice (<c>onWorkerLost: fail</c>, the default). Every other kind lets its jobs be queued
/// again, where a second run is right: only this one sees an agent that calls a job which ran "never started".
/// </summary>
public sealed class NeverTwiceTests
{
    [Fact]
    public Task A_job_that_may_not_be_repeated_is_started_once() => FaultRounds.RunAsync("kill -9 of the agent, job once only", new SceneOptions(), RoundAsync,
        new CannotProvoke(FaultTally.Requeues, "that is the promise"), KilledAgentTests.Exempt);

    private static async Task RoundAsync(FaultScene scene, Random random)
    {
        var task = await scene.SubmitAsync(beats: 100, onWorkerLost: OnWorkerLost.Fail);
        var holder = await scene.HolderAfterAsync(task, lines: random.Next(1, 12));
        await holder.KillAsync();
        // Mostly at once: the next life then answers for a lease that the server still holds.
        await Task.Delay(scene.Round % 3 == 1 ? scene.LeaseEnd : scene.LeaseEnd * random.NextDouble() / 4, TimeProvider.System);
        await holder.StartAgainAsync();
        var step = await scene.EndAsync(task.Id);
        step.State.ShouldBe(StepState.Failed);
        step.Reason.ShouldBeOneOf(StepReason.WorkerLost, StepReason.UnknownOutcome);
    }
}
