using System.Collections.Concurrent;
using System.Globalization;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>
/// What all fault rounds of a run provoked, by kind. A fault test that provokes nothing proves nothing: zero claims, stale leases, requeues or refused
/// writes over the whole run fails it.
/// </summary>
internal static class FaultTally
{
    /// <summary>What must not stay zero, and the counters of <c>/api/status</c> that count it.</summary>
    private static readonly (string Name, string[] Counters)[] Required =
    [
        ("claims", ["claims"]),
        ("stale leases", ["stale"]),
        // By the reconciler after the grace, and by an agent that came back without knowing the outcome.
        ("requeues", ["requeued", "requeues"]),
        ("refused writes", ["writesRefused"]),
    ];

    private static readonly ConcurrentDictionary<string, (int Rounds, IReadOnlyDictionary<string, long> Counters)> Kinds = new();

    public static void Add(string kind, int rounds, IReadOnlyDictionary<string, long> counters) => Kinds[kind] = (rounds, counters);

    public static bool HasAll(IEnumerable<string> kinds) => kinds.All(Kinds.ContainsKey);

    public static IReadOnlyList<string> Missing() => [.. Required.Where(one => Total(one.Counters) == 0).Select(one => $"no {one.Name} in the whole run")];

    /// <summary>As it goes into a note.</summary>
    public static string Table()
    {
        var rows = Kinds.OrderBy(kind => kind.Key, StringComparer.Ordinal).Select(kind => Row(kind.Key, kind.Value.Rounds, counters => Sum(kind.Value.Counters, counters)));
        return string.Join('\n',
        [
            $"| fault | rounds | {string.Join(" | ", Required.Select(one => one.Name))} |",
            $"|---|---|{string.Concat(Enumerable.Repeat("---|", Required.Length))}",
            .. rows,
            Row("all", Kinds.Values.Sum(kind => kind.Rounds), Total),
        ]);
    }

    private static long Total(string[] counters) => Kinds.Values.Sum(kind => Sum(kind.Counters, counters));

    private static long Sum(IReadOnlyDictionary<string, long> values, string[] counters) => counters.Sum(name => values.GetValueOrDefault(name));

    private static string Row(string kind, int rounds, Func<string[], long> value) =>
        string.Create(CultureInfo.InvariantCulture, $"| {kind} | {rounds} | {string.Join(" | ", Required.Select(one => value(one.Counters)))} |");
}
