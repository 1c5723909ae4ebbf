using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests;

public sealed class MachineLabelsTests
{
    private static readonly AgentOptions Options = new() { Home = "/", WatchdogCommand = [], Labels = new Dictionary<string, string> { ["room"] = "attic" } };

    [Fact]
    public void A_machine_tells_what_it_is()
    {
        var labels = MachineLabels.Read(Options, nvidiaCards: "/no/such/directory");
        labels.Keys.ShouldBe(["os", "arch", "cpuCount", "memoryMb", "gpuCount", "hostname", "room"], ignoreOrder: true);
        (labels["cpuCount"], labels["gpuCount"], labels["room"]).ShouldBe((Environment.ProcessorCount.ToString(), "0", "attic"));
    }

    [Fact]
    public void Each_card_counts()
    {
        using var cards = new TemporaryDirectory();
        Directory.CreateDirectory(cards.File("0000:01:00.0"));
        Directory.CreateDirectory(cards.File("0000:02:00.0"));
        var labels = MachineLabels.Read(Options, cards.Path);
        (labels["gpuCount"], labels["gpu"]).ShouldBe(("2", "nvidia"));
    }
}
