using Tanjiren.Agent.Limits;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.Limits;

/// <summary>Which graphics cards a machine has, on machines made of files.</summary>
public sealed class GpuProbeTests : IDisposable
{
    private readonly TemporaryDirectory machine = new();

    public void Dispose() => machine.Dispose();

    [Fact]
    public void A_machine_without_any_has_none()
    {
        var found = Read();
        (found.Vendor, found.Devices.Count, found.HasCards).ShouldBe((null, 0, false));
    }

    [Fact]
    public void Cards_of_NVIDIAs_driver_go_by_their_UUIDs()
    {
        Nvidia("0000:02:00.0", "GPU-bbb");
        Nvidia("0000:01:00.0", "GPU-aaa");
        Found(Read()).ShouldBe("nvidia GPU-aaa GPU-bbb");
    }

    [Fact]
    public void A_card_without_a_UUID_makes_them_go_by_number()
    {
        Nvidia("0000:01:00.0", "GPU-aaa");
        Nvidia("0000:02:00.0", "GPU-????????-????-????-????-????????????");
        Found(Read()).ShouldBe("nvidia 0 1");
    }

    [Fact]
    public void Where_the_driver_shows_nothing_its_program_is_asked() =>
        Found(Read("GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6)\n  MIG 1g.5gb Device 0: (UUID: MIG-c6d4f1ef)\nGPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-68a4f3c1)\n"))
            .ShouldBe("nvidia GPU-5d5ba0d6 GPU-68a4f3c1");

    [Fact]
    public void Other_makes_are_told_by_their_display_devices_and_sockets_do_not_count()
    {
        Display("card0", "0x1002");
        Display("card0-HDMI-A-1", "0x1002");
        Display("card1", "0x1002");
        Display("renderD128", "0x1002");
        Found(Read()).ShouldBe("amd 0 1");
    }

    [Theory]
    [InlineData("0x8086", "intel")]
    [InlineData("0x10de", "nvidia")]
    [InlineData("0x1234", "")]
    public void What_computes_nothing_for_jobs_is_named_and_not_counted(string make, string expected)
    {
        Display("card0", make);
        Found(Read()).ShouldBe(expected);
    }

    [Fact]
    public void The_make_that_jobs_want_first_is_told()
    {
        Display("card0", "0x8086");
        Display("card1", "0x1002");
        Found(Read()).ShouldBe("amd 0");
    }

    private static string Found(GpuInventory found) => string.Join(' ', found.Devices.Prepend(found.Vendor ?? "")).Trim();

    private GpuInventory Read(string? listed = null) => new GpuProbe(machine.File("gpus"), machine.File("drm"), () => listed).Read();

    private void Nvidia(string address, string uuid)
    {
        var card = Directory.CreateDirectory(Path.Combine(machine.File("gpus"), address)).FullName;
        File.WriteAllText(Path.Combine(card, "information"), $"Model: \t\t NVIDIA A100\nIRQ:   \t\t 42\nGPU UUID: \t {uuid}\nVideo BIOS: \t 1\n");
    }

    private void Display(string name, string make)
    {
        var device = Directory.CreateDirectory(Path.Combine(machine.File("drm"), name, "device")).FullName;
        File.WriteAllText(Path.Combine(device, "vendor"), make + "\n");
    }
}
