using System.Diagnostics.Metrics;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Workstations;

namespace Tanjiren.Server.Tasks;

/// <summary>
/// Counts open tasks and workstations for the metrics that show them, while somebody collects those. The counts are of the whole database, so every server
/// process says the same.
/// </summary>
internal sealed class WorkGauges : PeriodicLoop
{
    private static readonly string[] RunStates = ["pending", "executing"];
    private static readonly string[] WorkerStates = ["available", "busy", "offline"];

    private readonly Database _database;
    private readonly WorkstationOptions _workstations;
    private readonly Instrument[] _instruments;
    private volatile IReadOnlyList<Measurement<long>> _runs = [];
    private volatile IReadOnlyList<Measurement<long>> _workers = [];

    public WorkGauges(Database database, WorkstationOptions workstations, IMeterFactory meters, TimeProvider clock, ILogger<WorkGauges> logger)
        : base("gauges", clock, logger)
    {
        (_database, _workstations) = (database, workstations);
        var meter = meters.Create(ServerMeter.Name);
        _instruments =
        [
            meter.CreateObservableUpDownCounter("cicd.pipeline.run.active", () => _runs, "{run}", "Tasks that have not ended, by state."),
            meter.CreateObservableUpDownCounter("cicd.worker.count", () => _workers, "{count}", "Workstations, by state."),
        ];
    }

    protected override TimeSpan Interval => TimeSpan.FromSeconds(15);

    public override async Task RunOnceAsync(CancellationToken cancellationToken)
    {
        if (!_instruments.Any(instrument => instrument.Enabled)) return;
        try
        {
            await CountAsync(cancellationToken);
        }
        catch
        {
            // Nothing is reported rather than what was true before: a gauge that stands still looks like a server that is well.
            _runs = [];
            _workers = [];
            throw;
        }
    }

    private async Task CountAsync(CancellationToken cancellationToken)
    {
        var offline = Clock.GetUtcNow().ToUnixTimeMilliseconds() - _workstations.OfflineAfterSeconds * 1000L;
        var (runs, workers) = await _database.ReadAsync(async sql => (
            // The conditions on instants hold for every open step; with them the partial indices answer, however many steps have ended.
            await sql.ListAsync<RunRow>("""
                SELECT mode, CASE WHEN state = 'executing' THEN 'executing' ELSE 'pending' END AS state, count(*) AS count FROM tasks
                WHERE id IN (SELECT task_id FROM steps WHERE state = 'queued' AND queue_expires_at > 0
                             UNION SELECT task_id FROM steps WHERE state = 'running' AND lease_expires_at > 0)
                GROUP BY 1, 2
                """),
            await sql.ListAsync<WorkerRow>("""
                SELECT CASE WHEN coalesce(last_heartbeat_at, 0) <= @offline THEN 'offline'
                            WHEN EXISTS (SELECT 1 FROM steps s WHERE s.lease_holder = i.id AND s.state = 'running') THEN 'busy' ELSE 'available' END AS state,
                  count(*) AS count
                FROM instances i WHERE removed_at IS NULL GROUP BY 1
                """, new { offline })), cancellationToken);
        // A state that is empty now must not keep its last count at the collector.
        _runs = [.. runs.Select(r => r.Mode).Append(WireNames.Of(TaskMode.Command)).Distinct().SelectMany(mode => RunStates.Select(state => new Measurement<long>(
            runs.FirstOrDefault(r => (r.Mode, r.State) == (mode, state))?.Count ?? 0, new(Cicd.PipelineName, mode), new KeyValuePair<string, object?>(Cicd.RunState, state))))];
        _workers = [.. WorkerStates.Select(state => new Measurement<long>(
            workers.FirstOrDefault(w => w.State == state)?.Count ?? 0, new KeyValuePair<string, object?>(Cicd.WorkerState, state)))];
    }

    private sealed record RunRow
    {
        public string Mode { get; init; } = "";
        public string State { get; init; } = "";
        public long Count { get; init; }
    }

    private sealed record WorkerRow
    {
        public string State { get; init; } = "";
        public long Count { get; init; }
    }
}
