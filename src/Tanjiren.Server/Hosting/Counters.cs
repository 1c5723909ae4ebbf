using System.Collections.Concurrent;

namespace Tanjiren.Server.Hosting;

/// <summary>What request handlers did since the start, by name; shown at <c>/api/status</c> beside the loops. Not persisted, not exact across servers.</summary>
internal sealed class Counters
{
    private readonly ConcurrentDictionary<string, long> _values = new();

    public void Add(string name, long by = 1) => _values.AddOrUpdate(name, by, (_, old) => old + by);

    public IReadOnlyDictionary<string, long> Snapshot() => new SortedDictionary<string, long>(_values, StringComparer.Ordinal);
}
