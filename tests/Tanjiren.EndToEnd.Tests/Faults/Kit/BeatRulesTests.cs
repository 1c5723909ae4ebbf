using System.Diagnostics;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Faults.Kit;

public sealed class BeatRulesTests
{
    [Fact]
    public void Two_processes_one_after_the_other_are_fine() => BeatRules.Overlaps(Beats("s1 p1 1", "s1 p1 1", "s2 p9 1", "s1 p2 2", "s2 p9 1", "s1 p2 2")).ShouldBeEmpty();

    [Fact]
    public void A_process_that_beats_again_after_the_next_began_is_seen() =>
        BeatRules.Overlaps(Beats("s1 p1 1", "s1 p2 2", "s1 p1 1", "s1 p2 2")).ShouldHaveSingleItem().ShouldContain("p1");

    [Fact]
    public void A_single_line_inside_another_process_is_seen() => BeatRules.Overlaps(Beats("s1 p1 1", "s1 p2 2", "s1 p1 1")).ShouldHaveSingleItem();

    [Fact]
    public void A_generation_started_twice_is_seen()
    {
        BeatRules.SharedGenerations([Start(1, "p1", 1), Start(2, "p2", 2)]).ShouldBeEmpty();
        BeatRules.SharedGenerations([Start(1, "p1", 1), Start(2, "p2", 1)]).ShouldHaveSingleItem();
    }

    [Fact]
    public void A_second_run_of_what_may_run_once_is_seen()
    {
        Beat[] beats = [Start(1, "p1", 1), Start(2, "p2", 2)];
        BeatRules.SecondRuns(beats, new HashSet<string>()).ShouldBeEmpty();
        BeatRules.SecondRuns(beats, new HashSet<string> { "s1" }).ShouldHaveSingleItem();
    }

    [Fact]
    public void A_success_needs_the_end_of_its_own_generation()
    {
        Beat[] beats = [Start(1, "p1", 1), new(2, BeatKind.End, "p1", "s1", 1, 0)];
        BeatRules.SuccessesWithoutEnd(beats, [Succeeded("s1", 2)]).ShouldBeEmpty();
        BeatRules.SuccessesWithoutEnd(beats, [Succeeded("s1", 4)]).ShouldHaveSingleItem();
        BeatRules.SuccessesWithoutEnd(beats, [Succeeded("s2", 2)]).ShouldHaveSingleItem();
    }

    /// <summary>The script is what all evidence comes from: run it as the agent would, twice, by the shell that it will meet.</summary>
    [Fact]
    public async Task The_job_writes_what_the_rules_read()
    {
        Prerequisite.Linux();
        using var directory = new TemporaryDirectory();
        var file = new BeatFile(directory.File("beats"));
        var job = file.Job(beats: 2, new TargetSpec(), leaseGraceSeconds: 1);
        for (var generation = 1; generation <= 2; generation++)
        {
            var start = new ProcessStartInfo("/bin/sh", ["-c", job.Command!.Shell!]) { UseShellExecute = false, RedirectStandardOutput = true };
            foreach (var (name, value) in job.Environment!)
                start.Environment[name] = value;
            (start.Environment["TANJIREN_STEP_ID"], start.Environment["TANJIREN_LEASE_GENERATION"]) = ("step_1", generation.ToString(System.Globalization.CultureInfo.InvariantCulture));
            using var process = Process.Start(start)!;
            using var output = new MemoryStream();
            await process.StandardOutput.BaseStream.CopyToAsync(output, TestContext.Current.CancellationToken);
            await process.WaitForExitAsync(TestContext.Current.CancellationToken);
            process.ExitCode.ShouldBe(0);
            // Two lines and 300 random bytes after each; the copy is what the stored output is held against.
            output.ToArray().Length.ShouldBe(2 * (7 + 300));
            output.ToArray().AsSpan(0, 7).SequenceEqual("beat 0\n"u8).ShouldBeTrue();
            output.ToArray().ShouldBe(file.OutputOf("step_1", generation));
        }
        var beats = file.Read();
        beats.Select(beat => beat.Kind).ShouldBe([BeatKind.Start, BeatKind.Beat, BeatKind.Beat, BeatKind.End, BeatKind.Start, BeatKind.Beat, BeatKind.Beat, BeatKind.End]);
        beats.Select(beat => beat.Process).Distinct().Count().ShouldBe(2);
        beats.Zip(beats.Skip(1)).ShouldAllBe(pair => pair.First.Uptime <= pair.Second.Uptime);
        BeatRules.Overlaps(beats).ShouldBeEmpty();
    }

    private static Beat[] Beats(params string[] lines) =>
        [.. lines.Select((line, i) => line.Split(' ') is [var step, var process, var generation] ? new Beat(i + 1, BeatKind.Beat, process, step, long.Parse(generation), i) : throw new FormatException(line))];

    private static Beat Start(int line, string process, long generation) => new(line, BeatKind.Start, process, "s1", generation, line);

    private static StepBody Succeeded(string id, long generation) => new()
    {
        Id = id, State = StepState.Succeeded, Outcome = StepOutcome.Succeeded, LeaseState = LeaseState.Released, LeaseGeneration = generation,
        Attempts = 1, LogBytes = 0, Truncated = false, LogsComplete = true,
    };
}
