using Tanjiren.Agent.Limits.Linux;

namespace Tanjiren.Agent.Limits;

/// <summary>What one step was given of its machine, from its claim to its end.</summary>
internal sealed class StepShare
{
    /// <summary>Which cards a job sees; the libraries of AMD honour it as well.</summary>
    private const string VisibleDevices = "CUDA_VISIBLE_DEVICES";
    /// <summary>What a number in it means: by default a driver counts the fastest first.</summary>
    private const string DeviceOrder = "CUDA_DEVICE_ORDER";

    public required JobCaps Caps { get; init; }

    /// <summary>It can never run here; null: it can.</summary>
    public string? Refusal { get; init; }

    /// <summary>Cards; null: not so many are free, and the step goes back.</summary>
    public IReadOnlyList<string>? Devices { get; init; } = [];

    /// <summary>Whether the job must be told which cards are its own, none included.</summary>
    public bool NamesDevices { get; init; }

    /// <summary>Where its processes may run; null: anywhere, or the kernel counts their time.</summary>
    public IReadOnlyList<int>? Processors { get; init; }

    /// <summary>Null: its caps are held by accounting.</summary>
    public StepCgroup? Group { get; init; }

    /// <summary>Null but on Windows, where there is a cap.</summary>
    public WindowsJob? Job { get; set; }

    /// <summary>The environment of its job. Set over whatever the task says: a job that could name its own cards would take another one's.</summary>
    public IReadOnlyDictionary<string, string> Equip(IReadOnlyDictionary<string, string> environment)
    {
        if (!NamesDevices) return environment;
        return new Dictionary<string, string>(environment, OperatingSystem.IsWindows() ? StringComparer.OrdinalIgnoreCase : StringComparer.Ordinal) { [VisibleDevices] = string.Join(',', Devices ?? []), [DeviceOrder] = "PCI_BUS_ID" };
    }
}
