using System.Collections.Concurrent;
using System.Globalization;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>A counter that a kind of fault cannot move by its nature, and why: only then may it stay zero.</summary>
internal sealed record CannotProvoke(string Counter, string Why);

/// <summary>
/// What the fault rounds of a run provoked, by kind. A fault test that provokes nothing proves nothing: a kind whose claims, stale leases, requeues or
/// refused writes stayed zero fails, unless it says why it cannot have any. <see cref="FaultReport"/> prints the table when the run ends.
/// </summary>
internal static class FaultTally
{
    public const string Claims = "claims";
    public const string StaleLeases = "stale leases";
    public const string Requeues = "requeues";
    public const string RefusedWrites = "refused writes";

    /// <summary>What must not stay zero, and the counters of <c>/api/status</c> that count it.</summary>
    private static readonly (string Name, string[] Counters)[] Required =
    [
        (Claims, ["claims"]),
        (StaleLeases, ["stale"]),
        // By the reconciler after the grace, and by an agent that came back without knowing the outcome.
        (Requeues, ["requeued", "requeues"]),
        // A renewal is a write too: a zombie's is refused by the same guard as its result.
        (RefusedWrites, ["writesRefused", "renewalsRefused"]),
    ];

    private static readonly ConcurrentDictionary<string, Row> Kinds = new();

    private sealed record Row(int Rounds, IReadOnlyDictionary<string, long> Counters, IReadOnlyList<CannotProvoke> Exempt, double Seconds);

    /// <summary>Takes a kind's counters down; one sentence for each that stayed zero without a reason.</summary>
    public static IReadOnlyList<string> Add(string kind, int rounds, IReadOnlyDictionary<string, long> counters, IReadOnlyList<CannotProvoke> exempt, TimeSpan took)
    {
        Kinds[kind] = new Row(rounds, counters, exempt, took.TotalSeconds);
        exempt.Select(one => one.Counter).Except(Required.Select(one => one.Name)).ShouldBeEmpty("an exemption names a counter that there is");
        return [.. Required.Where(one => Sum(counters, one.Counters) == 0 && exempt.All(reason => reason.Counter != one.Name)).Select(one => $"'{kind}' provoked no {one.Name}")];
    }

    public static bool IsEmpty => Kinds.IsEmpty;

    /// <summary>As it goes into a note.</summary>
    public static string Table()
    {
        var kinds = Kinds.OrderBy(kind => kind.Key, StringComparer.Ordinal).ToList();
        var rows = kinds.Select(kind => Line(kind.Key, kind.Value.Rounds, counters => Sum(kind.Value.Counters, counters), kind.Value.Seconds));
        var exempt = kinds.SelectMany(kind => kind.Value.Exempt.Select(reason => $"- {kind.Key}: {reason.Counter} may be 0: {reason.Why}"));
        return string.Join('\n',
        [
            $"| fault | rounds | {string.Join(" | ", Required.Select(one => one.Name))} | seconds |",
            $"|---|---|{string.Concat(Enumerable.Repeat("---|", Required.Length + 1))}",
            .. rows,
            Line("all", kinds.Sum(kind => kind.Value.Rounds), counters => kinds.Sum(kind => Sum(kind.Value.Counters, counters)), kinds.Sum(kind => kind.Value.Seconds)),
            .. exempt,
        ]);
    }

    private static long Sum(IReadOnlyDictionary<string, long> values, string[] counters) => counters.Sum(name => values.GetValueOrDefault(name));

    private static string Line(string kind, int rounds, Func<string[], long> value, double seconds) =>
        string.Create(CultureInfo.InvariantCulture, $"| {kind} | {rounds} | {string.Join(" | ", Required.Select(one => value(one.Counters)))} | {seconds:0} |");
}
