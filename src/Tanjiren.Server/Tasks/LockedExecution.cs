using System.Data;
using System.Globalization;
using System.Text;
using Dapper;
using Tanjiren.Protocol;
using Tanjiren.Server.Artifacts;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Tasks.Answers;
using Tanjiren.Server.Tasks.Permissions;
using Tanjiren.Server.Tasks.Retries;

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
    private readonly List<string> _permissionsMoved = [];
    private int _active;
    private int _open;
    private int _failed;
    private int _cancelled;
    private bool _approvalMoved;
    private long _nextEventSeq;
    private EndedRun? _ended;
    private CreateTaskRequest? _spec;

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

    /// <summary>The validated request with every default filled in.</summary>
    public CreateTaskRequest ParsedSpec => _spec ??= new TaskRow { Spec = _row.Spec }.ParseSpec();
    public long QueueTimeoutMs => ParsedSpec.QueueTimeoutSeconds!.Value * 1000L;
    public string Intent => _row.Intent;
    public string? InvestigationId => _row.InvestigationId;
    public TaskTrace Trace => new(_row.TraceParent, _row.TraceState);
    public int MaxParallel => _row.MaxParallel;
    public int ActiveSteps => _row.ActiveSteps + _active;
    public int OpenSteps => _row.OpenSteps + _open;
    public int FailedSteps => _row.FailedSteps + _failed;
    public bool CancelRequested => _row.CancelRequestedAt is not null;

    /// <summary>Since a restore, until the owner resumes: see <see cref="HeldTasks"/>.</summary>
    public bool Held => _row.HeldAt is not null;
    public int? StopAfterFailures => _row.StopAfterFailures;
    public StepOwner Owner => new(TaskId, ExecutionId, OrganizationId);
    public ApprovalStatus ApprovalStatus => WireNames.Parse<ApprovalStatus>(_row.ApprovalStatus);
    /// <summary>What the task needs approval for.</summary>
    public ApprovalClass ApprovalClass => WireNames.Parse<ApprovalClass>(_row.ApprovalClass);
    public string ActionHash => _row.ActionHash ?? "";
    public int DoctrineVersion => _row.DoctrineVersion;
    public string CreatedBy => _row.CreatedBy;
    /// <summary>In whose name it runs: who changed it last, else who made it.</summary>
    public string ActorId => _row.ChangedBy ?? _row.CreatedBy;
    /// <summary>Their role now; null when they are no member any more.</summary>
    public Role? ActorRole => _row.ActorRole is { } role ? Enum.Parse<Role>(role, ignoreCase: true) : null;
    public TaskOrigin Origin => new()
    {
        ScheduleId = _row.ScheduleId, ScheduleTickAt = _row.ScheduleTickAt, RunbookId = _row.RunbookId, InvestigationId = _row.InvestigationId,
        RetryOfTaskId = _row.RetryOfTaskId, RootTaskId = _row.RootTaskId, Attempt = _row.Attempt, ByPerson = _row.ByPerson != 0 || _row.ChangedBy is not null,
    };

    /// <summary>The wall clock of this transaction, in Unix milliseconds.</summary>
    public long Now => _now;

    public StartSubject Subject => new(TaskId, OrganizationId, ParsedSpec, Origin, ActorRole, DoctrineVersion, ActionHash, Now);

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

    /// <summary>A statement, ended by a semicolon, for <see cref="SaveAsync"/> to run before its own: one round trip for all of them. No two may share a parameter's name.</summary>
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

    /// <summary>Goes with every change of the task's approvals, so it also decides that whoever watches the organization's inbox looks after the commit.</summary>
    public void SetApproval(ApprovalStatus to)
    {
        _approvalMoved = true;
        _row.ApprovalStatus = WireNames.Of(to);
        Also("UPDATE tasks SET approval_status = @approvalStatus WHERE id = @approvalTask;", new { approvalTask = TaskId, approvalStatus = _row.ApprovalStatus });
    }

    /// <summary>Its machine, and whoever watches the organization's inbox, look after the commit.</summary>
    public void PermissionMoved(string permissionId) => _permissionsMoved.Add(permissionId);

    /// <summary>Keeps the steps from being offered and claimed until then (Unix milliseconds); null: not any longer.</summary>
    public void Freeze(long? until) => Also("UPDATE tasks SET frozen_until = @frozenUntil WHERE id = @frozenTask;", new { frozenTask = TaskId, frozenUntil = until });

    /// <summary>What was decided of the task anew.</summary>
    public void SetPlan(ApprovalClass approvalClass, int doctrineVersion, string actionHash)
    {
        (_row.ApprovalClass, _row.DoctrineVersion, _row.ActionHash) = (WireNames.Of(approvalClass), doctrineVersion, actionHash);
        Also("UPDATE tasks SET approval_class = @planClass, doctrine_version = @planVersion, action_hash = @planHash WHERE id = @planTask;",
            new { planTask = TaskId, planClass = _row.ApprovalClass, planVersion = doctrineVersion, planHash = actionHash });
    }

    /// <summary>Its row says this now.</summary>
    public void Changed(CreateTaskRequest spec, string json, string by) => (_spec, _row.Spec, _row.Intent, _row.ChangedBy) = (spec, json, spec.Intent!, by);

    /// <summary>Removes the steps of a task of which nothing was ever claimed: it waits for an approval again, or is written anew. Claims on their way find nothing.</summary>
    public async Task RemoveStepsAsync()
    {
        if (TaskState != TaskState.Queued) throw new InvalidOperationException($"The steps of a task that is {TaskState} are its history.");
        await _tx.ExecuteAsync("DELETE FROM steps WHERE task_id = @taskId", new { taskId = TaskId });
        Add(open: -OpenSteps, failed: -FailedSteps, cancelled: -(_row.CancelledSteps + _cancelled));
    }

    /// <summary>Gives the queued steps their whole queue time from now on, or those that wait for this approval or a later one: while nobody could claim them, it did not count.</summary>
    public Task RestartQueueTimeAsync(int approvalFrom = 0) => _tx.ExecuteAsync("""
        UPDATE steps SET queue_expires_at = tanjiren_now() + @QueueTimeoutMs WHERE task_id = @TaskId AND state = 'queued' AND approval_from >= @approvalFrom
        """, new { TaskId, QueueTimeoutMs, approvalFrom });

    /// <summary>Ends a task that is planned: rejected, never answered, or cancelled. Nothing of it ran.</summary>
    public void EndPlanned(TaskState to, string summary)
    {
        if (TaskState != TaskState.Planned) throw new InvalidOperationException($"A task that is {TaskState} ends with its last step.");
        End(to, summary, [], [], []);
    }

    /// <summary>Writes the counters, the events and what was put off till now, and ends the task when its last step has ended. Wakes listeners after the commit.</summary>
    public async Task SaveAsync(WakeUps wakeUps, RunMetrics metrics)
    {
        // A step that its machine holds no longer asks nobody any more, however it came to that. No command ever asks.
        if (_active < 0 && _row.Mode != "command") await PermissionBook.WithdrawAllAsync(_tx, this, onlyOfEnded: true);
        if (_open != 0 && OpenSteps == 0 && TaskState != TaskState.Planned) await EndTaskAsync(wakeUps);
        if (_ended is { } run)
        {
            _tx.OnCommit(() => metrics.Ended(run));
            if (_row.ScheduleId is not null)
            {
                // A tick, or the attempt after an earlier task, may wait for this one by the overlap rule.
                _tx.OnCommit(() => wakeUps.Notify(WakeUps.Schedules));
                _tx.OnCommit(() => wakeUps.Notify(WakeUps.Retries));
            }
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
        if (_approvalMoved || _permissionsMoved.Count > 0) _tx.OnCommit(() => wakeUps.Notify(WakeUps.Inbox(OrganizationId)));
        foreach (var id in _permissionsMoved) _tx.OnCommit(() => wakeUps.Notify(WakeUps.Permission(id)));
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

    private async Task EndTaskAsync(WakeUps wakeUps)
    {
        var to = TaskRules.Conclude(_row.CancelledSteps + _cancelled, FailedSteps);
        var steps = await _tx.ListAsync<StepRow>("""
            SELECT s.*, i.name AS instance_name FROM steps s LEFT JOIN instances i ON i.id = coalesce(s.claimed_by, s.target_instance_id)
            WHERE s.task_id = @taskId ORDER BY s.ordinal
            """, new { taskId = TaskId });
        var answers = _row.Mode == "investigate" ? await AnswerStore.OfTaskAsync(_tx, TaskId, withAnswers: false) : [];
        End(to, OutcomeSummary.Of(to, steps), steps, await SummaryArtifact.TailsAsync(_tx, steps), answers);
        if (to == TaskState.Failed) PlanRetry(steps, wakeUps);
    }

    private void End(TaskState to, string summary, IReadOnlyList<StepRow> steps, IReadOnlyList<(StepRow Step, byte[] Output)> tails, IReadOnlyList<AnswerRow> answers)
    {
        if (!TaskRules.MayMove(TaskState, to)) throw new InvalidOperationException($"A task can't move from {TaskState} to {to}.");
        Also("UPDATE tasks SET state = @endTo, ended_at = @endAt, outcome_summary = @summary, frozen_until = NULL WHERE id = @ended AND state = @endFrom;",
            new { ended = TaskId, endTo = WireNames.Of(to), endAt = _now, summary, endFrom = _row.TaskState });
        SummaryArtifact.Add(this, to, summary, steps, tails, answers);
        _row.TaskState = WireNames.Of(to);
        if (ApprovalStatus is ApprovalStatus.Pending or ApprovalStatus.Approved)
        {
            // Nobody is asked any longer, and what was given starts nothing any more.
            Also("UPDATE approvals SET state = 'withdrawn' WHERE task_id = @withdrawn AND state IN ('pending', 'approved');", new { withdrawn = TaskId });
            SetApproval(ApprovalStatus.Expired);
        }
        AddEvent("taskEnded", detail: WireNames.Of(to));
        _ended = EndedRun.Of(_row.Mode, _row.CreatedAt, _row.StartedAt, _now, to, steps);
    }

    /// <summary>In the transaction of the failure, so that no crash between failure and attempt loses it.</summary>
    private void PlanRetry(IReadOnlyList<StepRow> steps, WakeUps wakeUps)
    {
        // Whoever cancelled it wants no further attempt, whatever became of the steps that had ended before.
        if (CancelRequested) return;
        var policy = ParsedSpec.Retry;
        StepReason?[] failures = [.. steps.Where(s => s.State == "failed").Select(HowItFailed)];
        if (RetryRules.PauseAfter(policy, _row.Attempt, failures) is not { } pause) return;
        Also("INSERT INTO retries (task_id, organization_id, schedule_id, due_at) VALUES (@retryOf, @retryIn, @retrySchedule, @retryAt);",
            new { retryOf = TaskId, retryIn = OrganizationId, retrySchedule = _row.ScheduleId, retryAt = _now + (long)pause.TotalMilliseconds });
        AddEvent("retryPlanned", detail: $"attempt {_row.Attempt + 1} of {policy!.MaxAttempts} in {pause.TotalSeconds:0} s");
        _tx.OnCommit(() => wakeUps.Notify(WakeUps.Retries));
    }

    /// <summary>A step that ran past its time without a word from its agent was lost, whatever it is called: it may have done its work.</summary>
    private static StepReason? HowItFailed(StepRow step) =>
        step.Reason is null ? null : WireNames.Parse<StepReason>(step.Reason) is var reason && reason == StepReason.Timeout && step.CompletedGeneration is null ? StepReason.WorkerLost : reason;

    private static async Task<LockedExecution?> LockAsync(WriteTransaction tx, TimeProvider clock, string condition, object arguments)
    {
        var row = await tx.FirstAsync<Row>($"""
            SELECT t.id AS task_id, t.organization_id, t.state AS task_state, t.spec, t.intent, t.mode, t.created_at, t.started_at, t.cancel_requested_at, t.held_at,
              t.trace_parent, t.trace_state, t.approval_status, t.approval_class, t.action_hash, t.doctrine_version, t.created_by, t.changed_by,
              t.schedule_id, t.schedule_tick_at, t.runbook_id, t.by_person, t.investigation_id, t.retry_of_task_id, t.root_task_id, t.attempt,
              (SELECT m.role FROM memberships m WHERE m.organization_id = t.organization_id AND m.user_id = coalesce(t.changed_by, t.created_by)) AS actor_role, e.id AS execution_id, e.max_parallel, e.stop_after_failures, e.active_steps, e.open_steps, e.failed_steps, e.cancelled_steps, e.event_seq,
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
        public string Spec { get; set; } = "";
        public string Intent { get; set; } = "";
        public string Mode { get; init; } = "";
        public long CreatedAt { get; init; }
        public long? StartedAt { get; init; }
        public string? TraceParent { get; init; }
        public string? TraceState { get; init; }
        public string ApprovalStatus { get; set; } = "";
        public string ApprovalClass { get; set; } = "";
        public string? ActionHash { get; set; }
        public int DoctrineVersion { get; set; }
        public string CreatedBy { get; init; } = "";
        public string? ChangedBy { get; set; }
        public string? ActorRole { get; init; }
        public string? ScheduleId { get; init; }
        public long? ScheduleTickAt { get; init; }
        public string? RunbookId { get; init; }
        public int ByPerson { get; init; }
        public string? InvestigationId { get; init; }
        public string? RetryOfTaskId { get; init; }
        public string? RootTaskId { get; init; }
        public int Attempt { get; init; } = 1;
        public long? CancelRequestedAt { get; init; }
        public long? HeldAt { get; init; }
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
