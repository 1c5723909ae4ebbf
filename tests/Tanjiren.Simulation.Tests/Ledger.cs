using Tanjiren.Protocol;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tasks.Approvals;

namespace Tanjiren.Simulation.Tests;

/// <summary>How often each thing happened. What never does is not tested: <see cref="Missing"/> names it.</summary>
internal sealed class Ledger
{
    private readonly SortedDictionary<string, long> _counts = new(StringComparer.Ordinal);

    /// <summary>Every legal transition by the product's own rules, and what else the simulation exists to provoke.</summary>
    public static IReadOnlyList<string> Required { get; } =
    [
        .. Moves<TaskState>("task", TaskRules.MayMove),
        .. Moves<StepState>("step", StepRules.MayMove),
        .. Moves<LeaseState>("lease", LeaseRules.MayMove),
        .. Moves<ApprovalState>("approval", ApprovalRules.MayMove),
        .. Named("claim", "granted", "repeated", "moved", "maxParallel", "atCapacity", "needsApproval", "sessionEnded"),
        .. Named("complete", "applied", "alreadyDone", "leaseLost", "sessionEnded"),
        .. Named("release", "applied", "alreadyDone", "leaseLost"),
        .. Named("lease", "renewed", "renewalRefused", "lost to a reap"),
        .. Named("requeue", "workerLost", "unknownOutcome", "released"),
        .. Named("session", "opened", "takenOver", "inUse"),
        .. Named("reconciler", "stale", "requeued", "workerLost", "cancelledSilent", "overdue", "queueTimeout"),
        .. Named("tick", "made", "waits", "skipped", "missed"),
        .. Named("retry", "planned", "made", "byHand", "called off"),
        .. Named("person", "created", "approved", "rejected", "cancelled", "patched", "tagged", "untagged", "schedule paused", "schedule resumed", "schedule run"),
        .. Named("fault", Faults.All),
        .. Named("network", "lost", "overtaken", "repeated", "slow", "stuck"),
        .. Named("agent", "killed at a deadline", "killed by the watchdog", "stopped after a jump", "handed back", "reported neverStarted", "reported unknownOutcome", "reported exited"),
    ];

    public IReadOnlyDictionary<string, long> Counts => _counts;

    public void Add(string what, long by = 1) => _counts[what] = _counts.GetValueOrDefault(what) + by;

    public void Add(IReadOnlyDictionary<string, long> counts)
    {
        foreach (var (what, count) in counts) Add(what, count);
    }

    public long Of(string what) => _counts.GetValueOrDefault(what);

    public IReadOnlyList<string> Missing() => [.. Required.Where(what => Of(what) == 0)];

    public string Table() => string.Join(Environment.NewLine, _counts.Select(pair => $"{pair.Value,10} {pair.Key}"));

    public static string Move(string of, string from, string to) => $"{of} {from} -> {to}";

    private static IEnumerable<string> Moves<TState>(string of, Func<TState, TState, bool> mayMove) where TState : struct, Enum =>
        from a in Enum.GetValues<TState>()
        from b in Enum.GetValues<TState>()
        where mayMove(a, b)
        select Move(of, WireNames.Of(a), WireNames.Of(b));

    private static IEnumerable<string> Named(string of, params IEnumerable<string> names) => names.Select(name => $"{of}: {name}");
}
