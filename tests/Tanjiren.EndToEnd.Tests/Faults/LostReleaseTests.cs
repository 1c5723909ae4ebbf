using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>
/// The answer to a release is lost (acceptance 4). Both agents' first claims come through so late that their lease would be over before the job began, so it is handed
/// back as never started; in even rounds the agent is cut off behind that.
/// </summary>
public sealed class LostReleaseTests
{
    private const string WhyNone = "the step is given back while its lease is held";
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(3);

    [Fact]
    public Task A_release_whose_answer_is_lost_gives_the_step_back_once() => FaultRounds.RunAsync("answer lost: release", new SceneOptions(), async (scene, random) =>
    {
        // A beat that names the fresh claim would renew it, and a machine that starts the job so late would be right to.
        var beats = scene.Agents.Select(agent => agent.Proxy.Inject(FaultKind.Stall, "POST", "/api/instances/*/heartbeat")).ToList();
        foreach (var agent in scene.Agents)
            agent.Proxy.Inject(FaultKind.Delay, "POST", "/api/steps/*/claim", times: 1, delay: scene.LeaseEnd * (1 + random.NextDouble() / 10));
        var task = await scene.SubmitAsync(beats: 5);
        // Of this step only: an agent may still repeat the release of the round before.
        var release = $"/api/steps/{task.Execution!.Steps[0].Id}/release";
        var rules = scene.Agents.ToDictionary(agent => agent, agent => agent.Proxy.Inject(FaultKind.LoseResponse, "POST", release, times: random.Next(1, 3)));
        var lost = await await Task.WhenAny(rules.Values.Select(rule => rule.FirstHit)).WaitAsync(Limit, TimeProvider.System);
        await lost.Answered.WaitAsync(Limit, TimeProvider.System);
        lost.Status.ShouldBe(200, $"{lost}{Environment.NewLine}{scene.Evidence()}");
        beats.ForEach(rule => rule.Lift());
        if (scene.Round % 2 == 0)
        {
            var away = rules.Single(pair => pair.Value == lost.Fault).Key;
            away.Proxy.Partition(FaultKind.Reset);
            await Eventually.TrueAsync(async () => (await scene.Workspace.TaskAsync(task.Id)).State is TaskState.Completed, scene.Evidence, Limit, $"{task.Id} is done by the other agent");
            // It says again what it could not know to be said, and that is over before the next round.
            away.Proxy.Heal();
            await Eventually.TrueAsync(() => away.Proxy.Exchanges.Any(exchange => exchange.Path == release && exchange is { Fault: null, Status: 200 }),
                scene.Evidence, Limit, $"agent {away.Name} is back and was answered");
        }
    },
    new CannotProvoke(FaultTally.StaleLeases, WhyNone), new CannotProvoke(FaultTally.Requeues, WhyNone),
    new CannotProvoke(FaultTally.RefusedWrites, "a release that is said again is answered, not refused"));
}
