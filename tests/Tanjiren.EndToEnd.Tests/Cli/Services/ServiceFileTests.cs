using System.Xml.Linq;
using Tanjiren.Cli;
using Tanjiren.Cli.Hosting;
using Tanjiren.Cli.Services;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Cli.Services;

/// <summary>The files that service managers read, down to the last character: a path that is quoted wrongly starts another program.</summary>
public sealed class ServiceFileTests
{
    private const string Unit = """
        # Written by `tanvrit-compute agent install`; `tanvrit-compute agent uninstall` removes it.
        [Unit]
        Description=Tanjiren agent (workspace local)
        StartLimitIntervalSec=0

        [Service]
        Type=notify
        NotifyAccess=main
        ExecStart="/opt/my tools/dotnet" "/opt/100%%/tanvrit-compute.dll" "agent" "run" "--workspace" "local" "--home" "/home/ann/a \"b\" \\ $$c"
        Environment="PATH=/usr/bin:/home/ann/100%%/bin"
        Environment="NO_PROXY=a,b c"
        WorkingDirectory=~
        # Nothing that it writes is for others to read.
        UMask=0077
        # Its loops show life at least every six minutes, with a server or without; stuck, it is ended and started again.
        WatchdogSec=10min
        WatchdogSignal=SIGKILL
        TimeoutStartSec=5min
        # SIGTERM drains: what runs is finished. What takes longer than this is killed, and reported by the next start.
        TimeoutStopSec=2min
        # Only the agent is told to stop, and its jobs finish. Once it has ended, however it did, what is left of its group is killed at once.
        KillMode=mixed
        Restart=always
        RestartSec=10
        # 2: a person must act (the key is revoked, another agent has this home); to start it again would only repeat it.
        RestartPreventExitStatus=2
        # Groups of its own for the jobs' limits; and a job that runs out of memory takes nobody with it.
        Delegate=cpu memory
        OOMPolicy=continue

        [Install]
        WantedBy=default.target

        """;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    private static AgentService Service => new()
    {
        Workspace = "local",
        Home = """/home/ann/a "b" \ $c""",
        Command = ["/opt/my tools/dotnet", "/opt/100%/tanvrit-compute.dll", "agent", "run", "--workspace", "local", "--home", """/home/ann/a "b" \ $c"""],
        Environment = [("PATH", "/usr/bin:/home/ann/100%/bin"), ("NO_PROXY", "a,b c")],
    };

    [Fact]
    public void A_systemd_unit_is_written_with_every_word_quoted()
    {
        var plan = SystemdUnit.Plan(Service, "/home/ann/.config", "ann");
        plan.Path.ShouldBe("/home/ann/.config/systemd/user/tanvrit-compute-agent.service");
        plan.Content.ShouldBe(Unit.ReplaceLineEndings("\n"));
        plan.Content.ShouldContain(plan.HomeMark);
        plan.Hints[0].ShouldContain("loginctl enable-linger ann");
        SystemdUnit.Plan(Service with { Home = "/home/ann/a", Command = [.. Service.Command.SkipLast(1), "/home/ann/a"] }, "/c", "ann").Content.ShouldNotContain(plan.HomeMark);
    }

    [Fact]
    public async Task Systemd_itself_finds_nothing_wrong_with_it()
    {
        Prerequisite.Linux();
        var analyze = Prerequisite.Program("systemd-analyze");
        using var directory = new TemporaryDirectory();
        var plan = SystemdUnit.Plan(Service with { Command = ["/bin/sh", .. Service.Command.Skip(1)] }, directory.Path, "ann");
        Directory.CreateDirectory(Path.GetDirectoryName(plan.Path)!);
        await File.WriteAllTextAsync(plan.Path, plan.Content, Ct);

        var end = await Programs.RunAsync([analyze, "verify", "--man=no", plan.Path], Ct);

        end.Error.Split('\n').Where(line => line.Contains(SystemdUnit.Name)).ShouldBeEmpty();
        end.Code.ShouldBe(0, end.Error);
    }

    [Fact]
    public void A_launch_agent_carries_the_same_words()
    {
        var plan = LaunchdAgent.Plan(Service, "/Users/ann");
        plan.Path.ShouldBe("/Users/ann/Library/LaunchAgents/com.tanvrit.compute.agent.plist");
        var keys = XDocument.Parse(plan.Content).Root!.Element("dict")!.Elements().Chunk(2).ToDictionary(pair => pair[0].Value, pair => pair[1]);
        keys["ProgramArguments"].Elements().Select(e => e.Value).ShouldBe(Service.Command);
        keys["EnvironmentVariables"].Elements().Select(e => e.Value).ShouldBe(["PATH", "/usr/bin:/home/ann/100%/bin", "NO_PROXY", "a,b c"]);
        (keys["Label"].Value, keys["RunAtLoad"].Name.LocalName, keys["AbandonProcessGroup"].Name.LocalName).ShouldBe((LaunchdAgent.Label, "true", "true"));
        plan.Content.ShouldContain(plan.HomeMark);
    }

    [Fact]
    public void A_task_of_Windows_carries_the_same_words_as_its_runtime_takes_them_apart()
    {
        var service = Service with { Home = """C:\Users\ann\my "home"\""", Command = [@"C:\tools\tanvrit-compute.exe", "agent", "run", "--home", """C:\Users\ann\my "home"\"""] };
        var plan = WindowsTask.Plan(service, @"C:\Users\ann\.tanvrit", "ann & co");
        XNamespace ns = "http://schemas.microsoft.com/windows/2004/02/mit/task";
        // The declaration says UTF-16, which a text in memory need not be told.
        var task = XDocument.Parse(plan.Content[plan.Content.IndexOf("<Task", StringComparison.Ordinal)..]).Root!;
        var exec = task.Element(ns + "Actions")!.Element(ns + "Exec")!;
        exec.Element(ns + "Command")!.Value.ShouldBe(@"C:\tools\tanvrit-compute.exe");
        exec.Element(ns + "Arguments")!.Value.ShouldBe("""
            "agent" "run" "--home" "C:\Users\ann\my \"home\"\\"
            """);
        task.Descendants(ns + "UserId").ShouldAllBe(id => id.Value == "ann & co");
        plan.IsUtf16.ShouldBeTrue();
        plan.Content.ShouldContain(plan.HomeMark);
    }

    [Fact]
    public void What_no_file_can_hold_is_refused()
    {
        var refused = Should.Throw<CliException>(() => AgentService.Of("local", "/home/a\nExecStartPre=/bin/evil", Variable));
        refused.Message.ShouldContain("control character");
        Should.Throw<CliException>(() => AgentService.Of("local", "/home/a", name => name == "NO_PROXY" ? "a\u0007" : Variable(name)));
    }

    [Fact]
    public void A_service_is_given_the_way_to_programs_and_to_the_server_and_no_credential()
    {
        var service = AgentService.Of("local", "/home/a", name => name is "TANVRIT_TOKEN" or "TANVRIT_HOME" or "HTTPS_PROXY" or "SECRET" ? name + "'s value" : Variable(name));
        service.Environment.Select(v => v.Name).ShouldBe(["PATH", "TANVRIT_HOME", "HTTPS_PROXY"]);
        Path.IsPathFullyQualified(service.Command[0]).ShouldBeTrue();
        service.Command.TakeLast(6).ShouldBe(["agent", "run", "--workspace", "local", "--home", "/home/a"]);
    }

    private static string? Variable(string name) => name == "PATH" ? Environment.GetEnvironmentVariable("PATH") : null;
}
