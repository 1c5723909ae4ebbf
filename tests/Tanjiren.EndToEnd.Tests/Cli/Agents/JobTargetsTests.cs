using System.Globalization;

namespace Tanjiren.EndToEnd.Tests.Cli.Agents;

/// <summary>Acceptance 3: where a job runs, and whether its steps overlap, through the real command line, server and agents.</summary>
public sealed class JobTargetsTests(AgentsFixture fixture) : IClassFixture<AgentsFixture>
{
    /// <summary>A second step inside at the same time fails: mkdir is atomic.</summary>
    private const string Alone = """
        echo "start $TANJIREN_STEP_ID $(date +%s%N)" >> "$DIR/log"
        mkdir "$DIR/inside" || exit 9
        sleep 0.4
        rmdir "$DIR/inside"
        echo "end $TANJIREN_STEP_ID $(date +%s%N)" >> "$DIR/log"
        """;

    /// <summary>Each waits for the other: steps that do not overlap never end.</summary>
    private const string Together = """
        echo "start $TANJIREN_STEP_ID $(date +%s%N)" >> "$DIR/log"
        : > "$DIR/here-$TANJIREN_STEP_ID"
        while [ "$(ls "$DIR" | grep -c ^here-)" -lt 2 ]; do sleep 0.05; done
        echo "end $TANJIREN_STEP_ID $(date +%s%N)" >> "$DIR/log"
        """;

    [Fact]
    public async Task All_makes_one_step_on_each_machine_and_never_overlaps_them()
    {
        var directory = fixture.NewDirectory();
        var job = await fixture.JobAsync("--tag", "gpu", "--all", "--timeout", "60", "--env", $"DIR={directory}", "--shell", Alone);
        Machines(job).ShouldBe(fixture.Scene.Agents.Select(agent => agent.InstanceId).Order());
        var lines = Lines(directory);
        lines.Select(line => line.Word).ShouldBe(["start", "end", "start", "end"]);
        lines[0].Step.ShouldBe(lines[1].Step);
        lines[2].Step.ShouldBe(lines[3].Step);
        lines.Select(line => line.At).ShouldBeInOrder();
    }

    [Fact]
    public async Task Max_parallel_0_overlaps_them()
    {
        var directory = fixture.NewDirectory();
        var job = await fixture.JobAsync("--tag", "gpu", "--all", "--max-parallel", "0", "--timeout", "60", "--env", $"DIR={directory}", "--shell", Together);
        Machines(job).ShouldBe(fixture.Scene.Agents.Select(agent => agent.InstanceId).Order());
        var lines = Lines(directory);
        lines.Select(line => line.Word).ShouldBe(["start", "start", "end", "end"]);
        lines.Where(line => line.Word == "start").Max(line => line.At).ShouldBeLessThan(lines.Where(line => line.Word == "end").Min(line => line.At));
    }

    [Fact]
    public async Task Any_makes_one_step()
    {
        var directory = fixture.NewDirectory();
        var job = await fixture.JobAsync("--tag", "gpu", "--any", "--timeout", "60", "--env", $"DIR={directory}", "--shell", Alone);
        Machines(job).ShouldHaveSingleItem();
        Lines(directory).Select(line => line.Word).ShouldBe(["start", "end"]);
    }

    private static IEnumerable<string?> Machines(Protocol.TaskBody job) => job.Execution!.Steps.Select(step => step.InstanceId).Order();

    /// <summary>In the order in which they were appended; both agents are on one machine and have one clock.</summary>
    private static (string Word, string Step, long At)[] Lines(string directory) =>
        [.. File.ReadAllLines(Path.Combine(directory, "log")).Select(line => line.Split(' ')).Select(words => (words[0], words[1], long.Parse(words[2], CultureInfo.InvariantCulture)))];
}
