using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;

namespace Tanjiren.Server.Tasks.Retries;

/// <summary>Makes the attempts that are due. Every server process does: whoever deletes the row makes the attempt.</summary>
internal sealed class RetryLoop(Database database, RetryService retries, WakeUps wakeUps, TimeProvider clock, ILogger<RetryLoop> logger)
    : DueLoop("retries", WakeUps.Retries, wakeUps, clock, logger)
{
    private const int Batch = 200;

    /// <summary>
    /// Since a restore, those of held tasks wait for the owner. Those of a schedule whose overlap rule is not <c>allow</c> wait while another task of it is open, whose end wakes the loop.
    /// </summary>
    private const string Pending = """
        FROM retries r JOIN tasks t ON t.id = r.task_id WHERE t.held_at IS NULL AND NOT EXISTS (SELECT 1 FROM schedules s JOIN tasks o ON o.schedule_id = s.id
          WHERE s.id = r.schedule_id AND s.overlap <> 'allow' AND o.state IN ('planned', 'queued', 'executing'))
        """;

    public override async Task<DateTimeOffset?> RunOnceAsync(CancellationToken cancellationToken)
    {
        await EachAsync(await database.ReadAsync(sql => sql.ListAsync<string>($"SELECT r.task_id {Pending} AND r.due_at <= @now ORDER BY r.due_at LIMIT @Batch",
            new { now = Clock.GetUtcNow().ToUnixTimeMilliseconds(), Batch }), cancellationToken), async taskId =>
        {
            var outcome = await retries.MakeDueAsync(taskId, cancellationToken);
            if (outcome != RetryOutcome.Nothing) Record.Count(outcome.ToString().ToLowerInvariant());
        }, cancellationToken);
        return TaskMapping.Instant(await database.ReadAsync(sql => sql.FirstAsync<long?>("SELECT min(r.due_at) " + Pending), cancellationToken));
    }
}
