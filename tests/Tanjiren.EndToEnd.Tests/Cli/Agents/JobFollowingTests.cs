using System.Security.Cryptography;
using System.Text.RegularExpressions;
using Tanjiren.EndToEnd.Tests.Faults;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Cli.Agents;

/// <summary>What a person at a terminal relies on while a job runs: nothing of it is lost, Ctrl-C ends it, and an agent that is asked to stop hands over properly.</summary>
public sealed partial class JobFollowingTests(AgentsFixture fixture) : IClassFixture<AgentsFixture>
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(3);

    private FaultScene Scene => fixture.Scene;

    [Fact]
    public async Task Output_is_whole_and_in_order_across_a_killed_and_restarted_server()
    {
        const string Script = """
            write() { i=0; while [ "$i" -lt 20 ]; do head -c 3000 /dev/urandom | tee -a "$DIR/written"; sleep 0.02; i=$((i + 1)); done; }
            write
            : > "$DIR/half"
            while [ ! -e "$DIR/go" ]; do sleep 0.05; done
            write
            : > "$DIR/whole"
            exit 5
            """;
        var directory = fixture.NewDirectory();
        await using var cli = fixture.Run("jobs", "run", "--tag", "gpu", "--any", "--timeout", "120", "--env", $"DIR={directory}", "--shell", Script);
        await Eventually.TrueAsync(() => File.Exists(Path.Combine(directory, "half")) && cli.Output.Bytes.Length > 0, Describe(cli), Limit, "the job is half way, and some of its output is here");

        await Scene.Server.KillAsync();
        File.Create(Path.Combine(directory, "go")).Dispose();
        await Eventually.TrueAsync(() => File.Exists(Path.Combine(directory, "whole")), Describe(cli), Limit, "the job goes on without the server");
        await Scene.Server.StartAgainAsync();

        (await cli.EndAsync()).ShouldBe(5, Describe(cli)());
        var written = await File.ReadAllBytesAsync(Path.Combine(directory, "written"), TestContext.Current.CancellationToken);
        written.Length.ShouldBe(2 * 20 * 3000);
        Convert.ToHexStringLower(SHA256.HashData(cli.Output.Bytes)).ShouldBe(Convert.ToHexStringLower(SHA256.HashData(written)), $"{cli.Output.Bytes.Length} bytes, {cli.Error.Text}");
    }

    [Fact]
    public async Task Ctrl_C_cancels_the_job()
    {
        var directory = fixture.NewDirectory();
        await using var cli = fixture.Run("jobs", "run", "--tag", "gpu", "--any", "--env", $"DIR={directory}", "--shell", "echo begun; sleep 1000 & wait");
        await Eventually.TrueAsync(() => cli.Output.Text == "begun\n", Describe(cli), Limit, "the job has begun");
        cli.Interrupt();
        (await cli.EndAsync()).ShouldBe(130, Describe(cli)());

        var task = await Scene.Workspace.TaskAsync(TaskId().Match(cli.Error.Text).Value);
        (task.State, task.Execution!.Steps[0].State).ShouldBe((TaskState.Cancelled, StepState.Cancelled));
        JobProcesses.Of(directory).ShouldBeEmpty();
    }

    [Fact]
    public async Task An_agent_that_is_terminated_finishes_what_runs_and_hands_back_what_never_started()
    {
        var directory = fixture.NewDirectory();
        var (leaving, staying) = (Scene.Agents[0], Scene.Agents[1]);
        var away = staying.Proxy.Partition(FaultKind.Stall);
        await using var running = fixture.Run("jobs", "run", "--workstation", leaving.Name, "--env", $"DIR={directory}", "--shell",
            "echo begun; while [ ! -e \"$DIR/go\" ]; do sleep 0.05; done; echo finished");
        await Eventually.TrueAsync(() => running.Output.Text == "begun\n", Describe(running), Limit, "the first job runs");

        // The second job's claim is granted, its answer is lost, and the repeat is under way when the agent is told to stop.
        leaving.Proxy.Inject(FaultKind.LoseResponse, "POST", "/api/steps/*/claim", times: 1);
        var repeat = leaving.Proxy.Inject(FaultKind.Stall, "POST", "/api/steps/*/claim", times: 1);
        await using var handedOn = fixture.Run("jobs", "run", "--tag", "gpu", "--any", "--env", $"DIR={directory}", "--shell",
            "echo \"generation $TANJIREN_LEASE_GENERATION\"; echo started >> \"$DIR/starts\"");
        await repeat.FirstHit.WaitAsync(Limit, TimeProvider.System, TestContext.Current.CancellationToken);
        var ending = leaving.Process.TerminateAsync(Limit * 2);
        await Eventually.TrueAsync(() => leaving.Log.Find(Draining()) is not null, Describe(handedOn), Limit, "the agent drains");
        repeat.Lift();

        await Eventually.TrueAsync(() => leaving.Proxy.Exchanges.Any(exchange => exchange.Path.EndsWith("/release", StringComparison.Ordinal) && exchange.Status == 200),
            Describe(handedOn), Limit, "the step that never started is given back");
        away.Lift();
        (await handedOn.EndAsync()).ShouldBe(0, Describe(handedOn)());
        // Claimed, given back, claimed: and the first claim never ran.
        handedOn.Output.Text.ShouldBe("generation 3\n");
        (await File.ReadAllLinesAsync(Path.Combine(directory, "starts"), TestContext.Current.CancellationToken)).ShouldHaveSingleItem();

        running.HasExited.ShouldBeFalse();
        ending.IsCompleted.ShouldBeFalse("the agent waits for what runs");
        await File.Create(Path.Combine(directory, "go")).DisposeAsync();
        (await running.EndAsync()).ShouldBe(0, Describe(running)());
        running.Output.Text.ShouldBe("begun\nfinished\n");
        (await ending).ShouldBe(0, leaving.Log.Tail());
        await leaving.StartAgainAsync();
    }

    private Func<string> Describe(CliProcess cli) => () => $"{cli.Describe()}{Environment.NewLine}{Scene.Evidence()}";

    [GeneratedRegex("task_[0-9a-z]+", RegexOptions.IgnoreCase, 1000)]
    private static partial Regex TaskId();

    [GeneratedRegex("Draining: ", RegexOptions.None, 1000)]
    private static partial Regex Draining();
}
