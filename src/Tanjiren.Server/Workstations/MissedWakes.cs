using System.Collections.Concurrent;

namespace Tanjiren.Server.Workstations;

/// <summary>
/// How often each workstation was woken for a step of late and let its 250 ms pass: one whose agent hangs while its heartbeat goes on would be asked first for ever, and
/// every step would wait for it. A hint for hints: in this process only, halved every minute, forgotten when the workstation claims anything.
/// </summary>
internal sealed class MissedWakes(TimeProvider clock)
{
    public static readonly TimeSpan HalfLife = TimeSpan.FromMinutes(1);

    /// <summary>More than this counts as this: forgotten four half-lives after the last one.</summary>
    internal const int Most = 8;

    private readonly ConcurrentDictionary<string, (int Count, long At)> _missed = [];

    public void Add(string instanceId) =>
        _missed.AddOrUpdate(instanceId, (_, now) => (1, now), (_, before, now) => (Math.Min(Most, LeftOf(before) + 1), now), clock.GetTimestamp());

    public void Claimed(string instanceId) => _missed.TryRemove(instanceId, out _);

    public int Of(string instanceId)
    {
        if (!_missed.TryGetValue(instanceId, out var missed)) return 0;
        var left = LeftOf(missed);
        // Workstations that are gone must not stay here for ever.
        if (left == 0) _missed.TryRemove(KeyValuePair.Create(instanceId, missed));
        return left;
    }

    private int LeftOf((int Count, long At) missed) => missed.Count >> (int)Math.Min(31, clock.GetElapsedTime(missed.At) / HalfLife);
}
