using System.Collections.Concurrent;
using System.Globalization;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>
/// What all fault rounds of a run provoked, by kind. A fault test that provokes nothing proves nothing: zero claims, stale leases, requeues or refused
/// writes over the whole run fails it.
/// </summary>
internal static class FaultTally
{
    /// <summary>Counters of <c>/api/status</c> that must not stay zero.</summary>
    public static readonly IReadOnlyList<string> Required = ["claims", "staleLeases", "requeues", "refusedWrites"];

    private static readonly ConcurrentDictionary<string, (int Rounds, IReadOnlyDictionary<string, long> Counters)> Kinds = new();

    public static void Add(string kind, int rounds, IReadOnlyDictionary<string, long> counters) => Kinds[kind] = (rounds, counters);

    public static bool HasAll(IEnumerable<string> kinds) => kinds.All(Kinds.ContainsKey);

    public static IReadOnlyList<string> Missing() => [.. Required.Where(name => Total(name) == 0).Select(name => $"no {name} in the whole run")];

    /// <summary>As it goes into a note.</summary>
    public static string Table()
    {
        var rows = Kinds.OrderBy(kind => kind.Key, StringComparer.Ordinal).Select(kind => Row(kind.Key, kind.Value.Rounds, name => kind.Value.Counters.GetValueOrDefault(name)));
        return string.Join('\n',
        [
            $"| fault | rounds | {string.Join(" | ", Required)} |",
            $"|---|---|{string.Concat(Enumerable.Repeat("---|", Required.Count))}",
            .. rows,
            Row("all", Kinds.Values.Sum(kind => kind.Rounds), Total),
        ]);
    }

    private static long Total(string name) => Kinds.Values.Sum(kind => kind.Counters.GetValueOrDefault(name));

    private static string Row(string kind, int rounds, Func<string, long> value) =>
        string.Create(CultureInfo.InvariantCulture, $"| {kind} | {rounds} | {string.Join(" | ", Required.Select(value))} |");
}
