using System.Text.Json;
using System.Text.RegularExpressions;

using Tanjiren.Cli.Settings;
using Tanjiren.EndToEnd.Tests.Cli;
using Tanjiren.EndToEnd.Tests.Faults;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.SignIn;

/// <summary>A real agent whose sign-in is forgotten on its machine while the server knows nothing of it, as after an <c>auth logout</c> that could not reach it.</summary>
public sealed partial class SignedOutHereTests
{
    [Fact]
    public async Task It_takes_nothing_although_the_server_would_give_and_goes_on_when_the_sign_in_is_back()
    {
        Prerequisite.Linux();
        await using var server = await HostedServer.StartAsync();
        using var files = new TemporaryDirectory();
        using var admin = await server.SignedInAsync();
        using var cli = await server.SignedInAsync();
        await using var agent = RealProcess.Start("agent", ["agent", "run", "--home", files.File("agent")], [new("TANVRIT_HOME", cli.Home)]);
        var instance = (await agent.WaitForLineAsync(Registered(), FaultScene.StartLimit)).Groups["id"].Value;
        await Eventually.TrueAsync(async () => (await InstanceAsync(admin, instance)).Status == InstanceStatus.Online, () => agent.Log.Tail(), FaultScene.StartLimit);

        var file = new CredentialFile(new TanvritHome(cli.Home));
        var kept = file.Read();
        file.Write(kept.Without("local"));
        await agent.WaitForLineAsync(Gone(), FaultScene.StartLimit);
        await Eventually.TrueAsync(async () => (await InstanceAsync(admin, instance)).Draining, () => agent.Log.Tail(), FaultScene.StartLimit, "the server is told");
        (await InstanceAsync(admin, instance)).SignedOut.ShouldBeFalse("it has not heard of the sign-out");
        (await admin.InvokeAsync("jobs", "run", "--workstation", instance, "--detach", "--json", "--shell", "echo at last")).ShouldBe(0, admin.Error.Text);
        var job = JsonSerializer.Deserialize(admin.Output.Text, WireJson.Default.TaskBody)!.Id;
        await Eventually.TrueAsync(async () => await cli.InvokeAsync("agent", "status", "--home", files.File("agent")) == 0 && cli.Output.Text.Contains("is no longer on it", StringComparison.Ordinal),
            () => cli.Output.Text, FaultScene.StartLimit, "its status says so");
        (await StateAsync(admin, job)).ShouldBe(TaskState.Queued);

        file.Write(kept);

        await Eventually.TrueAsync(async () => await StateAsync(admin, job) == TaskState.Completed, () => agent.Log.Tail(), FaultScene.StartLimit, "the agent took the job");
        (await agent.TerminateAsync(FaultScene.StartLimit)).ShouldBe(0, agent.Log.Tail());
    }

    private static async Task<TaskState> StateAsync(CliRun cli, string id)
    {
        (await cli.InvokeAsync("jobs", "show", id, "--json")).ShouldBe(0, cli.Error.Text);
        return JsonSerializer.Deserialize(cli.Output.Text, WireJson.Default.TaskBody)!.State;
    }

    private static async Task<InstanceBody> InstanceAsync(CliRun cli, string id)
    {
        (await cli.InvokeAsync("workstations", "show", id, "--json")).ShouldBe(0, cli.Error.Text);
        return JsonSerializer.Deserialize(cli.Output.Text, WireJson.Default.InstanceBody)!;
    }

    [GeneratedRegex(@"workstation \S+ \((?<id>ws_\w+)\)", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Registered();

    [GeneratedRegex("Signed out: .* is no longer on it", RegexOptions.None, 1000)]
    private static partial Regex Gone();
}
