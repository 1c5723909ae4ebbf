namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>Nothing moves for a while and then goes on, however old it is (acceptance 4).</summary>
public sealed class StalledConnectionTests
{
    [Fact]
    public Task A_line_that_stalls_and_delivers_late_costs_no_result_and_starts_nothing_twice() =>
        FaultRounds.RunAsync("connections that stall", new SceneOptions(), (scene, random) => BrokenConnectionRound.RunAsync(scene, random, FaultKind.Stall));
}
