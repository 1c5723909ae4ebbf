using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>kill -9 of the server while two steps run, and a pause before it is back (acceptance 4).</summary>
public sealed class KilledServerTests
{
    [Fact]
    public Task A_killed_server_forgets_nothing_that_it_accepted() => FaultRounds.RunAsync("kill -9 of the server", new SceneOptions(), RoundAsync, Exempt);

    internal static CannotProvoke Exempt { get; } = new(FaultTally.RefusedWrites,
        "a new server gives nothing away before it has served for TTL plus grace: a write is refused only if its agent's next try came later than that");

    internal static async Task RoundAsync(FaultScene scene, Random random)
    {
        // Every other time the agents come to the end of their leases before anybody answers, with jobs that are not over by then.
        var outlived = scene.Round % 2 == 1;
        var first = await scene.SubmitAsync(beats: outlived ? random.Next(70, 90) : random.Next(30, 50));
        var second = await scene.SubmitAsync(beats: outlived ? random.Next(70, 90) : random.Next(30, 50));
        await scene.HolderAsync(second);
        // Any moment from the first beats to the results.
        await scene.HolderAfterAsync(first, lines: random.Next(1, 10));
        await scene.Server.KillAsync();
        if (outlived)
            await Task.Delay(scene.LeaseEnd * (1 + (random.NextDouble() / 4)), TimeProvider.System);
        await scene.Server.StartAgainAsync();
    }
}

/// <summary>The same with PostgreSQL below the server, which lives on.</summary>
public sealed class KilledServerOnPostgresTests
{
    [Fact]
    public Task A_killed_server_forgets_nothing_that_it_accepted() =>
        FaultRounds.RunAsync("kill -9 of the server (PostgreSQL)", new SceneOptions { Database = DatabaseKind.Postgres }, KilledServerTests.RoundAsync, KilledServerTests.Exempt);
}
