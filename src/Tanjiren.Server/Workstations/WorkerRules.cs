using Tanjiren.Protocol;

namespace Tanjiren.Server.Workstations;

/// <summary>What decides about a worker, at one moment.</summary>
internal readonly record struct WorkerState
{
    /// <summary>A heartbeat came lately enough (W-06).</summary>
    public required bool Online { get; init; }
    /// <summary>A key is bound to it.</summary>
    public required bool Trusted { get; init; }
    /// <summary>The sign-in that it was registered with has ended.</summary>
    public required bool SignedOut { get; init; }
    /// <summary>By an admin, or by the agent while it stops.</summary>
    public required bool Draining { get; init; }
    /// <summary>Steps whose lease it holds.</summary>
    public required long Active { get; init; }
    public required long MaxConcurrent { get; init; }
    /// <summary>Since its last heartbeat; null: there was none.</summary>
    public TimeSpan? Silent { get; init; }
    /// <summary>How often it was woken of late and did not claim (<see cref="Workstations.MissedWakes"/>); matters for the order only.</summary>
    public int MissedWakes { get; init; }
}

/// <summary>
/// Whether a worker may be given a step, how well it is, and who is asked first. Pure. Everybody who decides by a worker's state asks here: the projection, the offer, the
/// claim, the dispatcher and the explanation, so that none of them can say otherwise than the others do.
/// </summary>
internal static class WorkerRules
{
    private static readonly TimeSpan LongSilence = TimeSpan.FromMinutes(10);

    /// <summary>What keeps it from being given anything, in the order in which it is told; none: it is ready.</summary>
    public static IEnumerable<WaitReason> Unready(WorkerState worker)
    {
        if (!worker.Online) yield return WaitReason.Offline;
        if (!worker.Trusted) yield return WaitReason.Untrusted;
        if (worker.SignedOut) yield return WaitReason.SignedOut;
        if (worker.Active >= worker.MaxConcurrent) yield return WaitReason.AtCapacity;
        if (worker.Draining) yield return WaitReason.Draining;
    }

    /// <summary>W-11. Busy ones take more, up to their capacity.</summary>
    public static WorkerStatus Status(WorkerState worker) =>
        !worker.Online ? WorkerStatus.Offline : worker.Active > 0 ? WorkerStatus.Busy : WorkerStatus.Ready;

    /// <summary>W-10: from 0 to 100.</summary>
    public static int Health(WorkerState worker)
    {
        var health = 100;
        if (Status(worker) == WorkerStatus.Offline) health -= 60;
        if (Status(worker) == WorkerStatus.Busy) health -= 15;
        if (!worker.Trusted) health -= 20;
        health -= 5 * (int)Math.Clamp(worker.Active - 2, 0, 4);
        if (worker.Silent is null || worker.Silent > LongSilence) health -= 15;
        return Math.Max(0, health);
    }

    public static WorkerRank Rank(WorkerState worker, string id) => new(!Unready(worker).Any(), Health(worker), worker.MissedWakes, (double)worker.Active / Math.Max(1, worker.MaxConcurrent), id);
}

/// <summary>
/// Its place in the order in which workers are asked, the first before the others: ready, then healthier, then who missed fewer wake-ups of late, then less loaded, then the older id, so that equals are always
/// asked in the same order.
/// </summary>
internal readonly record struct WorkerRank(bool Ready, int Health, int MissedWakes, double Load, string Id)
{
    public static readonly Comparer<WorkerRank> FirstAsked = Comparer<WorkerRank>.Create((a, b) =>
    {
        if (a.Ready != b.Ready) return a.Ready ? -1 : 1;
        if (a.Health != b.Health) return b.Health - a.Health;
        if (a.MissedWakes != b.MissedWakes) return a.MissedWakes - b.MissedWakes;
        var load = a.Load.CompareTo(b.Load);
        return load != 0 ? load : string.CompareOrdinal(a.Id, b.Id);
    });
}
