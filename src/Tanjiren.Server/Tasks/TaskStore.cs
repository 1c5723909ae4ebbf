using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Tasks.Answers;
using Tanjiren.Server.Tasks.Approvals;
using Tanjiren.Server.Tasks.Permissions;

namespace Tanjiren.Server.Tasks;

/// <summary>Reading tasks, within one organization.</summary>
internal sealed class TaskStore(Database database)
{
    /// <summary>Of all responses in one answer.</summary>
    public const int MaxResponseCharacters = 4 * 1024 * 1024;

    private const int LogBatch = 16;

    private const string Select = """
        SELECT tasks.*, (SELECT r.due_at FROM retries r WHERE r.task_id = tasks.id) AS retry_due_at,
          (SELECT n.id FROM tasks n WHERE n.retry_of_task_id = tasks.id) AS retried_by_task_id
        FROM tasks
        """;

    public Task<TaskBody?> FindAsync(string organizationId, string taskId, CancellationToken cancellationToken) =>
        database.ReadAsync(sql => FindAsync(sql, organizationId, taskId), cancellationToken);

    /// <param name="sql">A connection or transaction.</param>
    /// <param name="organizationId">Whose.</param>
    /// <param name="taskId">Which.</param>
    /// <param name="onlyWhenEnded">Responses and answers of coding agents only once the task has ended: for who asks at every change.</param>
    public static async Task<TaskBody?> FindAsync(SqlSession sql, string organizationId, string taskId, bool onlyWhenEnded = false)
    {
        var task = await FindRowAsync(sql, organizationId, taskId);
        if (task is null) return null;
        var execution = await sql.FirstAsync<ExecutionRow>("SELECT id, active_steps FROM executions WHERE task_id = @taskId", new { taskId });
        if (execution is null) return TaskMapping.ToBody(task, null);
        // Most tasks never needed one: they are not asked about.
        var approvals = task.ApprovalStatus == "not_required" && task.ChangedBy is null ? [] : await ApprovalStore.OfTaskAsync(sql, organizationId, taskId);
        var steps = await sql.ListAsync<StepRow>("""
            SELECT s.*, i.name AS instance_name, coalesce(c.log_seq, 0) AS log_seq, coalesce(c.log_bytes, 0) AS log_bytes, c.receipt IS NOT NULL AS has_receipt
            FROM steps s
            LEFT JOIN instances i ON i.id = coalesce(s.target_instance_id, s.claimed_by)
            LEFT JOIN step_claims c ON c.step_id = s.id AND c.generation =
              coalesce(s.completed_generation, (SELECT max(latest.generation) FROM step_claims latest WHERE latest.step_id = s.id))
            WHERE s.task_id = @taskId ORDER BY s.ordinal
            """, new { taskId });
        var responses = task.Mode == "command" || (onlyWhenEnded && task.EndedAt is null) ? [] : (await ResponsesAsync(sql, taskId)).ToDictionary(r => r.StepId);
        var answers = task.Mode != "investigate" || (onlyWhenEnded && task.EndedAt is null) ? null : await AnswersAsync(sql, task);
        var permissions = task.Mode == "command" || task.State != "executing" ? [] : await PermissionStore.PendingOfTaskAsync(sql, organizationId, taskId);
        return TaskMapping.ToBody(task, new ExecutionBody
        {
            Id = execution.Id, ActiveSteps = execution.ActiveSteps, Steps = [.. steps.Select(s => TaskMapping.ToBody(s, responses.GetValueOrDefault(s.Id), answers?[s.Id].ToList()))],
        }, [.. approvals.Select(a => a.ToBody())], [.. permissions.Select(p => p.ToBody())]);
    }

    private static async Task<ILookup<string, StepAnswerBody>> AnswersAsync(SqlSession sql, TaskRow task)
    {
        var questions = task.ParseSpec().Questions ?? [];
        return (await AnswerStore.OfTaskAsync(sql, task.Id, withAnswers: true)).Where(row => row.Ordinal < questions.Count).ToLookup(row => row.StepId, row => row.ToBody(questions[row.Ordinal]));
    }

    /// <summary>As many as fit: a thousand machines may have answered with 256 KiB each.</summary>
    private static Task<IReadOnlyList<ResponseRow>> ResponsesAsync(SqlSession sql, string taskId) => sql.ListAsync<ResponseRow>("""
        SELECT r.step_id, r.usage, length(r.response) AS length,
          CASE WHEN sum(coalesce(length(r.response), 0)) OVER (ORDER BY s.ordinal) <= @MaxResponseCharacters THEN r.response END AS response
        FROM step_responses r JOIN steps s ON s.id = r.step_id WHERE s.task_id = @taskId
        """, new { taskId, MaxResponseCharacters });

    /// <summary>The row alone, without its steps.</summary>
    public static Task<TaskRow?> FindRowAsync(SqlSession sql, string organizationId, string taskId) =>
        sql.FirstAsync<TaskRow>(Select + " WHERE id = @taskId AND organization_id = @organizationId", new { taskId, organizationId });

    public static Task<bool> AnyInInvestigationAsync(SqlSession sql, string organizationId, string investigationId) =>
        sql.FirstAsync<bool>("SELECT EXISTS (SELECT 1 FROM tasks WHERE investigation_id = @investigationId AND organization_id = @organizationId)", new { investigationId, organizationId });

    /// <summary>Newest first. <paramref name="cursor"/> is the id of the last task of the page before.</summary>
    public Task<Page<TaskBody>> ListAsync(
        string organizationId, string? state, string? mode, string? approval, string? workerInstanceId, string? investigationId, int limit, string? cursor, CancellationToken cancellationToken) =>
        database.ReadAsync(async sql =>
        {
            var conditions = "tasks.organization_id = @organizationId";
            // Words of closed sets stand in the statement itself: PostgreSQL would plan anew for each value of a parameter that some rows have often, and planning takes longer than the list.
            if (state is not null) conditions += $" AND tasks.state = {Literal<TaskState>(state)}";
            if (mode is not null) conditions += $" AND tasks.mode = {Literal<TaskMode>(mode)}";
            if (approval is not null) conditions += $" AND tasks.approval_status = {Literal<ApprovalStatus>(approval)}";
            // Said once more, so that the index of those that needed one fits.
            if (approval is not null && approval != WireNames.Of(ApprovalStatus.NotRequired)) conditions += " AND tasks.approval_status <> 'not_required'";
            if (investigationId is not null) conditions += " AND tasks.investigation_id = @investigationId";
            if (cursor is not null) conditions += " AND tasks.id < @cursor";
            var before = cursor is null ? "" : " AND s.task_id < @cursor";
            string? own = null;
            if (workerInstanceId is not null)
            {
                // Who never had a task is known by a look into two indexes, the plan of which PostgreSQL keeps; what follows it plans anew each time.
                if (!await sql.FirstAsync<bool>("""
                    SELECT EXISTS (SELECT 1 FROM steps s WHERE s.target_instance_id = @workerInstanceId)
                      OR EXISTS (SELECT 1 FROM steps s WHERE s.target_instance_id IS NULL AND s.claimed_by = @workerInstanceId)
                    """, new { workerInstanceId })) return new Page<TaskBody> { Items = [] };
                var mine = await sql.ListAsync<string>(
                    $"{OfWorker("s.target_instance_id = @workerInstanceId")} UNION {OfWorker("s.target_instance_id IS NULL AND s.claimed_by = @workerInstanceId")} ORDER BY task_id DESC LIMIT @take",
                    new { organizationId, cursor, workerInstanceId, investigationId, take = limit + 1 });
                if (mine.Count == 0) return new Page<TaskBody> { Items = [] };
                own = JsonSerializer.Serialize(mine);
                conditions += $" AND {sql.IsOneOf("tasks.id", "own")}";
            }
            var rows = await sql.ListAsync<TaskRow>($"{Select} WHERE {conditions} ORDER BY id DESC LIMIT @take",
                new { organizationId, cursor, investigationId, own, take = limit + 1 });
            return new Page<TaskBody>
            {
                Items = [.. rows.Take(limit).Select(t => TaskMapping.ToBody(t, null))],
                NextCursor = rows.Count > limit ? rows[limit - 1].Id : null,
            };

            // From its own steps, newest first, and no more of them than the page takes: asked task by task, who ran little would be looked for in all tasks.
            // Their tasks are asked only about what steps don't know: each table more, PostgreSQL plans longer than it then looks.
            string OfWorker(string steps) => state is null && mode is null && approval is null && investigationId is null
                ? $"SELECT task_id FROM (SELECT s.task_id FROM steps s WHERE {steps} AND s.organization_id = @organizationId{before} ORDER BY s.task_id DESC LIMIT @take) own"
                : $"SELECT task_id FROM (SELECT s.task_id FROM steps s JOIN tasks ON tasks.id = s.task_id WHERE {steps}{before} AND {conditions} ORDER BY s.task_id DESC LIMIT @take) own";
            static string Literal<TEnum>(string word) where TEnum : struct, Enum => $"'{WireNames.Of(WireNames.Parse<TEnum>(word))}'";
        }, cancellationToken);

    /// <summary>
    /// The output of one step, every claim's in order. The cursor names generation and sequence of the last chunk read.
    /// Null when the step is not of this task and organization.
    /// </summary>
    public Task<Page<LogChunkBody>?> LogsAsync(
        string organizationId, string taskId, string stepId, (long Generation, long Seq) after, int limit, CancellationToken cancellationToken) =>
        database.ReadAsync(async sql =>
        {
            if (!await sql.FirstAsync<bool>("SELECT EXISTS (SELECT 1 FROM steps WHERE id = @stepId AND task_id = @taskId AND organization_id = @organizationId)",
                new { stepId, taskId, organizationId })) return null;
            var rows = new List<LogRow>();
            var more = true;
            // A few at a time: chunks may be large, and what does not fit the page is not worth its memory.
            for (long bytes = 0; more && rows.Count < limit && bytes < WireLimits.MaxLogPageBytes;)
            {
                var (generation, seq) = rows.Count == 0 ? after : (rows[^1].Generation, rows[^1].Seq);
                var take = Math.Min(LogBatch, limit - rows.Count);
                var batch = await sql.ListAsync<LogRow>("""
                    SELECT step_id, generation, seq, event_seq, stream, at, signature, data FROM step_logs
                    WHERE step_id = @stepId AND (generation > @generation OR generation = @generation AND seq > @seq) ORDER BY generation, seq LIMIT @take
                    """, new { stepId, generation, seq, take = take + 1 });
                more = batch.Count > take;
                rows.AddRange(batch.Take(take));
                bytes += batch.Take(take).Sum(row => (long)row.Data.Length);
            }
            return new Page<LogChunkBody> { Items = [.. rows.Select(r => r.ToBody())], NextCursor = more ? $"{rows[^1].Generation}.{rows[^1].Seq}" : null };
        }, cancellationToken);

    private sealed record ExecutionRow
    {
        public string Id { get; init; } = "";
        public int ActiveSteps { get; init; }
    }
}

/// <summary>A row of <c>step_logs</c>.</summary>
internal sealed record LogRow
{
    public string StepId { get; init; } = "";
    public long Generation { get; init; }
    public long Seq { get; init; }
    public long EventSeq { get; init; }
    public string Stream { get; init; } = "";
    public long At { get; init; }
    /// <summary>Where a query reads it.</summary>
    public string? Signature { get; init; }
    public byte[] Data { get; init; } = [];

    public LogChunkBody ToBody() => new()
    {
        StepId = StepId, LeaseGeneration = Generation, Seq = Seq, Stream = WireNames.Parse<LogStream>(Stream), At = TaskMapping.Instant(At), Data = Data, Signature = Signature,
    };
}
