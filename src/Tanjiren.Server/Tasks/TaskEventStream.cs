using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Tasks.Permissions;

namespace Tanjiren.Server.Tasks;

/// <summary>
/// <c>GET /api/tasks/{id}/events</c> as server-sent events. Every event of a task has a number in commit order (the execution's lock gives it), so a reader
/// that resumes after a number misses nothing and sees nothing twice.
/// </summary>
internal sealed class TaskEventStream(Database database, TimeProvider clock, WakeUps wakeUps)
{
    private const int LogBatch = 32;

    /// <summary>Questions of a coding agent have up to 32 KiB each, and there may be thousands.</summary>
    private const int QuestionBatch = 32;

    /// <summary>The number of a task's first event: that it was planned or queued.</summary>
    private const long CreationSeq = 1;

    /// <summary>How long the stream of a task that has ended waits for output that its agent still holds.</summary>
    private static readonly TimeSpan LateLogWait = TimeSpan.FromSeconds(30);

    /// <summary>
    /// Writes events until the task has ended. <paramref name="stillAllowed"/> is asked before every read and whenever the reader's access may have changed: the
    /// stream ends with it, also while nothing happens, and when the server stops.
    /// </summary>
    public async Task WriteAsync(HttpContext context, Caller reader, TaskBody task, long after, Func<Task<bool>> stillAllowed)
    {
        var response = context.Response;
        var aborted = context.RequestAborted;
        ServerSentEvents.Begin(response);
        using var subscription = wakeUps.Subscribe(WakeUps.Task(task.Id), WakeUps.Access(reader.UserId));

        while (true)
        {
            if (!await stillAllowed()) return;
            var batch = await ReadAsync(reader.OrganizationId, task.Id, after, aborted);
            foreach (var (id, log, question) in InOrder(batch, after))
            {
                if (log is not null) await WriteEventAsync(response, "log", id, new TaskEventBody { Log = log.ToBody() });
                else await WriteEventAsync(response, question?.Kind ?? "task", id, new TaskEventBody { Task = batch.Task, Approval = batch.ApprovalOf(question), Permission = batch.PermissionOf(question) });
                after = id;
            }
            if (wakeUps.IsClosed) return;
            if (batch.More) continue;

            if (TaskRules.IsTerminal(batch.Task.State) && (!batch.AwaitsLogs || clock.GetUtcNow() - batch.Task.EndedAt > LateLogWait))
            {
                await WriteEventAsync(response, "end", after, new TaskEventBody { Task = batch.Task });
                return;
            }
            await response.Body.FlushAsync(aborted);
            if (!await subscription.WaitAsync(ServerSentEvents.KeepAlive, clock, aborted) && !wakeUps.IsClosed) await ServerSentEvents.WriteKeepAliveAsync(response);
        }
    }

    /// <summary>
    /// Output and what happened to approvals and permissions in their order, and the other changes of state between them as one event at the last one's place (no log: the task).
    /// Strictly rising, so whoever is cut anywhere and resumes is told of each change: before the cut, or because its number is still ahead. The creation is told on its
    /// own: the task comes first. An event of one of these tells the task too, so it may be the last change.
    /// </summary>
    private static IEnumerable<(long Id, LogRow? Log, QuestionEvent? Question)> InOrder(Stretch batch, long after)
    {
        if (after < CreationSeq) yield return (CreationSeq, null, null);
        var told = batch.TaskSeq is null or <= CreationSeq;
        var items = batch.Logs.Select(l => (Id: l.EventSeq, Log: (LogRow?)l, Question: (QuestionEvent?)null))
            .Concat(batch.Questions.Select(q => (Id: q.EventSeq, Log: (LogRow?)null, Question: (QuestionEvent?)q))).OrderBy(i => i.Id);
        foreach (var item in items)
        {
            if (!told && batch.TaskSeq < item.Id) yield return (batch.TaskSeq!.Value, null, null);
            told |= batch.TaskSeq <= item.Id;
            yield return item;
        }
        if (!told) yield return (batch.TaskSeq!.Value, null, null);
    }

    /// <summary>
    /// The next stretch of the order: output up to the batch's limit, and whether state events fall into it. Everything up to the execution's own
    /// number is committed; reading no further keeps an event that commits between two of these statements from being skipped.
    /// </summary>
    private Task<Stretch> ReadAsync(string organizationId, string taskId, long after, CancellationToken cancellationToken) => database.ReadAsync(async sql =>
    {
        var committed = await sql.FirstAsync<long>("SELECT event_seq FROM executions WHERE task_id = @taskId", new { taskId });
        var logs = await sql.ListAsync<LogRow>("""
            SELECT step_id, generation, seq, event_seq, stream, at, data FROM step_logs
            WHERE task_id = @taskId AND event_seq > @after AND event_seq <= @committed ORDER BY event_seq LIMIT @limit
            """, new { taskId, after, committed, limit = LogBatch });
        var horizon = logs.Count == LogBatch ? logs[^1].EventSeq : committed;
        var stateSeq = await sql.FirstAsync<long?>("SELECT max(event_seq) FROM step_events WHERE task_id = @taskId AND event_seq > @after AND event_seq <= @horizon",
            new { taskId, after, horizon });
        // Rare, and few beside the output: asked for only where there is a change at all.
        var questions = stateSeq is null ? [] : await sql.ListAsync<QuestionEvent>("""
            SELECT event_seq, kind, detail AS question_id FROM step_events WHERE task_id = @taskId AND event_seq > @after AND event_seq <= @horizon
              AND kind IN ('approvalRequested', 'approved', 'rejected', 'approvalExpired', 'permissionAsked', 'permissionAnswered', 'permissionExpired', 'permissionWithdrawn') ORDER BY event_seq LIMIT @QuestionBatch
            """, new { taskId, after, horizon, QuestionBatch });
        // What comes after them is read with the next stretch. Each is a change of state, so the last one of this stretch is known.
        if (questions.Count == QuestionBatch)
        {
            stateSeq = horizon = questions[^1].EventSeq;
            logs = [.. logs.Where(l => l.EventSeq <= horizon)];
        }
        var asked = questions.Where(q => q.IsPermission).Select(q => q.QuestionId).Distinct().ToList();
        var permissions = asked.Count == 0 ? [] : await PermissionStore.ListAsync(sql, organizationId, asked);
        var awaitsLogs = await sql.FirstAsync<bool>("""
            SELECT EXISTS (SELECT 1 FROM steps s JOIN step_claims c ON c.step_id = s.id AND c.generation = s.completed_generation
              WHERE s.task_id = @taskId AND c.log_seq < s.final_log_seq)
            """, new { taskId });
        var task = await TaskStore.FindAsync(sql, organizationId, taskId, onlyWhenEnded: true);
        return new Stretch(logs, questions, permissions, stateSeq, task!, horizon < committed, awaitsLogs);
    }, cancellationToken);

    private static Task WriteEventAsync(HttpResponse response, string name, long id, TaskEventBody body) =>
        ServerSentEvents.WriteAsync(response, name, JsonSerializer.Serialize(body, WireJson.Default.TaskEventBody), id);

    private sealed record Stretch(
        IReadOnlyList<LogRow> Logs, IReadOnlyList<QuestionEvent> Questions, IReadOnlyList<PermissionRow> Permissions, long? TaskSeq, TaskBody Task, bool More, bool AwaitsLogs)
    {
        /// <summary>As it is now; the event's name says what happened then.</summary>
        public ApprovalBody? ApprovalOf(QuestionEvent? told) => told is null ? null : Task.Approvals?.FirstOrDefault(a => a.Id == told.QuestionId);

        /// <inheritdoc cref="ApprovalOf"/>
        public PermissionBody? PermissionOf(QuestionEvent? told) => told is null ? null : Permissions.FirstOrDefault(p => p.Id == told.QuestionId)?.ToBody();
    }

    /// <summary>Of an approval or a permission.</summary>
    private sealed record QuestionEvent
    {
        public long EventSeq { get; init; }
        public string Kind { get; init; } = "";
        public string QuestionId { get; init; } = "";

        public bool IsPermission => QuestionId.StartsWith(Ids.Permission, StringComparison.Ordinal);
    }
}
