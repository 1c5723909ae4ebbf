using System.Collections.Concurrent;

namespace Tanjiren.Server.Hosting;

/// <summary>
/// What request handlers did since the start; shown at <c>/api/status</c> beside the loops, and exported as metrics (<see cref="StatusMetrics"/>): counted once.
/// Not persisted, not exact across servers.
/// </summary>
internal sealed class Counters
{
    private readonly ConcurrentDictionary<string, long> _values = new();

    public void Add(Counted what, long by = 1) => _values.AddOrUpdate(what.Name, static (_, by) => by, static (_, old, by) => old + by, by);

    public long Of(Counted what) => _values.GetValueOrDefault(what.Name);

    public IReadOnlyDictionary<string, long> Snapshot() => new SortedDictionary<string, long>(_values, StringComparer.Ordinal);
}
