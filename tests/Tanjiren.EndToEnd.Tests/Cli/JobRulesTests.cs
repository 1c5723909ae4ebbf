using System.Text;

using Tanjiren.Cli;
using Tanjiren.Cli.Jobs;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Cli.Settings;
using Tanjiren.Protocol;

namespace Tanjiren.EndToEnd.Tests.Cli;

public sealed class JobRulesTests
{
    public static TheoryData<int, StepState, int?, StepReason?, string?> Codes => new()
    {
        { 0, StepState.Succeeded, 0, null, null },
        { 7, StepState.Failed, 7, StepReason.ExitCode, null },
        { 255, StepState.Failed, 255, StepReason.ExitCode, null },
        { 1, StepState.Failed, 256, StepReason.ExitCode, null },
        { 5, StepState.Failed, unchecked((int)0xC0000005), StepReason.ExitCode, null },
        { 139, StepState.Failed, null, StepReason.ExitCode, "SIGSEGV" },
        { 143, StepState.Failed, 143, StepReason.ExitCode, "SIGTERM" },
        { 162, StepState.Failed, null, StepReason.ExitCode, "SIG34" },
        { 124, StepState.Failed, null, StepReason.Timeout, "SIGKILL" },
        { 137, StepState.Failed, null, StepReason.ResourceExceeded, null },
        { 127, StepState.Failed, null, StepReason.SpawnFailed, null },
        { 126, StepState.Failed, null, StepReason.WorkerLost, null },
        { 126, StepState.Failed, null, StepReason.UnknownOutcome, null },
        { 126, StepState.Failed, null, StepReason.RejectedByAgent, null },
        { 126, StepState.Failed, null, StepReason.QueueTimeout, null },
        { 126, StepState.Failed, null, StepReason.WorkstationRemoved, null },
        { 130, StepState.Cancelled, null, StepReason.Cancelled, "SIGKILL" },
        { 0, StepState.Cancelled, null, StepReason.RolloutStopped, null },
    };

    [Theory]
    [MemberData(nameof(Codes))]
    public void A_step_gives_its_code(int expected, StepState state, int? exitCode, StepReason? reason, string? signal) =>
        JobExit.OfStep(Wire.Step(state, exitCode, reason, signal)).ShouldBe(expected);

    [Fact]
    public void Every_reason_of_a_failed_step_gives_a_code_above_zero()
    {
        foreach (var reason in Enum.GetValues<StepReason>().Where(r => r != StepReason.RolloutStopped))
            JobExit.OfStep(Wire.Step(StepState.Failed, reason: reason)).ShouldBeGreaterThan(0, reason.ToString());
    }

    [Fact]
    public void The_highest_step_decides_and_a_task_that_did_not_complete_never_gives_zero()
    {
        JobExit.Of(Wire.Task(TaskState.Failed, Wire.Step(StepState.Failed, 3), Wire.Step(StepState.Failed, 9), Wire.Step(StepState.Succeeded, 0))).ShouldBe(9);
        JobExit.Of(Wire.Task(TaskState.Completed, Wire.Step(StepState.Succeeded, 0))).ShouldBe(0);
        JobExit.Of(Wire.Task(TaskState.Failed)).ShouldBe(126);
        JobExit.Of(Wire.Task(TaskState.Cancelled) with { Execution = null }).ShouldBe(130);
    }

    [Theory]
    [InlineData("90", 90)]
    [InlineData("90s", 90)]
    [InlineData("15m", 900)]
    [InlineData("2h", 7200)]
    [InlineData("1d", 86400)]
    [InlineData("", null)]
    [InlineData("s", null)]
    [InlineData("-1", null)]
    [InlineData("1.5h", null)]
    [InlineData(" 1", null)]
    [InlineData("1w", null)]
    public void Durations_are_seconds_with_a_unit_or_without(string text, int? seconds) => DurationText.Seconds(text).ShouldBe(seconds);

    [Fact]
    public void The_last_word_about_a_variable_wins()
    {
        var (set, taken) = JobSpec.Environment(["A=1", "B", "A=2", "B=3", "C=", "D", "D"]);
        set.ShouldBe(new Dictionary<string, string> { ["A"] = "2", ["B"] = "3", ["C"] = "" }, ignoreOrder: true);
        taken.ShouldBe(["D"]);
        JobSpec.Environment([]).ShouldBe((null, null));
    }

    [Fact]
    public void A_secret_is_taken_from_here_from_standard_input_or_as_it_is()
    {
        using var cli = new CliContext(Stream.Null, Stream.Null, new StringReader("from a pipe\n"));
        var secrets = JobSpec.Secrets(["A", "B=-", "C=x=y", "D="], name => name == "A" ? "from here" : null, new StandardInput(cli))!;
        secrets.ShouldBe(new Dictionary<string, string> { ["A"] = "from here", ["B"] = "from a pipe", ["C"] = "x=y", ["D"] = "" }, ignoreOrder: true);
        JobSpec.Secrets([], _ => null, new StandardInput(cli)).ShouldBeNull();
    }

    [Fact]
    public void Lines_stay_whole_however_the_chunks_fall()
    {
        var text = Encoding.UTF8.GetBytes("first\n\nthird ä line\r\n" + new string('x', 70_000) + "\nend");
        var expected = Prefixed(text, text.Length);
        Encoding.UTF8.GetString(expected).ShouldStartWith("w | first\nw | \nw | third ä line\r\nw | xxx");
        Encoding.UTF8.GetString(expected).ShouldEndWith("x\nw | end\n");
        foreach (var size in (int[])[1, 2, 3, 7, 100, 65_536]) Lines(Prefixed(text, size)).ShouldBe(Lines(text), $"chunks of {size}");

        static byte[] Prefixed(byte[] text, int size)
        {
            using var target = new MemoryStream();
            var prefixer = new LinePrefixer(target, "w | "u8.ToArray());
            foreach (var chunk in text.Chunk(size)) prefixer.Write(chunk);
            prefixer.Flush();
            return target.ToArray();
        }

        // What was long enough to be cut is joined again; a cut is all that may differ.
        static string Lines(byte[] text) => Encoding.UTF8.GetString(text).Replace("w | ", "").Replace("x\nx", "xx").TrimEnd('\n');
    }

    [Fact]
    public void Nobodys_text_can_steer_the_terminal()
    {
        Text.Safe("a\u001b]0;x\u0007b\u009bc\nd\te").ShouldBe("a\uFFFD]0;x\uFFFDb\uFFFDc d e");
        Text.Safe("plain ä 漢").ShouldBe("plain ä 漢");
    }

    [Fact]
    public void A_command_line_reads_as_one_would_type_it() =>
        Text.CommandLine(["sh", "-c", "echo 'x'", ""]).ShouldBe("""sh -c 'echo '\''x'\''' ''""");

    [Fact]
    public void Timeouts_keep_their_order()
    {
        var timeouts = new ClientTimeouts();
        timeouts.Connect.ShouldBeLessThan(timeouts.Request);
        timeouts.Request.ShouldBeLessThan(timeouts.RepeatPost, "a lost answer must be asked for again at least once");
        timeouts.StreamIdle.ShouldBeGreaterThan(2 * TimeSpan.FromSeconds(15), "the server's comment comes every 15 s");
        timeouts.StreamIdle.ShouldBeLessThan(timeouts.GiveUp);
        timeouts.RetryMin.ShouldBeLessThan(timeouts.RetryMax);
        timeouts.RetryMax.ShouldBeLessThan(timeouts.GiveUp);
        timeouts.TellAfter.ShouldBeLessThan(timeouts.StreamIdle);
    }

    [Fact]
    public void The_first_signal_asks_the_second_insists_and_the_third_is_not_ours()
    {
        using var interrupts = new Interrupts();
        interrupts.Raise().ShouldBeTrue();
        (interrupts.First.IsCancellationRequested, interrupts.Second.IsCancellationRequested).ShouldBe((true, false));
        interrupts.Raise().ShouldBeTrue();
        interrupts.Second.IsCancellationRequested.ShouldBeTrue();
        interrupts.Raise().ShouldBeFalse();
    }
}
