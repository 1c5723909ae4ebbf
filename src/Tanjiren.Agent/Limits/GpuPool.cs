namespace Tanjiren.Agent.Limits;

/// <summary>Hands out graphics cards: no card to two jobs. A card comes back when its job's processes are dead, not when its root process is.</summary>
internal sealed class GpuPool(IReadOnlyList<string> devices)
{
    private readonly Lock gate = new();
    private readonly List<string> free = [.. devices];

    /// <summary>All of them, free or not.</summary>
    public int Size => devices.Count;

    /// <summary>How many are free now; a moment later it may be fewer.</summary>
    public int Free { get { lock (gate) return free.Count; } }

    /// <summary>Null: not so many are free now. All or none: two jobs that each held half of what they need would wait for ever.</summary>
    public IReadOnlyList<string>? TryTake(int count)
    {
        lock (gate)
        {
            if (count > free.Count) return null;
            var taken = free.GetRange(0, count);
            free.RemoveRange(0, count);
            return taken;
        }
    }

    public void Return(IReadOnlyList<string> taken)
    {
        lock (gate) free.AddRange(taken);
    }
}
