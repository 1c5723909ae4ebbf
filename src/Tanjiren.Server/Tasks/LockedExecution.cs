using System.Data;
using System.Globalization;
using System.Text;
using Dapper;
using Tanjiren.Protocol;
using Tanjiren.Server.Artifacts;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;

namespace Tanjiren.Server.Tasks;

/// <summary>
/// A task and its execution, locked until the transaction ends. Every transaction that moves a step takes this lock first (order: task,
/// execution, workstation, step): at READ COMMITTED two counting claims would otherwise both read the old count and both win.
/// Changes of the counters and of the event sequence are gathered here and written by <see cref="SaveAsync"/> as differences.
/// </summary>
internal sealed class LockedExecution
{
    private readonly WriteTransaction _tx;
    private readonly Row _row;
    private readonly long _now;
    private readonly List<EventRow> _events = [];
    private readonly StringBuilder _also = new();
    private readonly DynamicParameters _arguments = new();
    private int _active;
    private int _open;
    private int _failed;
    private int _cancelled;
    private long _nextEventSeq;

    private LockedExecution(WriteTransaction tx, Row row, long now)
    {
        (_tx, _row, _now) = (tx, row, now);
        _nextEventSeq = row.EventSeq;
    }

    public string TaskId => _row.TaskId;
    public string OrganizationId => _row.OrganizationId;
    public string ExecutionId => _row.ExecutionId;
    public TaskState TaskState => WireNames.Parse<TaskState>(_row.TaskState);
    public string Spec => _row.Spec;
    public string Intent => _row.Intent;
    public string? InvestigationId => _row.InvestigationId;
    public TaskTrace Trace => new(_row.TraceParent, _row.TraceState);
    public int MaxParallel => _row.MaxParallel;
    public int ActiveSteps => _row.ActiveSteps + _active;
    public int OpenSteps => _row.OpenSteps + _open;
    public int FailedSteps => _row.FailedSteps + _failed;
    public bool CancelRequested => _row.CancelRequestedAt is not null;
    public int? StopAfterFailures => _row.StopAfterFailures;

    /// <summary>The wall clock of this transaction, in Unix milliseconds.</summary>
    public long Now => _now;

    /// <summary>Whether the session given to <see cref="OfStepAsync"/> is its workstation's open one.</summary>
    public bool SessionOpen => _row.SessionOpen;

    public static async Task<LockedExecution?> OfTaskAsync(WriteTransaction tx, string taskId, TimeProvider clock) =>
        await LockAsync(tx, clock, "t.id = @taskId", new { taskId, sessionId = "", instanceId = "" });

    public static async Task<LockedExecution?> OfStepAsync(
        WriteTransaction tx, string stepId, TimeProvider clock, string instanceId = "", string sessionId = "") =>
        await LockAsync(tx, clock, "t.id = (SELECT task_id FROM steps WHERE id = @stepId)", new { stepId, sessionId, instanceId });

    public Task<StepRow?> StepAsync(string stepId) =>
        _tx.FirstAsync<StepRow>("SELECT * FROM steps WHERE id = @stepId", new { stepId });

    /// <summary>Changes the counters by differences.</summary>
    public void Add(int active = 0, int open = 0, int failed = 0, int cancelled = 0)
    {
        _active += active;
        _open += open;
        _failed += failed;
        _cancelled += cancelled;
    }

    /// <summary>The next number in the task's event order; unique, growing, without holes in commit order.</summary>
    public long NextEventSeq() => ++_nextEventSeq;

    public void AddEvent(string kind, string? stepId = null, long? generation = null, string? instanceId = null, string? detail = null) =>
        _events.Add(new EventRow(NextEventSeq(), _now, stepId, kind, generation, instanceId, detail));

    /// <summary>A statement, ended by a semicolon, for <see cref="SaveAsync"/> to run before its own: one round trip for all of them.</summary>
    public void Also(string sql, object arguments)
    {
        _also.AppendLine(sql);
        _arguments.AddDynamicParams(arguments);
    }

    public void MoveTask(TaskState to)
    {
        if (!TaskRules.MayMove(TaskState, to)) throw new InvalidOperationException($"A task can't move from {TaskState} to {to}.");
        Also("UPDATE tasks SET state = @moveTo, started_at = CASE WHEN @moveTo = 'executing' THEN @moveAt ELSE started_at END WHERE id = @moved AND state = @moveFrom;",
            new { moved = TaskId, moveFrom = _row.TaskState, moveTo = WireNames.Of(to), moveAt = _now });
        _row.TaskState = WireNames.Of(to);
    }

    /// <summary>Writes the counters, the events and what was put off till now, and ends the task when its last step has ended. Wakes listeners after the commit.</summary>
    public async Task SaveAsync(WakeUps wakeUps, RunMetrics metrics)
    {
        var ends = _open != 0 && OpenSteps == 0;
        if (ends)
        {
            var run = await EndTaskAsync();
            _tx.OnCommit(() => metrics.Ended(run));
        }
        var (sql, arguments) = (_also, _arguments);
        sql.Append("""
            UPDATE executions SET active_steps = active_steps + @active, open_steps = open_steps + @open, failed_steps = failed_steps + @failed,
              cancelled_steps = cancelled_steps + @cancelled, event_seq = @eventSeq WHERE id = @execution;
            """);
        arguments.Add("execution", ExecutionId);
        arguments.Add("active", _active);
        arguments.Add("open", _open);
        arguments.Add("failed", _failed);
        arguments.Add("cancelled", _cancelled);
        arguments.Add("eventSeq", _nextEventSeq);
        for (var i = 0; i < _events.Count; i++) AddEventTo(sql, arguments, i);
        await _tx.ExecuteAsync(sql.ToString(), arguments);
        _tx.OnCommit(() => wakeUps.Notify(WakeUps.Task(TaskId)));
    }

    /// <summary>
    /// Wakes, after the commit, the workstations that have queued steps of this execution: a place under <c>maxParallel</c> became free, or steps
    /// came back. For <c>any</c> steps the dispatcher chooses.
    /// </summary>
    public async Task WakeTargetsAsync(WakeUps wakeUps, AnyDispatcher dispatcher)
    {
        if (OpenSteps - ActiveSteps <= 0) return;
        var waiting = await _tx.ListAsync<WaitingRow>("""
            SELECT id, target_instance_id FROM steps WHERE task_id = @taskId AND state = 'queued' ORDER BY ordinal LIMIT 100
            """, new { taskId = TaskId });
        _tx.OnCommit(() =>
        {
            foreach (var step in waiting)
            {
                if (step.TargetInstanceId is { } target) wakeUps.Notify(WakeUps.Work(target));
                else dispatcher.Dispatch(step.Id);
            }
        });
    }

    private void AddEventTo(StringBuilder sql, DynamicParameters arguments, int i)
    {
        var e = _events[i];
        sql.Append(CultureInfo.InvariantCulture, $"""

            INSERT INTO step_events (task_id, event_seq, at, step_id, kind, generation, instance_id, detail)
            VALUES (@task{i}, @seq{i}, @at{i}, @step{i}, @kind{i}, @generation{i}, @instance{i}, @detail{i});
            """);
        arguments.Add($"task{i}", TaskId);
        arguments.Add($"seq{i}", e.EventSeq);
        arguments.Add($"at{i}", e.At);
        arguments.Add($"step{i}", e.StepId, DbType.String);
        arguments.Add($"kind{i}", e.Kind);
        arguments.Add($"generation{i}", e.Generation, DbType.Int64);
        arguments.Add($"instance{i}", e.InstanceId, DbType.String);
        arguments.Add($"detail{i}", e.Detail, DbType.String);
    }

    private async Task<EndedRun> EndTaskAsync()
    {
        var to = TaskRules.Conclude(_row.CancelledSteps + _cancelled, FailedSteps);
        if (!TaskRules.MayMove(TaskState, to)) throw new InvalidOperationException($"A task can't move from {TaskState} to {to}.");
        var steps = await _tx.ListAsync<StepRow>("""
            SELECT s.*, i.name AS instance_name FROM steps s LEFT JOIN instances i ON i.id = coalesce(s.claimed_by, s.target_instance_id)
            WHERE s.task_id = @taskId ORDER BY s.ordinal
            """, new { taskId = TaskId });
        var summary = OutcomeSummary.Of(to, steps);
        Also("UPDATE tasks SET state = @endTo, ended_at = @endAt, outcome_summary = @summary WHERE id = @ended AND state = @endFrom;",
            new { ended = TaskId, endTo = WireNames.Of(to), endAt = _now, summary, endFrom = _row.TaskState });
        SummaryArtifact.Add(this, to, summary, steps, await SummaryArtifact.TailsAsync(_tx, steps));
        _row.TaskState = WireNames.Of(to);
        AddEvent("taskEnded", detail: WireNames.Of(to));
        return EndedRun.Of(_row.Mode, _row.CreatedAt, _row.StartedAt, _now, to, steps);
    }

    private static async Task<LockedExecution?> LockAsync(WriteTransaction tx, TimeProvider clock, string condition, object arguments)
    {
        var row = await tx.FirstAsync<Row>($"""
            SELECT t.id AS task_id, t.organization_id, t.state AS task_state, t.spec, t.intent, t.investigation_id, t.mode, t.created_at, t.started_at, t.cancel_requested_at,
              t.trace_parent, t.trace_state, e.id AS execution_id, e.max_parallel, e.stop_after_failures, e.active_steps, e.open_steps, e.failed_steps, e.cancelled_steps, e.event_seq,
              EXISTS (SELECT 1 FROM instance_sessions s WHERE s.id = @sessionId AND s.instance_id = @instanceId AND s.ended_at IS NULL) AS session_open
            FROM tasks t JOIN executions e ON e.task_id = t.id WHERE {condition}{(tx.ForUpdate.Length > 0 ? tx.ForUpdate + " OF t, e" : "")}
            """, arguments);
        return row is null ? null : new LockedExecution(tx, row, clock.GetUtcNow().ToUnixTimeMilliseconds());
    }

    private sealed record EventRow(
        long EventSeq, long At, string? StepId, string Kind, long? Generation, string? InstanceId, string? Detail);

    private sealed record WaitingRow
    {
        public string Id { get; init; } = "";
        public string? TargetInstanceId { get; init; }
    }

    private sealed record Row
    {
        public string TaskId { get; init; } = "";
        public string OrganizationId { get; init; } = "";
        public string TaskState { get; set; } = "";
        public string Spec { get; init; } = "";
        public string Intent { get; init; } = "";
        public string? InvestigationId { get; init; }
        public string Mode { get; init; } = "";
        public long CreatedAt { get; init; }
        public long? StartedAt { get; init; }
        public string? TraceParent { get; init; }
        public string? TraceState { get; init; }
        public long? CancelRequestedAt { get; init; }
        public string ExecutionId { get; init; } = "";
        public int MaxParallel { get; init; }
        public int? StopAfterFailures { get; init; }
        public int ActiveSteps { get; init; }
        public int OpenSteps { get; init; }
        public int FailedSteps { get; init; }
        public int CancelledSteps { get; init; }
        public long EventSeq { get; init; }
        public bool SessionOpen { get; init; }
    }
}
