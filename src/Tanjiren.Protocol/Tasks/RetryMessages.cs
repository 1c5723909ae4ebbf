using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

[JsonConverter(typeof(SnakeCaseEnum<BackoffKind>))]
public enum BackoffKind
{
    /// <summary>Always <c>backoffSeconds</c>.</summary>
    Fixed,
    /// <summary><c>backoffSeconds</c>, then twice that, four times …, at most a day.</summary>
    Exponential,
}

/// <summary>
/// What follows a failure: a new task of the same request, linked by <c>retryOfTaskId</c> and <c>rootTaskId</c>. A task is retried when every step of it that failed
/// did so for one of the reasons in <see cref="On"/>; a cancelled one is not.
/// </summary>
public sealed record RetryPolicy
{
    /// <summary>Attempts in all, the first included: 1-20; required.</summary>
    public int? MaxAttempts { get; init; }
    /// <summary>Pause before the second attempt, 0-86,400 s; default 30.</summary>
    public int? BackoffSeconds { get; init; }
    /// <summary>Default <c>fixed</c>.</summary>
    public BackoffKind? Backoff { get; init; }
    /// <summary>Default <c>exitCode</c> and <c>timeout</c>. Work that was lost may have been done: <c>workerLost</c> and <c>unknownOutcome</c> must be named.</summary>
    public IReadOnlyList<StepReason>? On { get; init; }
}

/// <summary><c>POST /api/tasks/{id}/retry</c>; may be absent. Takes <c>Idempotency-Key</c>.</summary>
public sealed record RetryTaskRequest
{
    /// <summary>Why, for the record; at most 500 characters.</summary>
    public string? Reason { get; init; }
}
