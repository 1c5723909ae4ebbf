using System.Globalization;

namespace Tanjiren.Agent.Limits;

/// <summary>The graphics cards of a machine. <paramref name="Vendor"/>: <c>nvidia</c>, <c>amd</c> or <c>intel</c>; null: none was found.</summary>
/// <param name="Vendor">Of the cards that jobs would want first: NVIDIA before AMD before Intel.</param>
/// <param name="Devices">The cards that are handed out, each as <c>CUDA_VISIBLE_DEVICES</c> names it: its UUID, else its number. Empty for Intel, whose card is part of the processor in all but a few machines.</param>
internal sealed record GpuInventory(string? Vendor, IReadOnlyList<string> Devices)
{
    public static readonly GpuInventory None = new(null, []);

    /// <summary>As the owner says: with the label <c>gpuCount</c> there are so many, which nothing here may have found; <c>limits.gpuCount</c> hands out no more than that.</summary>
    public IReadOnlyList<string> Offered(string? label, int? cap)
    {
        var count = int.TryParse(label, out var said) && said is >= 0 and <= 1024 ? said : Devices.Count;
        return [.. (count <= Devices.Count ? Devices : Numbered(count)).Take(Math.Min(count, cap ?? int.MaxValue))];
    }

    /// <summary>Whether jobs must be kept from cards that they were not given.</summary>
    public bool HasCards => Vendor is not null;

    public static IReadOnlyList<string> Numbered(int count) => [.. Enumerable.Range(0, count).Select(i => i.ToString(CultureInfo.InvariantCulture))];
}
