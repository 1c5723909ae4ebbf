namespace Tanjiren.Agent.Limits;

/// <summary>
/// Finds graphics cards by what the kernel shows of them: the NVIDIA driver's directory of cards, and for all makes the display devices of /sys. Where neither is mounted (Windows, WSL, some
/// containers) <c>nvidia-smi -L</c> is asked. The places are parameters, so that tests have machines of their own.
/// </summary>
/// <param name="nvidiaCards">One directory for each NVIDIA card that the driver serves.</param>
/// <param name="displays">Display devices, <c>cardN</c> each.</param>
/// <param name="listNvidia">The output of <c>nvidia-smi -L</c>; null when there is no such program.</param>
internal sealed class GpuProbe(string nvidiaCards = "/proc/driver/nvidia/gpus", string displays = "/sys/class/drm", Func<string?>? listNvidia = null)
{
    private const string Nvidia = "0x10de", Amd = "0x1002", Intel = "0x8086";

    public GpuInventory Read()
    {
        if (NvidiaByDriver() is { Count: > 0 } served) return new GpuInventory("nvidia", served);
        if (NvidiaByProgram((listNvidia ?? NvidiaSmi.List)()) is { Count: > 0 } listed) return new GpuInventory("nvidia", listed);
        var makes = DisplayMakes();
        // An NVIDIA card without its driver can compute nothing: it is announced and not handed out.
        if (makes.Contains(Nvidia)) return new GpuInventory("nvidia", []);
        var amd = makes.Count(m => m == Amd);
        if (amd > 0) return new GpuInventory("amd", GpuInventory.Numbered(amd));
        return makes.Contains(Intel) ? new GpuInventory("intel", []) : GpuInventory.None;
    }

    private IReadOnlyList<string> NvidiaByDriver()
    {
        var cards = Directory.Exists(nvidiaCards) ? Directory.GetDirectories(nvidiaCards).Order(StringComparer.Ordinal).ToList() : [];
        var ids = cards.Select(card => Uuid(Path.Combine(card, "information"))).OfType<string>().ToList();
        // A UUID means the same card to every job, in whatever order the job's own settings number them. All or none: the two forms can't be mixed.
        return ids.Count == cards.Count ? ids : GpuInventory.Numbered(cards.Count);
    }

    /// <summary>The line <c>GPU UUID: GPU-…</c>; a driver that is not loaded fully says question marks.</summary>
    private static string? Uuid(string file)
    {
        foreach (var line in Lines(file))
        {
            if (!line.StartsWith("GPU UUID:", StringComparison.Ordinal)) continue;
            var id = line["GPU UUID:".Length..].Trim();
            return id.StartsWith("GPU-", StringComparison.Ordinal) && !id.Contains('?') ? id : null;
        }
        return null;
    }

    /// <summary>Lines like <c>GPU 0: NVIDIA A100 (UUID: GPU-5d…)</c>.</summary>
    private static List<string> NvidiaByProgram(string? output)
    {
        const string mark = "(UUID: ";
        var found = new List<string>();
        foreach (var line in (output ?? "").Split('\n'))
        {
            if (!line.StartsWith("GPU ", StringComparison.Ordinal)) continue;
            var at = line.IndexOf(mark, StringComparison.Ordinal);
            if (at >= 0) found.Add(line[(at + mark.Length)..].TrimEnd().TrimEnd(')'));
        }
        return found;
    }

    /// <summary>The makes of <c>card0</c>, <c>card1</c> …; <c>card0-HDMI-A-1</c> is one of its sockets.</summary>
    private List<string> DisplayMakes()
    {
        if (!Directory.Exists(displays)) return [];
        return [.. Directory.GetFileSystemEntries(displays, "card*")
            .Where(entry => Path.GetFileName(entry).AsSpan("card".Length) is { Length: > 0 } number && !number.ContainsAnyExceptInRange('0', '9'))
            .SelectMany(entry => Lines(Path.Combine(entry, "device", "vendor")).Take(1)).Select(make => make.Trim())];
    }

    private static string[] Lines(string file)
    {
        try
        {
            return File.Exists(file) ? File.ReadAllLines(file) : [];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
