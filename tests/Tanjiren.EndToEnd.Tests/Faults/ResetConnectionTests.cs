namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>The proxy resets connections (RST), as a crashed machine or a firewall does (acceptance 4).</summary>
public sealed class ResetConnectionTests
{
    [Fact]
    public Task A_line_that_resets_costs_no_result_and_starts_nothing_twice() =>
        FaultRounds.RunAsync("connections that are reset", new SceneOptions(), (scene, random) => BrokenConnectionRound.RunAsync(scene, random, FaultKind.Reset));
}
