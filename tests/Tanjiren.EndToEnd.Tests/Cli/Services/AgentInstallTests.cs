using Tanjiren.Agent;
using Tanjiren.Cli.Hosting;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Cli.Services;

/// <summary><c>agent install</c> and <c>uninstall</c> with a systemd that the test plays: what is written, what is run, and what is refused.</summary>
public sealed class AgentInstallTests : IDisposable
{
    private readonly CliRun cli = new();
    private readonly List<string> run = [];
    private string? failing;

    public AgentInstallTests()
    {
        cli.Variables["HOME"] = cli.Home;
        cli.Variables["PATH"] = Environment.GetEnvironmentVariable("PATH")!;
        cli.RunProgram = (command, _) =>
        {
            var line = string.Join(' ', command);
            run.Add(line);
            return Task.FromResult(line == failing ? new ProgramEnd(1, "", "Failed to connect to bus: No medium found\n") : new ProgramEnd(0, "", ""));
        };
    }

    private string Unit => Path.Combine(cli.Home, ".config", "systemd", "user", "tanvrit-compute-agent.service");

    private string Home => Path.Combine(cli.Home, "agents", "local");

    public void Dispose() => cli.Dispose();

    [Fact]
    public async Task It_writes_the_unit_starts_it_and_removes_both_again()
    {
        Prerequisite.Linux();
        Pair(Home);

        (await cli.InvokeAsync("agent", "install")).ShouldBe(0, cli.Error.Text);

        run.ShouldBe(["systemctl --user show-environment", "systemctl --user daemon-reload", "systemctl --user enable tanvrit-compute-agent.service", "systemctl --user restart tanvrit-compute-agent.service"]);
        (await File.ReadAllTextAsync(Unit, TestContext.Current.CancellationToken)).ShouldContain($"\"--home\" \"{Home}\"");
        if (!OperatingSystem.IsWindows()) File.GetUnixFileMode(Unit).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);
        cli.Error.Text.ShouldContain("loginctl enable-linger");
        Directory.GetFiles(Path.GetDirectoryName(Unit)!).ShouldHaveSingleItem();

        (await cli.InvokeAsync("agent", "install")).ShouldBe(0, "again is no error");
        run.Clear();
        (await cli.InvokeAsync("agent", "uninstall")).ShouldBe(0, cli.Error.Text);
        run.ShouldBe(["systemctl --user show-environment", "systemctl --user disable --now tanvrit-compute-agent.service", "systemctl --user daemon-reload"]);
        File.Exists(Unit).ShouldBeFalse();
        AgentIdentity.Load(Home).ShouldNotBeNull("the home stays");

        run.Clear();
        (await cli.InvokeAsync("agent", "uninstall")).ShouldBe(0);
        (run.Count, cli.Error.Text.Contains("no service is installed")).ShouldBe((0, true));
    }

    [Fact]
    public async Task Without_a_systemd_of_the_user_it_says_what_to_do_and_writes_nothing()
    {
        Prerequisite.Linux();
        Pair(Home);
        failing = "systemctl --user show-environment";
        (await cli.InvokeAsync("agent", "install")).ShouldBe(125);
        cli.Error.Text.ShouldStartWith("error: systemd does not answer for this user: Failed to connect to bus: No medium found\nhint: log in as the user");
        cli.Error.Text.ShouldContain("`tanvrit-compute agent run`");
        File.Exists(Unit).ShouldBeFalse();
    }

    [Fact]
    public async Task A_step_that_fails_is_named()
    {
        Prerequisite.Linux();
        Pair(Home);
        failing = "systemctl --user restart tanvrit-compute-agent.service";
        (await cli.InvokeAsync("agent", "install")).ShouldBe(125);
        cli.Error.Text.ShouldContain("error: `systemctl --user restart tanvrit-compute-agent.service` failed with 1: Failed to connect to bus");
    }

    [Fact]
    public async Task A_dry_run_shows_everything_and_does_nothing()
    {
        foreach (var manager in (string[])["systemd", "launchd", "windows"])
        {
            (await cli.InvokeAsync("agent", "install", "--dry-run", "--manager", manager)).ShouldBe(0, cli.Error.Text);
            cli.Output.Text.ShouldContain("tanvrit-compute");
            cli.Error.Text.ShouldContain("would write ");
            (await cli.InvokeAsync("agent", "uninstall", "--dry-run", "--manager", manager)).ShouldBe(0, cli.Error.Text);
        }
        run.ShouldBeEmpty();
        Directory.GetFileSystemEntries(cli.Home).ShouldBeEmpty();
    }

    [Fact]
    public async Task What_could_not_run_as_a_service_is_refused()
    {
        Prerequisite.Linux();
        (await cli.InvokeAsync("agent", "install")).ShouldBe(125);
        cli.Error.Text.ShouldContain("is not paired");
        (await cli.InvokeAsync("agent", "install", "--manager", "launchd")).ShouldBe(125);
        cli.Error.Text.ShouldContain("launchd is not the service manager of this system");

        Pair(Home);
        using (new AgentHome(Home).TryLock())
        {
            (await cli.InvokeAsync("agent", "install")).ShouldBe(125);
            cli.Error.Text.ShouldContain($"an agent runs on {Home} already");
        }

        (await cli.InvokeAsync("agent", "install")).ShouldBe(0, cli.Error.Text);
        var other = Path.Combine(cli.Home, "agents", "other");
        Pair(other);
        (await cli.InvokeAsync("agent", "install", "--workspace", "other")).ShouldBe(125);
        cli.Error.Text.ShouldContain("is the service of an agent with another home");
    }

    private static void Pair(string home) => AgentHome.Replace(new AgentHome(home).Identity, new AgentIdentity
    {
        ServerUrl = "https://far.example", InstanceId = "ws_1", InstanceName = "box", OrganizationId = "org_1", OrganizationName = "org", KeyFingerprint = "f", ServerKeys = [],
    }, AgentJson.Default.AgentIdentity, durable: false);
}
