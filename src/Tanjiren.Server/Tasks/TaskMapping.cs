using System.Text;
using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Secrets;

namespace Tanjiren.Server.Tasks;

/// <summary>Rows to wire records.</summary>
internal static class TaskMapping
{
    public static TaskBody ToBody(TaskRow task, ExecutionBody? execution, IReadOnlyList<ApprovalBody>? approvals = null, IReadOnlyList<PermissionBody>? permissions = null)
    {
        var spec = task.ParseSpec();
        return new TaskBody
        {
            Id = task.Id,
            Intent = task.Intent,
            Mode = WireNames.Parse<TaskMode>(task.Mode),
            State = WireNames.Parse<TaskState>(task.State),
            ApprovalStatus = WireNames.Parse<ApprovalStatus>(task.ApprovalStatus),
            Command = spec.Command,
            PromptText = spec.PromptText,
            Questions = spec.Questions,
            CodingAgent = spec.CodingAgent,
            PermissionTimeoutSeconds = spec.PermissionTimeoutSeconds,
            Targets = spec.Targets!,
            WorkingDirectory = spec.WorkingDirectory,
            Environment = spec.Environment,
            EnvironmentFromMachine = spec.EnvironmentFromMachine,
            SecretNames = SecretRules.NamesOf(spec),
            MaxParallel = spec.MaxParallel!.Value,
            StopAfterFailures = spec.StopAfterFailures,
            TimeoutSeconds = spec.TimeoutSeconds!.Value,
            QueueTimeoutSeconds = spec.QueueTimeoutSeconds!.Value,
            LeaseGraceSeconds = spec.LeaseGraceSeconds!.Value,
            OnWorkerLost = spec.OnWorkerLost!.Value,
            Resources = spec.Resources,
            Priority = task.Priority,
            CreatedBy = task.CreatedBy,
            CreatedAt = Instant(task.CreatedAt),
            StartedAt = Instant(task.StartedAt),
            EndedAt = Instant(task.EndedAt),
            CancelRequestedAt = Instant(task.CancelRequestedAt),
            OutcomeSummary = task.OutcomeSummary,
            TraceId = task.Trace.TraceId,
            ScheduleId = task.ScheduleId,
            ScheduleTickAt = Instant(task.ScheduleTickAt),
            RunbookId = task.RunbookId,
            InvestigationId = task.InvestigationId,
            RetryOfTaskId = task.RetryOfTaskId,
            RootTaskId = task.RootTaskId,
            Attempt = task.Attempt,
            ApprovalClass = WireNames.Parse<ApprovalClass>(task.ApprovalClass),
            DoctrineVersion = task.DoctrineVersion,
            FrozenUntil = Instant(task.FrozenUntil),
            ChangedBy = task.ChangedBy,
            Approvals = approvals is { Count: > 0 } ? approvals : null,
            Permissions = permissions is { Count: > 0 } ? permissions : null,
            Retry = spec.Retry,
            RetryDueAt = Instant(task.RetryDueAt),
            RetriedByTaskId = task.RetriedByTaskId,
            Held = task.HeldAt is not null && (task.EndedAt is null || task.RetryDueAt is not null),
            LogsDeletedAt = Instant(task.LogsDeletedAt),
            Execution = execution,
        };
    }

    public static StepBody ToBody(StepRow step, ResponseRow? response, IReadOnlyList<StepAnswerBody>? answers = null) => new()
    {
        Id = step.Id,
        State = WireNames.Parse<StepState>(step.State),
        Outcome = step.Outcome is null ? null : WireNames.Parse<StepOutcome>(step.Outcome),
        Reason = step.Reason is null ? null : WireNames.Parse<StepReason>(step.Reason),
        Detail = step.Detail,
        InstanceId = step.TargetInstanceId ?? step.ClaimedBy,
        InstanceName = step.InstanceName,
        ExitCode = step.ExitCode,
        Signal = step.Signal,
        DurationMs = step.DurationMs,
        // A replacement character per bad byte: the preview is for eyes, the log keeps the bytes.
        OutputPreview = step.OutputPreview is null ? null : Encoding.UTF8.GetString(step.OutputPreview),
        Response = response?.Response,
        ResponseLeftOut = response is { Response: null, Length: not null } ? true : null,
        Usage = response?.Usage is { } usage ? JsonSerializer.Deserialize(usage, WireJson.Default.TokenUsage) : null,
        Answers = answers is { Count: > 0 } ? answers : null,
        LeaseState = WireNames.Parse<LeaseState>(step.LeaseState),
        LeaseGeneration = step.LeaseGeneration,
        Attempts = step.Attempts,
        ClaimedAt = Instant(step.ClaimedAt),
        EndedAt = Instant(step.EndedAt),
        LogBytes = step.LogBytes,
        Truncated = step.Truncated != 0,
        LogsComplete = step.FinalLogSeq is { } final && step.LogSeq >= final,
        ReceiptState = step.CompletedGeneration is null ? null : step.HasReceipt ? ReceiptState.Signed : ReceiptState.Missing,
    };

    public static DateTimeOffset Instant(long unixMilliseconds) => DateTimeOffset.FromUnixTimeMilliseconds(unixMilliseconds);

    public static DateTimeOffset? Instant(long? unixMilliseconds) => unixMilliseconds is { } ms ? Instant(ms) : null;
}
