using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Workstations;

namespace Tanjiren.Server.Tasks.Overview;

/// <summary>
/// T-19: how an organization does at this moment. Each count is of an index that holds no task that ended more than an hour ago, so that it costs what is open, not what
/// was ever run.
/// </summary>
internal sealed class RuntimeOverview(Database database, InstanceDirectory directory, TimeProvider clock, WorkstationOptions workstations)
{
    private const int WindowMinutes = 60;

    public Task<RuntimeOverviewBody> LookAsync(string organizationId, CancellationToken cancellationToken) => database.ReadAsync(async sql =>
    {
        var now = clock.GetUtcNow();
        var at = now.ToUnixTimeMilliseconds();
        var open = await CountAsync(sql, "state IN ('planned', 'queued', 'executing')", new { organizationId });
        var ended = await CountAsync(sql, "ended_at > @since", new { organizationId, since = at - WindowMinutes * 60_000L });
        var waiting = await sql.FirstAsync<QueueRow>("""
            SELECT count(*) AS steps, min(created_at) AS oldest FROM steps WHERE organization_id = @organizationId AND state = 'queued'
            """, new { organizationId }) ?? new QueueRow();
        // Half have waited at least as long: of two it is the older.
        var median = waiting.Steps == 0 ? null : await sql.FirstAsync<long?>("""
            SELECT created_at FROM steps WHERE organization_id = @organizationId AND state = 'queued' ORDER BY created_at LIMIT 1 OFFSET @before
            """, new { organizationId, before = (waiting.Steps - 1) / 2 });
        var workers = (await directory.ListAsync(sql, organizationId)).Select(m => m.AsWorker(now, workstations)).ToList();
        return new RuntimeOverviewBody
        {
            At = now,
            Open = new OpenTasksBody { Planned = open["planned"], Queued = open["queued"], Executing = open["executing"] },
            Ended = new ThroughputBody
            {
                WindowMinutes = WindowMinutes, Completed = ended["completed"], Failed = ended["failed"], Cancelled = ended["cancelled"],
                PerMinute = Math.Round((double)(ended["completed"] + ended["failed"] + ended["cancelled"]) / WindowMinutes, 2),
            },
            Queue = new QueueBody { Steps = waiting.Steps, OldestMs = Age(at, waiting.Oldest), MedianMs = Age(at, median) },
            Workers = new FleetBody
            {
                Total = workers.Count,
                Ready = workers.Count(w => !WorkerRules.Unready(w).Any()),
                Busy = workers.Count(w => WorkerRules.Status(w) == WorkerStatus.Busy),
                Offline = workers.Count(w => WorkerRules.Status(w) == WorkerStatus.Offline),
                Capacity = workers.Where(w => w is { Online: true, Draining: false }).Sum(w => w.MaxConcurrent),
                Active = workers.Sum(w => w.Active),
            },
        };
    }, cancellationToken);

    private static async Task<StateCounts> CountAsync(SqlSession sql, string condition, object arguments) => new(
        await sql.ListAsync<CountRow>($"SELECT state, count(*) AS count FROM tasks WHERE organization_id = @organizationId AND {condition} GROUP BY state", arguments));

    /// <summary>Never negative: the clocks of two servers may differ a little.</summary>
    private static long? Age(long now, long? then) => then is { } at ? Math.Max(0, now - at) : null;

    private sealed class StateCounts(IReadOnlyList<CountRow> rows)
    {
        public long this[string state] => rows.FirstOrDefault(r => r.State == state)?.Count ?? 0;
    }

    private sealed record CountRow
    {
        public string State { get; init; } = "";
        public long Count { get; init; }
    }

    private sealed record QueueRow
    {
        public long Steps { get; init; }
        public long? Oldest { get; init; }
    }
}
