using Tanjiren.Agent.Execution;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Tests.Execution;

public sealed class StepResultTests
{
    private static readonly CompleteRequest Killed = new() { Outcome = StepOutcome.Failed, Reason = StepReason.Timeout };

    /// <summary>The detail may have words of a program in it: the server refuses a result with a NUL.</summary>
    [Fact]
    public void A_detail_has_no_character_that_the_server_refuses() => StepResult.Cut(StepResult.Failed(StepReason.ExitCode, "a\0b").Detail).ShouldBe("ab");

    [Fact]
    public void What_could_not_be_killed_is_named_in_the_detail()
    {
        var report = new KillReport([7], [new SurvivingProcess(8, "sudo", "another user's")]);
        StepResult.WithSurvivors(Killed, report).Detail.ShouldBe("Not all of its processes could be ended: killed 1 processes; these live on: 8 (sudo): another user's.");
        StepResult.WithSurvivors(StepResult.Unknown("Aborted."), report).Detail!.ShouldStartWith("Aborted. Not all");
        var many = new KillReport([], [.. Enumerable.Range(1, 500).Select(pid => new SurvivingProcess(pid, "sudo", "another user's"))]);
        StepResult.Cut(StepResult.WithSurvivors(Killed, many).Detail)!.Length.ShouldBeInRange(1900, 2000); // between two words
    }

    [Theory]
    [InlineData(199, 300, 200, nameof(StopReason.None))]
    [InlineData(200, 300, 200, nameof(StopReason.Timeout))]
    [InlineData(300, 300, 300, nameof(StopReason.LeaseExpired))]
    public void Who_was_killed_hard_after_the_watchdogs_deadline_was_killed_by_it(long ended, long lease, long watchdog, string expected) =>
        StepResult.Effective(StopReason.Timeout, new ProcessExit { Signal = "SIGKILL", EndedAtBootMs = ended }, 400, lease, watchdog).ToString().ShouldBe(expected);

    [Theory]
    // stop, signal, end, over memory by the kernel's word -> reason
    [InlineData(nameof(StopReason.None), "SIGKILL", 100, true, nameof(StopReason.ResourceExceeded))]
    [InlineData(nameof(StopReason.None), "SIGKILL", 100, false, nameof(StopReason.None))]
    // It ended by itself: a child of it was killed, and it had its say.
    [InlineData(nameof(StopReason.None), null, 100, true, nameof(StopReason.None))]
    [InlineData(nameof(StopReason.Cancel), "SIGKILL", 100, true, nameof(StopReason.ResourceExceeded))]
    [InlineData(nameof(StopReason.Abort), "SIGKILL", 100, true, nameof(StopReason.Abort))]
    [InlineData(nameof(StopReason.LeaseLost), "SIGKILL", 100, true, nameof(StopReason.LeaseLost))]
    // After the watchdog's deadline the kill may have been the watchdog's.
    [InlineData(nameof(StopReason.None), "SIGKILL", 250, true, nameof(StopReason.LeaseExpired))]
    // By accounting the agent signals itself: what ended before that keeps its own outcome.
    [InlineData(nameof(StopReason.ResourceExceeded), "SIGKILL", 100, false, nameof(StopReason.ResourceExceeded))]
    [InlineData(nameof(StopReason.ResourceExceeded), null, 40, false, nameof(StopReason.None))]
    public void What_was_killed_for_its_memory_is_told_from_what_ended_by_itself(string stop, string? signal, long ended, bool overMemory, string expected) =>
        StepResult.Effective(Enum.Parse<StopReason>(stop), new ProcessExit(signal is null ? 1 : null, signal, ended), firstSignalAtBootMs: 50, leaseDeadlineBootMs: 200, watchdogDeadlineBootMs: 200, overMemory)
            .ToString().ShouldBe(expected);

    [Fact]
    public void A_cap_and_what_was_used_stand_in_the_result()
    {
        var result = StepResult.Of(StopReason.ResourceExceeded, new ProcessExit(null, "SIGKILL", 1), "used 2 MiB, cap 1 MiB");
        (result.Outcome, result.Reason, result.Detail, result.Signal).ShouldBe((StepOutcome.Failed, StepReason.ResourceExceeded, "used 2 MiB, cap 1 MiB", "SIGKILL"));
    }

    [Fact]
    public void A_tree_that_is_gone_leaves_the_words_alone()
    {
        StepResult.WithSurvivors(Killed, new KillReport([7], [])).ShouldBe(Killed);
        StepResult.WithSurvivors(Killed, null).ShouldBe(Killed);
    }
}
