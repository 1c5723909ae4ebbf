using System.Text.RegularExpressions;
using Tanjiren.EndToEnd.Tests.Faults;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Cli.Agents;

/// <summary><c>agent run</c> as a person starts it on a machine of their own: signed in, not paired; and how it stops.</summary>
public sealed partial class AgentRunTests(AgentsFixture fixture) : IClassFixture<AgentsFixture>
{
    private FaultScene Scene => fixture.Scene;

    [Fact]
    public async Task The_same_machine_stays_the_same_workstation_by_name_and_by_address()
    {
        var variables = await SignedInAsync();
        var url = Scene.Server.Url.GetLeftPart(UriPartial.Authority);
        var ids = new List<string>();
        foreach (var workspace in (string[])["home", url, "home"])
        {
            await using var agent = RealProcess.Start("agent", ["agent", "run", "--workspace", workspace], variables);
            ids.Add((await agent.WaitForLineAsync(Registered(), FaultScene.StartLimit)).Groups["id"].Value);
            await agent.WaitForLineAsync(SessionOpen(), FaultScene.StartLimit);
            (await agent.TerminateAsync()).ShouldBe(0, agent.Log.Tail());
        }
        ids.Distinct().Count().ShouldBe(1);
    }

    [Fact]
    public async Task The_first_SIGTERM_lets_a_job_run_on_and_the_second_kills_it()
    {
        var variables = await SignedInAsync();
        var directory = fixture.NewDirectory();
        await using var agent = RealProcess.Start("agent", ["agent", "run", "--workspace", "home"], variables);
        var id = (await agent.WaitForLineAsync(Registered(), FaultScene.StartLimit)).Groups["id"].Value;
        await agent.WaitForLineAsync(SessionOpen(), FaultScene.StartLimit);
        var task = await Scene.Workspace.CreateTaskAsync(new CreateTaskRequest
        {
            Command = new CommandSpec { Shell = "while :; do echo beat >> \"$DIR/beats\"; sleep 0.1; done" },
            Environment = new Dictionary<string, string> { ["DIR"] = directory },
            Targets = new TargetSpec { Workstations = [id] },
        });
        int Beats() => File.Exists(Path.Combine(directory, "beats")) ? File.ReadAllLines(Path.Combine(directory, "beats")).Length : 0;
        await Eventually.TrueAsync(() => Beats() > 2, () => agent.Log.Tail(), FaultScene.StartLimit, "the job beats");

        agent.Terminate();
        await agent.WaitForLineAsync(Draining(), FaultScene.StartLimit);
        var before = Beats();
        await Eventually.TrueAsync(() => Beats() > before + 5, () => agent.Log.Tail(), FaultScene.StartLimit, "the job beats on while the agent drains");
        agent.HasExited.ShouldBeFalse();

        (await agent.TerminateAsync()).ShouldBe(130, agent.Log.Tail());
        JobProcesses.Of(directory).ShouldBeEmpty();
        (await Scene.EndAsync(task.Id)).State.ShouldBe(StepState.Failed);
    }

    [Fact]
    public async Task What_agent_yaml_says_is_announced_and_the_command_line_wins_over_it()
    {
        var variables = await SignedInAsync();
        await File.WriteAllTextAsync(Path.Combine(variables["TANVRIT_HOME"]!, "agent.yaml"),
            "limits: { cpu: 0.5, memoryMb: 64 }\nmaxConcurrent: 3\nlabels: { room: cellar, rack: 7 }\n", TestContext.Current.CancellationToken);
        await using var agent = RealProcess.Start("agent", ["agent", "run", "--workspace", "home", "--label", "room=attic"], variables);
        var id = (await agent.WaitForLineAsync(Registered(), FaultScene.StartLimit)).Groups["id"].Value;
        await Eventually.TrueAsync(async () => (await Scene.Workspace.InstanceAsync(id)).Labels.ContainsKey("room"), () => agent.Log.Tail(), FaultScene.StartLimit, "the first heartbeat");

        var machine = await Scene.Workspace.InstanceAsync(id);
        (machine.Labels["cpuCount"], machine.Labels["memoryMb"], machine.Labels["room"], machine.Labels["rack"], machine.MaxConcurrent).ShouldBe(("0.5", "64", "attic", "7", 3));
        (await agent.TerminateAsync()).ShouldBe(0, agent.Log.Tail());
    }

    /// <summary>A home in which somebody has signed in, under the name <c>home</c>; the agent's own directory is in it too.</summary>
    private async Task<Dictionary<string, string?>> SignedInAsync()
    {
        var variables = new Dictionary<string, string?> { ["TANVRIT_HOME"] = fixture.NewDirectory() };
        await using var login = RealProcess.Start("login",
            ["auth", "login", "--server", Scene.Server.Url.GetLeftPart(UriPartial.Authority), "--token", Scene.Workspace.Token, "--workspace", "home"], variables);
        await Eventually.TrueAsync(() => login.HasExited, () => login.Log.Tail(), FaultScene.StartLimit, "signed in");
        login.ExitCode.ShouldBe(0, login.Log.Tail());
        return variables;
    }

    [GeneratedRegex("workstation .* \\((?<id>ws_[0-9a-z]+)\\) of", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Registered();

    [GeneratedRegex("Session ses_.* is open", RegexOptions.None, 1000)]
    private static partial Regex SessionOpen();

    [GeneratedRegex("Draining", RegexOptions.None, 1000)]
    private static partial Regex Draining();
}
