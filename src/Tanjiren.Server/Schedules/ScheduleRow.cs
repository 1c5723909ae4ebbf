using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Schedules;

/// <summary>A row of <c>schedules</c>.</summary>
internal sealed record ScheduleRow
{
    public string Id { get; init; } = "";
    public string OrganizationId { get; init; } = "";
    public string Name { get; init; } = "";
    public string Cron { get; init; } = "";
    public string TimeZone { get; init; } = "";
    public string Overlap { get; init; } = "";
    public string MissedRuns { get; init; } = "";
    public string Task { get; init; } = "";
    /// <summary>Of the runbook that <see cref="Task"/> names by id: what its owner saw; ticks run no other.</summary>
    public long? RunbookVersion { get; init; }
    public string OwnerId { get; init; } = "";
    public long CreatedAt { get; init; }
    public long UpdatedAt { get; init; }
    public long? NextRunAt { get; init; }
    public long? PausedAt { get; init; }
    public string? PauseReason { get; init; }
    public long? WaitingTickAt { get; init; }
    public long? LastTickAt { get; init; }
    public string? LastTaskId { get; init; }
    public string? LastError { get; init; }
    public long? LastErrorTickAt { get; init; }
    public long Runs { get; init; }
    public long Skipped { get; init; }
    public long Missed { get; init; }
    public long Failed { get; init; }

    public OverlapRule OverlapRule => WireNames.Parse<OverlapRule>(Overlap);
    public MissedRunRule MissedRunRule => WireNames.Parse<MissedRunRule>(MissedRuns);

    public CreateTaskRequest ParseTask() => JsonSerializer.Deserialize(Task, WireJson.Default.CreateTaskRequest)!;

    /// <summary>Null when this server does not know the zone, which the one that took it did.</summary>
    public CronSchedule? ParseCron() => CronSchedule.Parse(Cron, TimeZone, new FieldErrors());

    /// <summary>The row, held until the end of the transaction: everybody who makes a task of a schedule, or changes it, takes this lock first.</summary>
    public static Task<ScheduleRow?> LockAsync(WriteTransaction tx, string condition, object arguments) =>
        tx.FirstAsync<ScheduleRow>($"SELECT * FROM schedules WHERE {condition}{tx.ForUpdate}", arguments);

    /// <summary>Whether a task of the schedule has yet to end; one that will be tried again has.</summary>
    /// <param name="sql">A connection or transaction.</param>
    /// <param name="id">Of the schedule.</param>
    /// <param name="retryOf">The failed task whose pending attempt does not count.</param>
    public static Task<bool> IsBusyAsync(SqlSession sql, string id, string retryOf = "") => sql.FirstAsync<bool>("""
        SELECT EXISTS (SELECT 1 FROM tasks WHERE schedule_id = @id AND state IN ('planned', 'queued', 'executing'))
          OR EXISTS (SELECT 1 FROM retries WHERE schedule_id = @id AND task_id <> @retryOf)
        """, new { id, retryOf });

    /// <summary>Whether one is planned, queued or runs.</summary>
    public static Task<bool> IsOpenAsync(SqlSession sql, string id) =>
        sql.FirstAsync<bool>("SELECT EXISTS (SELECT 1 FROM tasks WHERE schedule_id = @id AND state IN ('planned', 'queued', 'executing'))", new { id });

    public ScheduleBody ToBody() => new()
    {
        Id = Id, Name = Name, Cron = Cron, TimeZone = TimeZone, Overlap = OverlapRule, MissedRuns = MissedRunRule, Task = ParseTask(), RunbookVersion = RunbookVersion, OwnerId = OwnerId,
        CreatedAt = TaskMapping.Instant(CreatedAt), UpdatedAt = TaskMapping.Instant(UpdatedAt), NextRunAt = TaskMapping.Instant(NextRunAt),
        PausedAt = TaskMapping.Instant(PausedAt), PauseReason = PauseReason, WaitingTickAt = TaskMapping.Instant(WaitingTickAt), LastTickAt = TaskMapping.Instant(LastTickAt),
        LastTaskId = LastTaskId, LastError = LastError, LastErrorTickAt = TaskMapping.Instant(LastErrorTickAt), Runs = Runs, Skipped = Skipped, Missed = Missed, Failed = Failed,
    };
}
