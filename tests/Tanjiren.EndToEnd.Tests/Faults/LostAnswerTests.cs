using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>
/// The server gets the request and does it, and the agent never learns of it (acceptance 4): the routes of an agent at work. It repeats at once; on one route of each
/// round, in turn, the lost answer was the last thing that came through until its steps were another's.
/// </summary>
public sealed class LostAnswerTests
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(3);

    private static readonly (string Method, string Path)[] Routes =
    [
        ("GET", "/api/instances/*/work"), ("POST", "/api/instances/*/heartbeat"), ("POST", "/api/steps/*/claim"), ("POST", "/api/steps/*/logs"), ("POST", "/api/steps/*/complete"),
    ];

    [Fact]
    public Task An_answer_lost_at_work_changes_nothing() => FaultRounds.RunAsync("answer lost: work, heartbeat, claim, logs, complete", new SceneOptions(), async (scene, random) =>
    {
        foreach (var (index, (method, path)) in Routes.Index())
        {
            var last = index == (scene.Round - 1) % Routes.Length;
            var rules = scene.Agents.ToDictionary(agent => agent, agent => agent.Proxy.Inject(FaultKind.LoseResponse, method, path, times: random.Next(1, 3)));
            // Past the lease's end when nobody hears of the agent any more: a job that ends by itself before that shows no overlap.
            var beats = last ? random.Next(65, 90) : 12;
            // The first job answers the polls that hang since before the fault; the answers to the next ones are lost.
            var first = await scene.SubmitAsync(beats);
            var second = await scene.SubmitAsync(beats);
            var hit = await await Task.WhenAny(rules.Values.Select(rule => rule.FirstHit)).WaitAsync(Limit, TimeProvider.System);
            if (method == "POST")
                await hit.Answered.WaitAsync(Limit, TimeProvider.System);
            if (last)
                await CutOffAsync(scene, rules.Single(pair => pair.Value == hit.Fault).Key, [first, second]);
            await scene.SettleAsync();
            // Two agents may race for a step, and a loaded machine may be late: a refusal is an answer that can be lost as well.
            if (method == "POST")
                hit.Status.ShouldBeOneOf(200, 409);
        }
    });

    private static async Task CutOffAsync(FaultScene scene, RealAgent away, IReadOnlyList<TaskBody> tasks)
    {
        var cut = away.Proxy.Partition(FaultKind.Reset);
        await Eventually.TrueAsync(async () =>
        {
            var steps = await Task.WhenAll(tasks.Select(async task => (await scene.Workspace.TaskAsync(task.Id)).Execution!.Steps[0]));
            return steps.All(step => step.State != StepState.Running || step.InstanceId != away.InstanceId);
        }, scene.Evidence, Limit, $"nothing is agent {away.Name}'s any more");
        cut.Lift();
    }
}
