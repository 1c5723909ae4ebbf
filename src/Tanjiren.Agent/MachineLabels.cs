using System.Globalization;
using System.Runtime.InteropServices;
using Tanjiren.Protocol;

namespace Tanjiren.Agent;

/// <summary>What a machine announces about itself: os, arch, cpuCount, memoryMb, hostname, and the configured labels, which win.</summary>
internal static class MachineLabels
{
    public static IReadOnlyDictionary<string, string> Read(AgentOptions options)
    {
        var labels = new Dictionary<string, string>
        {
            ["os"] = OperatingSystem.IsMacOS() ? "darwin" : OperatingSystem.IsWindows() ? "windows" : "linux",
            ["arch"] = RuntimeInformation.OSArchitecture == Architecture.Arm64 ? "arm64" : "amd64",
            ["cpuCount"] = Environment.ProcessorCount.ToString(CultureInfo.InvariantCulture),
            ["memoryMb"] = (GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / (1024 * 1024)).ToString(CultureInfo.InvariantCulture),
            ["hostname"] = Environment.MachineName,
        };
        foreach (var (name, value) in options.Labels.Take(WireLimits.MaxLabels - labels.Count)) labels[name] = value;
        return labels;
    }
}
