using System.Text.Json;
using System.Text.RegularExpressions;

using Tanjiren.EndToEnd.Tests.Cli;
using Tanjiren.EndToEnd.Tests.Faults;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.SignIn;

/// <summary>Real processes beside a real gnome-keyring (A-04): what lies there, what lies in no file, and what is left after <c>auth logout</c> with a running agent.</summary>
public sealed partial class GnomeKeyringTests
{
    private static readonly string[] Tokens = ["tnv_", "tnr_"];

    [Fact]
    public async Task Sign_in_and_key_lie_there_and_after_the_logout_the_agent_finishes_and_takes_nothing()
    {
        await using var keyring = await KeyringSession.StartAsync();
        await using var server = await HostedServer.StartAsync();
        using var admin = await server.SignedInAsync();
        (await keyring.SearchAsync()).ShouldNotContain("com.tanvrit.compute.cli");

        await LoginAsync(keyring, server, "required");
        (await keyring.SearchAsync()).ShouldContain("sign-in.");
        KeyringSession.FilesWith(keyring.Home, Tokens).ShouldBeEmpty();
        var (exit, token) = await keyring.RunAsync("required", "auth", "print-token");
        (exit, token.Contains(" out  tnv_", StringComparison.Ordinal)).ShouldBe((0, true), token);

        var home = keyring.File("agent");
        await using var agent = keyring.Start("required", "agent", "run", "--home", home);
        var instance = (await agent.WaitForLineAsync(Registered(), FaultScene.StartLimit)).Groups["id"].Value;
        await Eventually.TrueAsync(async () => (await InstanceAsync(admin, instance)).Status == InstanceStatus.Online, () => agent.Log.Tail(), FaultScene.StartLimit);
        (await keyring.SearchAsync()).ShouldContain("agent-key.");
        KeyringSession.FilesWith(home, "PRIVATE KEY").ShouldBeEmpty();
        KeyringSession.FilesWith(keyring.Home, Tokens).ShouldBeEmpty();

        var running = await JobAsync(admin, instance, $"echo began; while [ ! -e {keyring.File("go")} ]; do sleep 0.1; done; echo ended");
        await Eventually.TrueAsync(async () => await OutputAsync(admin, running) == "began\n", () => agent.Log.Tail(), FaultScene.StartLimit, "the job runs");
        var (code, said) = await keyring.RunAsync("required", "auth", "logout");
        code.ShouldBe(0, said);
        (await keyring.SearchAsync()).ShouldNotContain("sign-in.");
        await agent.WaitForLineAsync(SignedOut(), FaultScene.StartLimit);

        var waiting = await JobAsync(admin, instance, "echo never");
        await File.WriteAllTextAsync(keyring.File("go"), "", TestContext.Current.CancellationToken);
        await Eventually.TrueAsync(async () => (await TaskAsync(admin, running)).State == TaskState.Completed, () => agent.Log.Tail(), FaultScene.StartLimit, "the job has ended");
        await Eventually.TrueAsync(async () => await OutputAsync(admin, running) == "began\nended\n", () => agent.Log.Tail(), FaultScene.StartLimit, "all of its output is there");
        (await TaskAsync(admin, waiting)).State.ShouldBe(TaskState.Queued);
        var shown = (Code: -1, Said: "");
        await Eventually.TrueAsync(async () => (shown = await keyring.RunAsync("required", "agent", "status", "--home", home)) is (0, var text) && text.Contains("Signed out: ", StringComparison.Ordinal),
            () => shown.Said, FaultScene.StartLimit, "its status says so");
        (await agent.TerminateAsync(FaultScene.StartLimit)).ShouldBe(0, agent.Log.Tail());
    }

    [Fact]
    public async Task An_entry_that_somebody_deletes_is_missed_by_the_running_agent_and_a_locked_one_is_not()
    {
        await using var keyring = await KeyringSession.StartAsync();
        await using var server = await HostedServer.StartAsync();
        using var admin = await server.SignedInAsync();
        await LoginAsync(keyring, server, "required");
        await using var agent = keyring.Start("required", "agent", "run", "--home", keyring.File("agent"));
        var instance = (await agent.WaitForLineAsync(Registered(), FaultScene.StartLimit)).Groups["id"].Value;
        var entry = Account().Matches(await keyring.SearchAsync()).Select(match => match.Value).First(name => name.StartsWith("sign-in.", StringComparison.Ordinal));

        await keyring.LockAsync();
        var first = await JobAsync(admin, instance, "sleep 6; echo locked"); // longer than the pause between two looks
        await Eventually.TrueAsync(async () => (await TaskAsync(admin, first)).State == TaskState.Completed, () => agent.Log.Tail(), FaultScene.StartLimit, "a job has run");
        agent.Log.Find(SignedOut()).ShouldBeNull(agent.Log.Tail());
        await keyring.UnlockAsync();

        await keyring.DeleteAsync(entry);
        await agent.WaitForLineAsync(NoLongerThere(), FaultScene.StartLimit);
        await Eventually.TrueAsync(async () => (await InstanceAsync(admin, instance)).Draining, () => agent.Log.Tail(), FaultScene.StartLimit, "the server is told");
        var next = await JobAsync(admin, instance, "echo back");
        (await TaskAsync(admin, next)).State.ShouldBe(TaskState.Queued);

        await LoginAsync(keyring, server, "required");
        await Eventually.TrueAsync(async () => (await TaskAsync(admin, next)).State == TaskState.Completed, () => agent.Log.Tail(), FaultScene.StartLimit, "the agent goes on");
        (await agent.TerminateAsync(FaultScene.StartLimit)).ShouldBe(0, agent.Log.Tail());
    }

    [Fact]
    public async Task Commands_at_once_renew_one_after_another()
    {
        await using var keyring = await KeyringSession.StartAsync();
        // Two seconds are less than the slack, so every command renews.
        await using var server = await HostedServer.StartAsync(accessTokenSeconds: 2);
        await LoginAsync(keyring, server, "auto");
        var all = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => keyring.RunAsync("auto", "auth", "whoami")));
        all.ShouldAllBe(one => one.Code == 0, string.Join('\n', all.Select(one => one.Printed)));
        Entries(await keyring.SearchAsync()).ShouldBe(1);
        KeyringSession.FilesWith(keyring.Home, Tokens).ShouldBeEmpty();
    }

    [Fact]
    public async Task What_lies_in_files_moves_in_when_the_agent_starts()
    {
        await using var keyring = await KeyringSession.StartAsync();
        await using var server = await HostedServer.StartAsync();
        await LoginAsync(keyring, server, "file");
        KeyringSession.FilesWith(keyring.Home, Tokens).ShouldNotBeEmpty();
        var home = keyring.File("agent");
        var first = keyring.Start("file", "agent", "run", "--home", home);
        await using (first)
        {
            await first.WaitForLineAsync(Runs(), FaultScene.StartLimit);
            (await first.TerminateAsync(FaultScene.StartLimit)).ShouldBe(0, first.Log.Tail());
        }
        KeyringSession.FilesWith(home, "PRIVATE KEY").ShouldNotBeEmpty();

        await using var second = keyring.Start("auto", "agent", "run", "--home", home);
        await second.WaitForLineAsync(Runs(), FaultScene.StartLimit);

        KeyringSession.FilesWith(home, "PRIVATE KEY").ShouldBeEmpty();
        KeyringSession.FilesWith(keyring.Home, Tokens).ShouldBeEmpty();
        var found = await keyring.SearchAsync();
        (Entries(found), found.Contains("agent-key.", StringComparison.Ordinal), found.Contains("sign-in.", StringComparison.Ordinal)).ShouldBe((2, true, true), found);
        (await second.TerminateAsync(FaultScene.StartLimit)).ShouldBe(0, second.Log.Tail());
    }

    [Fact]
    public async Task A_keyring_that_nobody_unlocks_holds_nobody_up()
    {
        await using var keyring = await KeyringSession.StartAsync(unlocked: false);
        await using var server = await HostedServer.StartAsync();
        (await LoginAsync(keyring, server, "auto")).ShouldContain("warning: no keychain answers (");
        KeyringSession.FilesWith(keyring.Home, Tokens).ShouldNotBeEmpty();
        var (code, printed) = await keyring.RunAsync("auto", "auth", "whoami");
        code.ShouldBe(0, printed);
    }

    private static async Task<string> LoginAsync(KeyringSession keyring, HostedServer server, string keychain)
    {
        await using var login = keyring.Start(keychain, "auth", "login", "--server", server.Url, "--no-browser");
        var page = (await login.WaitForLineAsync(Page(), FaultScene.StartLimit)).Groups["page"].Value;
        await server.Person.ApproveAsync(page);
        await Eventually.TrueAsync(() => login.HasExited, () => login.Log.Tail(), FaultScene.StartLimit, "the sign-in has ended");
        (await login.TerminateAsync()).ShouldBe(0, login.Log.Tail());
        return login.Log.Tail();
    }

    private static int Entries(string found) => Account().Matches(found).Select(match => match.Value).Distinct().Count();

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

    [GeneratedRegex(@"(?<page>http://[0-9.:]+/device\?user_code=[A-Z]{4}-[A-Z]{4})", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Page();

    [GeneratedRegex(@"workstation \S+ \((?<id>ws_\w+)\)", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Registered();

    [GeneratedRegex(@"Agent of '.*' runs", RegexOptions.None, 1000)]
    private static partial Regex Runs();

    [GeneratedRegex("Signed out: ", RegexOptions.None, 1000)]
    private static partial Regex SignedOut();

    [GeneratedRegex(@"Signed out: .* is no longer in the keyring \(libsecret\)\.", RegexOptions.None, 1000)]
    private static partial Regex NoLongerThere();

    [GeneratedRegex(@"(sign-in|agent-key)\.[A-Za-z0-9_-]+", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Account();
}
