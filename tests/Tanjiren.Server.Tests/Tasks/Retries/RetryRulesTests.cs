using Tanjiren.Protocol;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Tasks.Retries;

namespace Tanjiren.Server.Tests.Tasks.Retries;

public sealed class RetryRulesTests
{
    [Theory]
    [InlineData(BackoffKind.Fixed, 10, 1, 10)]
    [InlineData(BackoffKind.Fixed, 10, 19, 10)]
    [InlineData(BackoffKind.Exponential, 10, 1, 10)]
    [InlineData(BackoffKind.Exponential, 10, 2, 20)]
    [InlineData(BackoffKind.Exponential, 10, 4, 80)]
    [InlineData(BackoffKind.Exponential, 10, 19, 86_400)]
    [InlineData(BackoffKind.Exponential, 0, 19, 0)]
    public void The_pause_is_fixed_or_doubles_up_to_a_day(BackoffKind kind, int seconds, int attempt, int expected) =>
        RetryRules.PauseAfter(Policy(new RetryPolicy { MaxAttempts = 20, Backoff = kind, BackoffSeconds = seconds }), attempt, [StepReason.ExitCode]).ShouldBe(TimeSpan.FromSeconds(expected));

    [Theory]
    [InlineData(1, true)]
    [InlineData(2, true)]
    [InlineData(3, false)]
    [InlineData(4, false)]
    public void There_are_as_many_attempts_as_the_policy_says(int attempt, bool retried) =>
        (RetryRules.PauseAfter(Policy(new RetryPolicy { MaxAttempts = 3 }), attempt, [StepReason.ExitCode]) is not null).ShouldBe(retried);

    [Fact]
    public void By_default_only_what_ran_and_ended_is_tried_again()
    {
        var policy = Policy(new RetryPolicy { MaxAttempts = 2 });
        foreach (var reason in Enum.GetValues<StepReason>())
            (RetryRules.PauseAfter(policy, 1, [reason]) is not null).ShouldBe(reason is StepReason.ExitCode or StepReason.Timeout, reason.ToString());
        RetryRules.PauseAfter(policy, 1, [null]).ShouldBeNull();
        RetryRules.PauseAfter(null, 1, [StepReason.ExitCode]).ShouldBeNull();
    }

    [Fact]
    public void One_step_that_was_lost_keeps_the_others_from_being_done_again()
    {
        var policy = Policy(new RetryPolicy { MaxAttempts = 2 });
        RetryRules.PauseAfter(policy, 1, [StepReason.ExitCode, StepReason.Timeout]).ShouldNotBeNull();
        RetryRules.PauseAfter(policy, 1, [StepReason.ExitCode, StepReason.WorkerLost]).ShouldBeNull();
    }

    [Fact]
    public void What_is_wrong_with_a_policy_is_named()
    {
        IEnumerable<string> Fields(RetryPolicy policy)
        {
            var errors = new FieldErrors();
            RetryRules.Normalize(policy, errors);
            return errors.Any ? errors.ToProblem().Value.Errors!.Keys : [];
        }
        Fields(new RetryPolicy()).ShouldBe(["retry.maxAttempts"]);
        Fields(new RetryPolicy { MaxAttempts = 0, BackoffSeconds = -1 }).ShouldBe(["retry.backoffSeconds", "retry.maxAttempts"]);
        Fields(new RetryPolicy { MaxAttempts = 21, BackoffSeconds = 86_401, On = [] }).ShouldBe(["retry.backoffSeconds", "retry.maxAttempts", "retry.on"]);
        Fields(new RetryPolicy { MaxAttempts = 1, On = [StepReason.WorkerLost, StepReason.Cancelled, StepReason.RolloutStopped] }).ShouldBe(["retry.on[1]", "retry.on[2]"]);
        Fields(new RetryPolicy { MaxAttempts = 20, BackoffSeconds = 0, On = [StepReason.QueueTimeout] }).ShouldBeEmpty();
    }

    private static RetryPolicy Policy(RetryPolicy given)
    {
        var errors = new FieldErrors();
        var policy = RetryRules.Normalize(given, errors);
        errors.Any.ShouldBeFalse();
        return policy!;
    }
}
