using System.Globalization;
using System.Runtime.InteropServices;
using Tanjiren.Protocol;

namespace Tanjiren.Agent;

/// <summary>What a machine announces about itself: os, arch, cpuCount, memoryMb, gpuCount, gpu (when there is one), hostname, and the configured labels, which win.</summary>
internal static class MachineLabels
{
    /// <summary>The driver lists one directory for each card here.</summary>
    private const string NvidiaCards = "/proc/driver/nvidia/gpus";

    /// <param name="options">Their labels are announced as well.</param>
    /// <param name="nvidiaCards">Directory with one entry for each NVIDIA card; none: no card. Other makes are announced with <c>--label gpuCount=N</c>.</param>
    public static IReadOnlyDictionary<string, string> Read(AgentOptions options, string nvidiaCards = NvidiaCards)
    {
        var cards = Directory.Exists(nvidiaCards) ? Directory.GetDirectories(nvidiaCards).Length : 0;
        var labels = new Dictionary<string, string>
        {
            ["os"] = OperatingSystem.IsMacOS() ? "darwin" : OperatingSystem.IsWindows() ? "windows" : "linux",
            ["arch"] = RuntimeInformation.OSArchitecture == Architecture.Arm64 ? "arm64" : "amd64",
            ["cpuCount"] = Environment.ProcessorCount.ToString(CultureInfo.InvariantCulture),
            ["memoryMb"] = (GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / (1024 * 1024)).ToString(CultureInfo.InvariantCulture),
            ["gpuCount"] = cards.ToString(CultureInfo.InvariantCulture),
            ["hostname"] = Environment.MachineName,
        };
        if (cards > 0) labels["gpu"] = "nvidia";
        foreach (var (name, value) in options.Labels.Take(WireLimits.MaxLabels - labels.Count)) labels[name] = value;
        return labels;
    }
}
