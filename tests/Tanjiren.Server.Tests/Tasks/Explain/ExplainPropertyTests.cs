using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Tasks.Explain;

/// <summary>
/// Explanation and claim say the same, in situations by chance: where nothing is said to keep a step, the machine that is named is offered it and its claim succeeds; where
/// something is, no machine that there is gets it. The seeds are fixed, so that a failure is there the next time too.
/// </summary>
public sealed class ExplainPropertyTests
{
    /// <summary>What only the running of steps and the end of tasks bring about is in <see cref="ExplainTests"/>.</summary>
    private static readonly WaitReason[] NotOfQueued = [WaitReason.StaleLease, WaitReason.Permission, WaitReason.RetryBackoff];

    [Theory]
    [InlineData(DatabaseKind.Sqlite, 500)]
    [InlineData(DatabaseKind.Postgres, 300)]
    public async Task Nothing_keeps_a_step_if_and_only_if_a_claim_succeeds(DatabaseKind kind, int situations)
    {
        await using var engine = await Engine.StartAsync(kind);
        var world = new ChanceWorld(engine);
        var (free, kept) = (0, 0);
        var reasons = new Dictionary<WaitReason, int>();
        for (var seed = 0; seed < situations; seed++)
        {
            var situation = await world.MakeAsync(seed);
            var explanation = await situation.ExplainAsync();
            if (explanation.State == TaskState.Planned) explanation.WaitingFor.ShouldContain(WaitReason.Approval, $"seed {seed}");
            for (var i = 0; i < explanation.Steps.Count; i++)
            {
                // The claims of the steps before have changed the situation.
                explanation = await situation.ExplainAsync();
                if (i >= explanation.Steps.Count || explanation.Steps[i] is not { State: StepState.Queued } step) continue;
                foreach (var reason in step.WaitingFor) reasons[reason] = reasons.GetValueOrDefault(reason) + 1;
                var told = $"seed {seed}, step {i}: {step.Sentence} | {string.Join(" | ", step.Candidates.Select(c => $"{c.Name} {string.Join(", ", c.Lacks)}"))}";
                if (step.WaitingFor.Count == 0)
                {
                    free++;
                    step.Candidates[0].WaitingFor.ShouldBeEmpty(told);
                    (await situation.StartsAsync(step.Candidates[0].InstanceId, step.StepId)).ShouldBeTrue(told);
                }
                else
                {
                    kept++;
                    foreach (var machine in situation.Machines) (await situation.StartsAsync(machine.InstanceId, step.StepId)).ShouldBeFalse($"{machine.InstanceId} got it. {told}");
                }
            }
        }
        TestContext.Current.TestOutputHelper?.WriteLine($"{free} free, {kept} kept: {string.Join(", ", reasons.OrderBy(r => r.Key).Select(r => $"{r.Key} {r.Value}"))}");
        Math.Min(free, kept).ShouldBeGreaterThan(situations / 6, "else this proves little");
        Enum.GetValues<WaitReason>().Except(NotOfQueued).Except(reasons.Keys).ShouldBeEmpty("every reason is met");
    }
}
