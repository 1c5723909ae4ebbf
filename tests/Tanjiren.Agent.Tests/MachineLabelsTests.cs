using Tanjiren.Agent.Limits;
using Tanjiren.Agent.Settings;

namespace Tanjiren.Agent.Tests;

public sealed class MachineLabelsTests
{
    private static readonly AgentOptions Options = new() { Home = "/", WatchdogCommand = [], Labels = new Dictionary<string, string> { ["room"] = "attic" } };

    [Fact]
    public void A_machine_tells_what_it_is()
    {
        var labels = MachineLabels.Read(Options, GpuInventory.None);
        labels.Keys.ShouldBe(["os", "arch", "cpuCount", "memoryMb", "gpuCount", "hostname", "room"], ignoreOrder: true);
        (labels["cpuCount"], labels["gpuCount"], labels["room"]).ShouldBe((Environment.ProcessorCount.ToString(), "0", "attic"));
    }

    [Fact]
    public void Cards_are_told_by_number_and_make()
    {
        var labels = MachineLabels.Read(Options, new GpuInventory("amd", ["0", "1"]));
        (labels["gpuCount"], labels["gpu"]).ShouldBe(("2", "amd"));
    }

    [Fact]
    public void The_command_line_wins_over_the_file_and_the_file_over_what_was_found()
    {
        var labels = MachineLabels.Read(Options with { Settings = new AgentSettings { Labels = new Dictionary<string, string> { ["os"] = "plan9", ["room"] = "cellar", ["rack"] = "3" } } }, GpuInventory.None);
        (labels["os"], labels["room"], labels["rack"]).ShouldBe(("plan9", "attic", "3"));
    }

    [Theory]
    [InlineData(null, "0.5", "16", "1")]
    // A label that says more than the owner allows does not get past the cap, one that says less stands.
    [InlineData("1000000", "0.5", "16", "1")]
    [InlineData("many", "0.5", "16", "1")]
    [InlineData("0.25", "0.25", "0.25", "0.25")]
    public void Caps_cut_what_is_announced(string? label, string cpu, string memory, string gpus)
    {
        var said = label is null ? [] : new Dictionary<string, string> { ["cpuCount"] = label, ["memoryMb"] = label, ["gpuCount"] = label };
        var options = Options with { Labels = said, Settings = new AgentSettings { Limits = new LimitSettings { Cpu = 0.5, MemoryMb = 16, GpuCount = 1 } } };
        var labels = MachineLabels.Read(options, new GpuInventory("nvidia", ["GPU-a", "GPU-b"]));
        (labels["cpuCount"], labels["memoryMb"], labels["gpuCount"]).ShouldBe((cpu, memory, gpus));
    }

    [Theory]
    [InlineData(null, null, "GPU-a GPU-b")]
    [InlineData(null, 1, "GPU-a")]
    [InlineData(null, 0, "")]
    [InlineData("1", null, "GPU-a")]
    // The owner knows of cards that were not found: by number, for the two forms can't be mixed.
    [InlineData("3", null, "0 1 2")]
    [InlineData("3", 2, "0 1")]
    public void Cards_are_handed_out_as_announced(string? label, int? cap, string expected)
    {
        var options = Options with
        {
            Labels = label is null ? [] : new Dictionary<string, string> { ["gpuCount"] = label },
            Settings = new AgentSettings { Limits = new LimitSettings { GpuCount = cap } },
        };
        string.Join(' ', MachineLabels.Devices(options, new GpuInventory("nvidia", ["GPU-a", "GPU-b"]))).ShouldBe(expected);
    }
}
