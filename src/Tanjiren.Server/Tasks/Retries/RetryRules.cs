using Tanjiren.Protocol;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Tasks.Retries;

/// <summary>Whether an attempt follows a failure, and when. Pure.</summary>
internal static class RetryRules
{
    private const int DefaultBackoffSeconds = 30;
    private const int MaxBackoffSeconds = 86_400;

    /// <summary>The program ran and ended; nobody has to fear that it still runs, or ran without anybody noticing.</summary>
    private static readonly StepReason[] DefaultReasons = [StepReason.ExitCode, StepReason.Timeout];

    /// <summary>The policy with its defaults; meaningful only when no error was added.</summary>
    public static RetryPolicy? Normalize(RetryPolicy? policy, FieldErrors errors)
    {
        if (policy is null) return null;
        errors.Require(policy.MaxAttempts is not null, "retry.maxAttempts", $"is required: how many attempts in all, 1 to {WireLimits.MaxAttempts}");
        errors.Range(policy.MaxAttempts, 1, WireLimits.MaxAttempts, "retry.maxAttempts");
        errors.Range(policy.BackoffSeconds, 0, MaxBackoffSeconds, "retry.backoffSeconds");
        var reasons = policy.On ?? DefaultReasons;
        errors.Require(reasons.Count > 0, "retry.on", "must name a reason; without retries leave retry out");
        for (var i = 0; i < reasons.Count; i++)
            errors.Require(reasons[i] is not (StepReason.Cancelled or StepReason.RolloutStopped), $"retry.on[{i}]", "is no failure: what was cancelled is retried by hand only");
        return policy with
        {
            BackoffSeconds = policy.BackoffSeconds ?? DefaultBackoffSeconds,
            Backoff = policy.Backoff ?? BackoffKind.Fixed,
            On = [.. reasons.Distinct().Order()],
        };
    }

    /// <summary>
    /// The pause before the attempt after this one; null: there is none. All steps must have failed for reasons that the policy names: one that was lost may have done its work,
    /// whatever became of the others, and the next attempt would do it again.
    /// </summary>
    /// <param name="policy">Of the task that failed, with its defaults.</param>
    /// <param name="attempt">Which attempt it was, from 1.</param>
    /// <param name="failures">Why each of its failed steps did.</param>
    public static TimeSpan? PauseAfter(RetryPolicy? policy, int attempt, IReadOnlyCollection<StepReason?> failures)
    {
        if (policy is null || attempt >= policy.MaxAttempts || failures.Count == 0 || !failures.All(reason => reason is { } known && policy.On!.Contains(known))) return null;
        var seconds = policy.Backoff == BackoffKind.Exponential ? policy.BackoffSeconds!.Value * Math.Pow(2, attempt - 1) : policy.BackoffSeconds!.Value;
        return TimeSpan.FromSeconds(Math.Min(seconds, MaxBackoffSeconds));
    }
}
