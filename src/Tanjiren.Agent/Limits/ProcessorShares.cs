namespace Tanjiren.Agent.Limits;

/// <summary>Chooses the processors of jobs with a cpu cap, so that such jobs spread: those that the fewest of them have come first.</summary>
/// <param name="processors">Those that the agent itself may use.</param>
internal sealed class ProcessorShares(IReadOnlyList<int> processors)
{
    private readonly Lock gate = new();
    private readonly Dictionary<int, int> jobs = processors.ToDictionary(p => p, _ => 0);

    /// <summary>As many as the cap has cores, a fraction counting as one more; null: the cap is none, for there are no more than that.</summary>
    public IReadOnlyList<int>? Take(double? cap)
    {
        if (cap is not { } cores || Math.Ceiling(cores) >= processors.Count) return null;
        lock (gate)
        {
            var taken = processors.OrderBy(p => jobs[p]).ThenBy(p => p).Take((int)Math.Ceiling(cores)).Order().ToList();
            foreach (var processor in taken) jobs[processor]++;
            return taken;
        }
    }

    public void Return(IReadOnlyList<int>? taken)
    {
        lock (gate)
        {
            foreach (var processor in taken ?? []) jobs[processor]--;
        }
    }
}
