using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Schedules;

/// <summary>Fires what is due. Every server process does: whoever comes first makes the task, the others find the tick dealt with.</summary>
internal sealed class ScheduleLoop(Database database, ScheduleFiring firing, WakeUps wakeUps, TimeProvider clock, ILogger<ScheduleLoop> logger)
    : DueLoop("schedules", WakeUps.Schedules, wakeUps, clock, logger)
{
    private const int Batch = 200;

    public override async Task<DateTimeOffset?> RunOnceAsync(CancellationToken cancellationToken)
    {
        try
        {
            // Those that wait first: they are older than the ticks of now.
            await EachAsync(await database.ReadAsync(sql => sql.ListAsync<string>("""
                SELECT id FROM schedules s WHERE waiting_tick_at IS NOT NULL
                  AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.schedule_id = s.id AND t.state IN ('planned', 'queued', 'executing'))
                  AND NOT EXISTS (SELECT 1 FROM retries r WHERE r.schedule_id = s.id) ORDER BY waiting_tick_at LIMIT @Batch
                """, new { Batch }), cancellationToken), async id => Count(await firing.FireWaitingAsync(id, cancellationToken)), cancellationToken);
        }
        finally
        {
            // Also when one of those could not be dealt with: it must not stop the ticks of all others.
            await EachAsync(await database.ReadAsync(sql => sql.ListAsync<string>("SELECT id FROM schedules WHERE next_run_at <= @now ORDER BY next_run_at LIMIT @Batch",
                new { now = Clock.GetUtcNow().ToUnixTimeMilliseconds(), Batch }), cancellationToken), async id => Count(await firing.FireAsync(id, cancellationToken)), cancellationToken);
        }

        return TaskMapping.Instant(await database.ReadAsync(sql => sql.FirstAsync<long?>("SELECT min(next_run_at) FROM schedules WHERE next_run_at IS NOT NULL"), cancellationToken));
    }

    private void Count(TickOutcome outcome)
    {
        if (outcome != TickOutcome.Nothing) Record.Count(outcome.ToString().ToLowerInvariant());
    }
}
