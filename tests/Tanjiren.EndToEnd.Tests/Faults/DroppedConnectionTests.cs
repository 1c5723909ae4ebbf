namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>The proxy closes connections in an orderly way; requests do not arrive (acceptance 4).</summary>
public sealed class DroppedConnectionTests
{
    [Fact]
    public Task A_line_that_drops_costs_no_result_and_starts_nothing_twice() =>
        FaultRounds.RunAsync("connections that drop", new SceneOptions(), (scene, random) => BrokenConnectionRound.RunAsync(scene, random, FaultKind.Drop));
}
