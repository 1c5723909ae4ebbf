using Microsoft.Data.Sqlite;
using Tanjiren.Server.Data.Sqlite;

namespace Tanjiren.Simulation.Tests.Kept;

internal sealed record StepSeen(
    string Id, string TaskId, string State, string LeaseState, string? Holder, string? Session, long Generation, long ExpiresAt, long GraceMs, long Attempts, string? Reason,
    long? CompletedGeneration, string? Digest, long ApprovalFrom);

internal sealed record TaskSeen(
    string Id, string State, string ApprovalStatus, string Hash, string AskedClass, string? ScheduleId, long? Tick, string? RetryOf, long CreatedAt, long MaxParallel, long Active,
    long Open, long Failed, bool CancelRequested, long Attempt, long MaxAttempts, string RetryOn);

internal sealed record ApprovalSeen(string Id, string TaskId, long Number, string Class, string State, string Hash, long ExpiresAt, long? ConsumedAt);

internal sealed record EventSeen(long RowId, string TaskId, string? StepId, string Kind, string? Detail);

/// <summary>
/// Reads what is committed, by statements of its own: what the product's own queries say of the product proves little. Everything is read each time; a seed's database
/// is small, and a change where none belongs is just what is looked for.
/// </summary>
internal sealed class Eye : IDisposable
{
    private readonly SqliteConnection _connection;
    private readonly SqliteCommand _steps;
    private readonly SqliteCommand _tasks;
    private readonly SqliteCommand _approvals;
    private readonly SqliteCommand _events;
    private readonly SqliteCommand _sessions;
    private readonly SqliteCommand _retries;
    private readonly SqliteCommand _schedules;
    private readonly SqliteCommand _tags;
    private long _lastEvent;

    public Eye(string file)
    {
        _connection = SqliteLibrary.Connect(new SqliteConnectionStringBuilder { DataSource = file, Pooling = false }.ConnectionString);
        _connection.Open();
        _steps = Command("""
            SELECT id, task_id, state, lease_state, lease_holder, lease_session, lease_generation, coalesce(lease_expires_at, 0), lease_grace_ms, attempts, reason,
              completed_generation, result_digest, approval_from FROM steps ORDER BY id
            """);
        _tasks = Command("""
            SELECT t.id, t.state, t.approval_status, coalesce(t.action_hash, ''), coalesce(json_extract(t.spec, '$.approvalClass'), 'none'), t.schedule_id, t.schedule_tick_at, t.retry_of_task_id, t.created_at, e.max_parallel,
              e.active_steps, e.open_steps, e.failed_steps, t.cancel_requested_at IS NOT NULL, t.attempt,
              coalesce(json_extract(t.spec, '$.retry.maxAttempts'), 1), coalesce(json_extract(t.spec, '$.retry.on'), '') FROM tasks t JOIN executions e ON e.task_id = t.id ORDER BY t.id
            """);
        _approvals = Command("SELECT id, task_id, number, class, state, action_hash, expires_at, consumed_at FROM approvals ORDER BY task_id, number");
        _events = Command("SELECT rowid, task_id, step_id, kind, detail FROM step_events WHERE rowid > @last ORDER BY rowid");
        _events.Parameters.AddWithValue("@last", 0L);
        _sessions = Command("SELECT id, instance_id FROM instance_sessions WHERE ended_at IS NULL");
        _retries = Command("SELECT task_id, due_at FROM retries");
        _schedules = Command("""
            SELECT id, cron, next_run_at, last_tick_at, skipped + missed + failed + (waiting_tick_at IS NOT NULL)
              + (SELECT count(*) FROM tasks t WHERE t.schedule_id = s.id AND t.schedule_tick_at IS NOT NULL) FROM schedules s ORDER BY id
            """);
        _tags = Command("SELECT tags FROM instances WHERE id = @id");
        _tags.Parameters.AddWithValue("@id", "");
    }

    public IReadOnlyList<StepSeen> Steps() => Read(_steps, row => new StepSeen(
        row.GetString(0), row.GetString(1), row.GetString(2), row.GetString(3), Text(row, 4), Text(row, 5), row.GetInt64(6), row.GetInt64(7), row.GetInt64(8), row.GetInt64(9),
        Text(row, 10), Number(row, 11), Text(row, 12), row.GetInt64(13)));

    public IReadOnlyList<TaskSeen> Tasks() => Read(_tasks, row => new TaskSeen(
        row.GetString(0), row.GetString(1), row.GetString(2), row.GetString(3), row.GetString(4), Text(row, 5), Number(row, 6), Text(row, 7), row.GetInt64(8), row.GetInt64(9),
        row.GetInt64(10), row.GetInt64(11), row.GetInt64(12), row.GetBoolean(13), row.GetInt64(14), row.GetInt64(15), row.GetString(16)));

    public IReadOnlyList<ApprovalSeen> Approvals() => Read(_approvals, row => new ApprovalSeen(
        row.GetString(0), row.GetString(1), row.GetInt64(2), row.GetString(3), row.GetString(4), row.GetString(5), row.GetInt64(6), Number(row, 7)));

    /// <summary>Those that are new since the last time.</summary>
    public IReadOnlyList<EventSeen> Events()
    {
        _events.Parameters[0].Value = _lastEvent;
        var events = Read(_events, row => new EventSeen(row.GetInt64(0), row.GetString(1), Text(row, 2), row.GetString(3), Text(row, 4)));
        if (events.Count > 0) _lastEvent = events[^1].RowId;
        return events;
    }

    /// <summary>The open session of each workstation, by the session.</summary>
    public IReadOnlyDictionary<string, string> Sessions() => Read(_sessions, row => (row.GetString(0), row.GetString(1))).ToDictionary(s => s.Item1, s => s.Item2);

    /// <summary>The failed tasks that will be tried again, and when, by the server's wall clock.</summary>
    public IReadOnlyDictionary<string, long> Retries() => Read(_retries, row => (row.GetString(0), row.GetInt64(1))).ToDictionary(r => r.Item1, r => r.Item2);

    public IReadOnlyList<ScheduleSeen> Schedules() => Read(_schedules, row => new ScheduleSeen(row.GetString(0), row.GetString(1), Number(row, 2), Number(row, 3), row.GetInt64(4)));

    public bool IsProduction(string instanceId)
    {
        _tags.Parameters[0].Value = instanceId;
        return ((string)_tags.ExecuteScalar()!).Contains("\"production\"", StringComparison.Ordinal);
    }

    public void Dispose()
    {
        foreach (var command in (SqliteCommand[])[_steps, _tasks, _approvals, _events, _sessions, _retries, _schedules, _tags]) command.Dispose();
        _connection.Dispose();
    }

    private SqliteCommand Command(string sql)
    {
        var command = _connection.CreateCommand();
        command.CommandText = sql;
        return command;
    }

    private static List<T> Read<T>(SqliteCommand command, Func<SqliteDataReader, T> make)
    {
        using var reader = command.ExecuteReader();
        var rows = new List<T>();
        while (reader.Read()) rows.Add(make(reader));
        return rows;
    }

    private static string? Text(SqliteDataReader row, int column) => row.IsDBNull(column) ? null : row.GetString(column);

    private static long? Number(SqliteDataReader row, int column) => row.IsDBNull(column) ? null : row.GetInt64(column);
}
