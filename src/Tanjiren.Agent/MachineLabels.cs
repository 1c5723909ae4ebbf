using System.Globalization;
using System.Runtime.InteropServices;
using Tanjiren.Agent.Limits;
using Tanjiren.Protocol;

namespace Tanjiren.Agent;

/// <summary>
/// What a machine announces about itself: os, arch, cpuCount, memoryMb, gpuCount, gpu (when there is one), hostname; the labels of <c>agent.yaml</c> win over those, and the ones of
/// the command line over both. <c>cpuCount</c>, <c>memoryMb</c> and <c>gpuCount</c> are what a job can be given here, so the owner's caps cut them, whoever announced them
/// (docs/decisions/0023): the server then refuses and waits by the same numbers that this agent enforces.
/// </summary>
internal static class MachineLabels
{
    public const string CpuCount = "cpuCount", MemoryMb = "memoryMb", GpuCount = "gpuCount", Gpu = "gpu";

    /// <param name="options">Their labels are announced as well, and their caps cut.</param>
    /// <param name="gpus">The cards that were found.</param>
    public static IReadOnlyDictionary<string, string> Read(AgentOptions options, GpuInventory gpus)
    {
        var labels = new Dictionary<string, string>
        {
            ["os"] = OperatingSystem.IsMacOS() ? "darwin" : OperatingSystem.IsWindows() ? "windows" : "linux",
            ["arch"] = RuntimeInformation.OSArchitecture == Architecture.Arm64 ? "arm64" : "amd64",
            [CpuCount] = Environment.ProcessorCount.ToString(CultureInfo.InvariantCulture),
            [MemoryMb] = (GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / (1024 * 1024)).ToString(CultureInfo.InvariantCulture),
            [GpuCount] = gpus.Devices.Count.ToString(CultureInfo.InvariantCulture),
            ["hostname"] = Environment.MachineName,
        };
        if (gpus.Vendor is { } vendor) labels[Gpu] = vendor;
        foreach (var (name, value) in Announced(options))
            if (labels.Count < WireLimits.MaxLabels || labels.ContainsKey(name)) labels[name] = value;
        Cut(labels, CpuCount, options.Settings.Limits.Cpu);
        Cut(labels, MemoryMb, options.Settings.Limits.MemoryMb);
        Cut(labels, GpuCount, options.Settings.Limits.GpuCount);
        return labels;
    }

    /// <summary>The cards that the agent of these options hands out.</summary>
    public static IReadOnlyList<string> Devices(AgentOptions options, GpuInventory gpus) => gpus.Offered(Announced(options).GetValueOrDefault(GpuCount), options.Settings.Limits.GpuCount);

    /// <summary>What people announce.</summary>
    private static Dictionary<string, string> Announced(AgentOptions options)
    {
        var labels = new Dictionary<string, string>(options.Settings.Labels);
        foreach (var (name, value) in options.Labels) labels[name] = value;
        return labels;
    }

    private static void Cut(Dictionary<string, string> labels, string name, double? cap)
    {
        if (cap is not { } most) return;
        var isNumber = double.TryParse(labels[name], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var announced);
        if (!isNumber || announced > most) labels[name] = most.ToString(CultureInfo.InvariantCulture);
    }
}
