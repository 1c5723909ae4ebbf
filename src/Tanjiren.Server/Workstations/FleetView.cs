using System.Collections.Concurrent;
using Tanjiren.Server.Data;

namespace Tanjiren.Server.Workstations;

/// <summary>
/// The ready workers of an organization as they were up to a second ago. For hints only, who is woken first: nothing is decided by it. To read ten thousand of them and put
/// them in order takes tens of milliseconds, which a busy queue must not pay for each of its steps.
/// </summary>
internal sealed class FleetView(Database database, InstanceDirectory directory, MissedWakes missed, TimeProvider clock, WorkstationOptions options)
{
    public static readonly TimeSpan MaxAge = TimeSpan.FromSeconds(1);

    private readonly ConcurrentDictionary<string, Fleet> _fleets = [];

    private sealed class Fleet
    {
        public SemaphoreSlim Reading { get; } = new(1);
        public FleetSnapshot? Newest;
    }

    /// <summary>One that is young enough.</summary>
    public Task<FleetSnapshot> RecentAsync(string organizationId, CancellationToken cancellationToken) =>
        ReadAsync(organizationId, s => clock.GetElapsedTime(s.TakenAt) < MaxAge, cancellationToken);

    /// <summary>One that was taken after this timestamp: whoever waited then is in it. Up to a second later, so that however many ask, it is read once a second.</summary>
    public async Task<FleetSnapshot> AfterAsync(string organizationId, long timestamp, CancellationToken cancellationToken)
    {
        if (_fleets.TryGetValue(organizationId, out var known) && known.Newest is { } newest && newest.TakenAt < timestamp && MaxAge - clock.GetElapsedTime(newest.TakenAt) is { Ticks: > 0 } wait)
            await Task.Delay(wait, clock, cancellationToken);
        return await ReadAsync(organizationId, s => s.TakenAt >= timestamp, cancellationToken);
    }

    private async Task<FleetSnapshot> ReadAsync(string organizationId, Func<FleetSnapshot, bool> willDo, CancellationToken cancellationToken)
    {
        var fleet = _fleets.GetOrAdd(organizationId, _ => new Fleet());
        if (Volatile.Read(ref fleet.Newest) is { } known && willDo(known)) return known;
        await fleet.Reading.WaitAsync(cancellationToken);
        try
        {
            // Those who waited share what the first one read.
            if (fleet.Newest is { } read && willDo(read)) return read;
            var takenAt = clock.GetTimestamp();
            var machines = await database.ReadAsync(sql => directory.ListAsync(sql, organizationId), cancellationToken);
            var snapshot = new FleetSnapshot(takenAt, InOrder(machines));
            Volatile.Write(ref fleet.Newest, snapshot);
            return snapshot;
        }
        finally
        {
            fleet.Reading.Release();
        }
    }

    private IReadOnlyList<InstanceRow> InOrder(IEnumerable<InstanceRow> machines)
    {
        var now = clock.GetUtcNow();
        return [.. machines.Select(m => (Machine: m, Rank: WorkerRules.Rank(m.AsWorker(now, options) with { MissedWakes = missed.Of(m.Id) }, m.Id))).Where(m => m.Rank.Ready).OrderBy(m => m.Rank, WorkerRank.FirstAsked).Select(m => m.Machine)];
    }
}

/// <param name="TakenAt">A timestamp of the clock, of before it was read.</param>
/// <param name="Ready">Whoever is first asked first.</param>
internal sealed record FleetSnapshot(long TakenAt, IReadOnlyList<InstanceRow> Ready);
