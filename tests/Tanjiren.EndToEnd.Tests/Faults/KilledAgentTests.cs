using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>kill -9 of the agent in the middle of a step (acceptance 4).</summary>
public sealed class KilledAgentTests
{
    [Fact]
    public Task A_killed_agent_leaves_nothing_running_and_loses_no_result() =>
        FaultRounds.RunAsync("kill -9 of the agent", new SceneOptions(), RoundAsync, Exempt);

    internal static CannotProvoke Exempt { get; } = new(FaultTally.RefusedWrites,
        "the next life asks first, when it opens its session, and writes nothing for a step that was given away; only a race makes one");

    internal static async Task RoundAsync(FaultScene scene, Random random)
    {
        var task = await scene.SubmitAsync(beats: 60);
        var holder = await scene.HolderAfterAsync(task, lines: random.Next(1, 12));
        await holder.KillAsync();
        await ((scene.Round % 3) switch
        {
            // The other agent has it by then.
            1 => scene.HandedOnAsync(task, holder),
            2 => Task.Delay(scene.LeaseEnd * random.NextDouble(), TimeProvider.System),
            _ => Task.CompletedTask,
        });
        await holder.StartAgainAsync();
    }
}

/// <summary>The same with PostgreSQL below the server.</summary>
public sealed class KilledAgentOnPostgresTests
{
    [Fact]
    public Task A_killed_agent_leaves_nothing_running_and_loses_no_result() =>
        FaultRounds.RunAsync("kill -9 of the agent (PostgreSQL)", new SceneOptions { Database = DatabaseKind.Postgres }, KilledAgentTests.RoundAsync, KilledAgentTests.Exempt);
}
