using System.Text.Json;
using System.Text.RegularExpressions;

using Tanjiren.EndToEnd.Tests.Cli;
using Tanjiren.EndToEnd.Tests.Faults;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.SignIn;

/// <summary>
/// Acceptance 5 with real processes: <c>auth logout</c> while a job runs on the machine. The job ends and is recorded, nothing new is taken, and the next
/// <c>auth login</c> with <c>agent run</c> brings the agent, which has been running all the time, back.
/// </summary>
public sealed partial class SignedOutJobTests
{
    [Fact]
    public async Task The_running_job_ends_and_is_recorded_nothing_new_is_taken_and_the_next_sign_in_goes_on()
    {
        Prerequisite.Linux();
        await using var server = await HostedServer.StartAsync();
        using var files = new TemporaryDirectory();
        using var cli = await server.SignedInAsync();
        var home = files.File("agent");
        var log = new ProcessLog("agent");
        await using var agent = RealProcess.Start("agent", ["agent", "run", "--home", home], [new("TANVRIT_HOME", cli.Home)], log);
        var instance = (await agent.WaitForLineAsync(Registered(), FaultScene.StartLimit)).Groups["id"].Value;
        await Eventually.TrueAsync(async () => (await InstanceAsync(cli, instance)).Status == InstanceStatus.Online, () => log.Tail(), FaultScene.StartLimit);

        var running = await JobAsync(cli, instance, $"echo began; while [ ! -e {files.File("go")} ]; do sleep 0.1; done; echo ended; exit 3");
        await Eventually.TrueAsync(async () => await OutputAsync(cli, running) == "began\n", () => log.Tail(), FaultScene.StartLimit, "the job runs");

        (await cli.InvokeAsync("auth", "logout")).ShouldBe(0, cli.Error.Text);
        await agent.WaitForLineAsync(SignedOut(), FaultScene.StartLimit);
        (await server.LoginAsync(cli, server.Person.ApproveAsync)).ShouldBe(0, cli.Error.Text);
        var waiting = await JobAsync(cli, instance, "echo at last");
        (await cli.InvokeAsync("agent", "status", "--home", home)).ShouldBe(0);
        cli.Output.Text.ShouldContain("tanvrit-compute auth login");
        await File.WriteAllTextAsync(files.File("go"), "", TestContext.Current.CancellationToken);

        await Eventually.TrueAsync(async () => (await TaskAsync(cli, running)).State == TaskState.Failed, () => log.Tail(), FaultScene.StartLimit, "the job has ended");
        var step = (await TaskAsync(cli, running)).Execution!.Steps.Single();
        (step.Outcome, step.ExitCode).ShouldBe((StepOutcome.Failed, 3));
        await Eventually.TrueAsync(async () => await OutputAsync(cli, running) == "began\nended\n", () => log.Tail(), FaultScene.StartLimit, "all of its output is there");
        (await TaskAsync(cli, waiting)).State.ShouldBe(TaskState.Queued);
        (await InstanceAsync(cli, instance)).SignedOut.ShouldBeTrue();

        // The agent holds its home; this run registers the machine under the new sign-in and says that one is there already.
        var again = RealProcess.Start("second run", ["agent", "run", "--home", home], [new("TANVRIT_HOME", cli.Home)]);
        await using (again)
        {
            await Eventually.TrueAsync(() => again.HasExited, () => again.Log.Tail(), FaultScene.StartLimit);
            again.ExitCode.ShouldBe(2, again.Log.Tail());
        }
        (await InstanceAsync(cli, instance)).SignedOut.ShouldBeFalse();
        // It asks once a minute.
        await Eventually.TrueAsync(async () => (await TaskAsync(cli, waiting)).State == TaskState.Completed, () => log.Tail(), TimeSpan.FromSeconds(150), "the agent took the job");
        (await OutputAsync(cli, waiting)).ShouldBe("at last\n");
        agent.HasExited.ShouldBeFalse();
        (await agent.TerminateAsync(FaultScene.StartLimit)).ShouldBe(0, log.Tail());

        // A machine that starts after its person's sign-in has ended starts all the same: it is bound by its own key.
        (await cli.InvokeAsync("auth", "grants", "-o", "id")).ShouldBe(0);
        (await cli.InvokeAsync("auth", "revoke", cli.Output.Text.Split('\n', StringSplitOptions.RemoveEmptyEntries)[^1])).ShouldBe(0, cli.Error.Text);
        await using var bound = RealProcess.Start("bound agent", ["agent", "run", "--home", home], [new("TANVRIT_HOME", cli.Home)]);
        await bound.WaitForLineAsync(StartsAnyway(), FaultScene.StartLimit);
        await bound.WaitForLineAsync(SignedOut(), FaultScene.StartLimit);
    }

    private static async Task<string> JobAsync(CliRun cli, string instance, string shell)
    {
        (await cli.InvokeAsync("jobs", "run", "--workstation", instance, "--detach", "--json", "--shell", shell)).ShouldBe(0, cli.Error.Text);
        return JsonSerializer.Deserialize(cli.Output.Text, WireJson.Default.TaskBody)!.Id;
    }

    private static async Task<TaskBody> TaskAsync(CliRun cli, string id)
    {
        (await cli.InvokeAsync("jobs", "show", id, "--json")).ShouldBe(0, cli.Error.Text);
        return JsonSerializer.Deserialize(cli.Output.Text, WireJson.Default.TaskBody)!;
    }

    private static async Task<string> OutputAsync(CliRun cli, string id)
    {
        (await cli.InvokeAsync("jobs", "logs", id)).ShouldBe(0, cli.Error.Text);
        return cli.Output.Text;
    }

    private static async Task<InstanceBody> InstanceAsync(CliRun cli, string id)
    {
        (await cli.InvokeAsync("workstations", "show", id, "--json")).ShouldBe(0, cli.Error.Text);
        return JsonSerializer.Deserialize(cli.Output.Text, WireJson.Default.InstanceBody)!;
    }

    [GeneratedRegex(@"^.*workstation \S+ \((?<id>ws_\w+)\)", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Registered();

    [GeneratedRegex("starting with the key that is here", RegexOptions.None, 1000)]
    private static partial Regex StartsAnyway();

    [GeneratedRegex("Signed out: ", RegexOptions.None, 1000)]
    private static partial Regex SignedOut();
}
