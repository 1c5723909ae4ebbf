using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Tanjiren.Agent;
using Tanjiren.Agent.Keys;
using Tanjiren.Cli;
using Tanjiren.Cli.Commands.Doctor;
using Tanjiren.Cli.Settings;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Cli;

/// <summary>Each trouble is found and named with its next step; none keeps the other checks from their answers.</summary>
public sealed class DoctorTests : IAsyncLifetime
{
    private readonly CliRun cli = new();
    private FakeControlPlane server = null!;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        server = await FakeControlPlane.StartAsync();
        server.On("GET", "/healthz", (context, _) => context.Response.WriteAsync("alive"));
        server.On("GET", "/api/status", new StatusBody { Version = "9.9.9+abc", Database = "sqlite", ServerTime = Wire.Noon, Loops = [] });
        cli.SignedIn(server);
        cli.Variables["HOME"] = cli.Home;
    }

    public async ValueTask DisposeAsync()
    {
        await server.DisposeAsync();
        cli.Dispose();
    }

    [Fact]
    public async Task A_machine_that_is_signed_in_and_not_paired_has_no_problem()
    {
        var report = await ReportAsync(exit: 0);
        report.Problems.ShouldBe(0);
        report.Findings.Select(f => f.Check).ShouldBe(["server", "clock", "proxy", "long-poll", "sign-in", "agent", "key", "keychain", "cgroup", "coding agents", "disk"]);
        Of(report, "server").ShouldSatisfyAllConditions(f => f.Verdict.ShouldBe(Verdict.Ok), f => f.Message.ShouldContain("answers in"));
        Of(report, "clock").Verdict.ShouldBe(Verdict.Ok);
        Of(report, "sign-in").Message.ShouldContain("the server has version 9.9.9, this program ");
        Of(report, "agent").ShouldSatisfyAllConditions(f => f.Verdict.ShouldBe(Verdict.Warning), f => f.Advice!.ShouldContain("agent pair"));
        report.Findings.Where(f => f.Verdict != Verdict.Ok).ShouldAllBe(f => !string.IsNullOrEmpty(f.Advice), "whoever is told of something is told what to do");
    }

    [Fact]
    public async Task People_read_a_line_for_each_check_and_the_next_step_below_it()
    {
        (await cli.InvokeAsync("doctor")).ShouldBe(0, cli.Error.Text);
        var lines = cli.Output.Text.Split('\n');
        lines[0].ShouldStartWith("CHECK");
        lines.ShouldContain(l => l.StartsWith("server ", StringComparison.Ordinal) && l.Contains(" ok "));
        var agent = Array.FindIndex(lines, l => l.StartsWith("agent ", StringComparison.Ordinal) && l.Contains(" warning "));
        lines[agent + 1].Trim().ShouldStartWith("-> run `tanvrit-compute agent run`");
    }

    [Theory]
    [InlineData(-120, true, "ahead of")]
    [InlineData(120, true, "behind")]
    [InlineData(12, false, "behind")]
    public async Task A_clock_that_is_off_is_measured_by_the_servers_date(int serverAheadSeconds, bool isProblem, string direction)
    {
        server.On("GET", "/healthz", (context, _) =>
        {
            context.Response.Headers.Date = TimeProvider.System.GetUtcNow().AddSeconds(serverAheadSeconds).ToString("R", CultureInfo.InvariantCulture);
            return context.Response.WriteAsync("alive");
        });

        var clock = Of(await ReportAsync(exit: isProblem ? 1 : 0), "clock");

        (clock.Verdict, clock.Message.Contains(direction)).ShouldBe((isProblem ? Verdict.Problem : Verdict.Warning, true), clock.Message);
        clock.Advice!.ShouldContain("NTP");
    }

    [Fact]
    public void The_offset_is_reckoned_from_the_middle_of_the_round_trip()
    {
        var sent = new DateTimeOffset(2026, 11, 22, 12, 0, 10, TimeSpan.Zero);
        // The server was asked at :12 by our clock, and said :02, which stands for 02.0 to 02.999.
        ClockCheck.Offset(sent, TimeSpan.FromSeconds(4), sent.AddSeconds(-8)).ShouldBe(TimeSpan.FromSeconds(9.5));
    }

    [Fact]
    public async Task A_closed_port_is_a_problem_and_everything_else_is_looked_at_all_the_same()
    {
        int port;
        using (var probe = new TcpListener(IPAddress.Loopback, 0))
        {
            probe.Start();
            port = ((IPEndPoint)probe.LocalEndpoint).Port;
        }

        var report = await ReportAsync(exit: 1, "--server", $"http://127.0.0.1:{port}");

        Of(report, "server").ShouldSatisfyAllConditions(
            f => f.Verdict.ShouldBe(Verdict.Problem), f => f.Message.ShouldContain($"port {port} of 127.0.0.1 takes no connection"), f => f.Advice!.ShouldContain("server runs"));
        Of(report, "disk").Verdict.ShouldNotBe(Verdict.Problem);
        report.Findings.Count.ShouldBe(11);
    }

    [Fact]
    public async Task Something_else_at_the_address_is_told_from_a_server()
    {
        server.On("GET", "/healthz", (context, _) => context.Response.WriteAsync("<html>Sign in to the hotel's network</html>"));
        Of(await ReportAsync(exit: 1), "server").Message.ShouldContain("not as a Tanjiren server");
    }

    [Fact]
    public async Task A_server_that_does_not_answer_takes_no_longer_than_its_time()
    {
        cli.Timeouts = cli.Timeouts with { DoctorCheck = TimeSpan.FromSeconds(5) };
        server.On("GET", "/healthz", (context, _) => Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, context.RequestAborted));
        var began = Stopwatch.GetTimestamp();

        var report = await ReportAsync(exit: 1);

        Stopwatch.GetElapsedTime(began).ShouldBeLessThan(TimeSpan.FromSeconds(60));
        (Of(report, "server").Verdict, Of(report, "clock").Verdict).ShouldBe((Verdict.Problem, Verdict.Warning));
        Of(report, "server").Message.ShouldContain("within 5 s");
        Of(report, "sign-in").Verdict.ShouldBe(Verdict.Ok);
    }

    [Fact]
    public async Task A_check_that_throws_or_hangs_without_heed_is_a_finding_of_its_own()
    {
        using var context = new CliContext(Stream.Null, Stream.Null, TextReader.Null) { Variable = name => cli.Variables.GetValueOrDefault(name) };
        using var scene = DoctorScene.Of(context, Path.Combine(cli.Home, "agents", "local"), new ServerFlags(null, null, true));
        var never = new TaskCompletionSource<Finding>();

        var findings = await DoctorCommand.ExamineAsync(
        [
            new DoctorCheck("throws", Verdict.Warning, (_, _) => throw new InvalidOperationException("the reason")),
            new DoctorCheck("hangs", Verdict.Problem, (_, _) => never.Task),
            new DoctorCheck("answers", Verdict.Problem, (_, _) => Task.FromResult(Finding.Ok("answers", "well"))),
        ], scene, TimeSpan.FromSeconds(3), Ct);

        findings.Select(f => (f.Check, f.Verdict)).ShouldBe([("throws", Verdict.Warning), ("hangs", Verdict.Problem), ("answers", Verdict.Ok)]);
        findings[0].Message.ShouldContain("the reason");
    }

    [Fact]
    public async Task A_key_that_others_may_read_is_a_problem_with_the_command_that_mends_it()
    {
        Prerequisite.Linux();
        var path = Path.Combine(cli.Home, "credentials.json");
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.OtherRead);

        Of(await ReportAsync(exit: 1), "key").ShouldSatisfyAllConditions(f => f.Message.ShouldContain(path), f => f.Advice!.ShouldContain("chmod go="));
    }

    [Fact]
    public async Task A_paired_machine_whose_key_is_gone_is_told_how_to_recover_it()
    {
        var home = Path.Combine(cli.Home, "agents", "local");
        string fingerprint;
        using (var key = new DeviceKey(new FileKeyStore(new AgentHome(home).Key).Create())) fingerprint = key.Fingerprint;
        AgentHome.Replace(Path.Combine(home, "identity.json"), new AgentIdentity
        {
            ServerUrl = server.Url, InstanceId = "ws_1", InstanceName = "box", OrganizationId = "org_1", OrganizationName = "org", KeyFingerprint = fingerprint, ServerKeys = [],
        }, AgentJson.Default.AgentIdentity, durable: false);
        var whole = await ReportAsync(exit: 0);
        Of(whole, "key").Message.ShouldContain(fingerprint);
        Of(whole, "agent").ShouldSatisfyAllConditions(f => f.Message.ShouldContain("paired as box, and no agent runs"), f => f.Advice!.ShouldContain("agent install"));

        File.Delete(new AgentHome(home).Key);

        Of(await ReportAsync(exit: 1), "key").Advice!.ShouldContain("agent recover");
    }

    [Fact]
    public async Task A_damaged_file_is_a_finding_and_keeps_no_other_check_from_its_answer()
    {
        var home = Directory.CreateDirectory(Path.Combine(cli.Home, "agents", "local")).FullName;
        await File.WriteAllTextAsync(Path.Combine(home, "identity.json"), "{ not", Ct);
        var report = await ReportAsync(exit: 1);
        Of(report, "agent").ShouldSatisfyAllConditions(f => f.Verdict.ShouldBe(Verdict.Problem), f => f.Message.ShouldContain("identity.json can't be read"), f => f.Advice!.ShouldContain("agent recover"));
        Of(report, "server").Verdict.ShouldBe(Verdict.Ok);

        await File.WriteAllTextAsync(Path.Combine(cli.Home, "credentials.json"), "{ not", Ct);
        report = await ReportAsync(exit: 1);
        Of(report, "sign-in").ShouldSatisfyAllConditions(f => f.Verdict.ShouldBe(Verdict.Warning), f => f.Message.ShouldContain("not valid JSON"));
        report.Findings.Count.ShouldBe(11);
    }

    [Fact]
    public void Too_little_room_is_a_problem_and_less_than_the_outbox_may_need_a_warning()
    {
        DiskCheck.Look("/no/such/home", _ => 1 << 20).Verdict.ShouldBe(Verdict.Problem);
        DiskCheck.Look("/no/such/home", _ => 1L << 30).ShouldSatisfyAllConditions(f => f.Verdict.ShouldBe(Verdict.Warning), f => f.Message.ShouldContain("2.00 GiB"));
        DiskCheck.Look("/no/such/home", path => path == "/" ? 3L << 30 : 0).Verdict.ShouldBe(Verdict.Ok);
    }

    [Fact]
    public async Task Control_groups_are_judged_by_mount_controllers_and_delegation()
    {
        Prerequisite.Linux();
        using var tree = new TemporaryDirectory();
        var (mount, mine) = (Directory.CreateDirectory(tree.File("mount")).FullName, tree.File("self"));
        await File.WriteAllTextAsync(mine, "1:name=systemd:/\n0::/user.slice\n", Ct);
        CgroupCheck.Look(mount, mine).Message.ShouldContain("not mounted");

        await File.WriteAllTextAsync(Path.Combine(mount, "cgroup.controllers"), "cpu memory pids\n", Ct);
        var own = Directory.CreateDirectory(Path.Combine(mount, "user.slice")).FullName;
        await File.WriteAllTextAsync(Path.Combine(own, "cgroup.controllers"), "cpu pids\n", Ct);
        CgroupCheck.Look(mount, mine).Message.ShouldContain("no controller for memory");

        await File.WriteAllTextAsync(Path.Combine(own, "cgroup.controllers"), "cpu memory pids\n", Ct);
        CgroupCheck.Look(mount, mine).ShouldSatisfyAllConditions(f => f.Message.ShouldContain("not delegated"), f => f.Advice!.ShouldContain("agent install"));

        await File.WriteAllTextAsync(Path.Combine(own, "cgroup.procs"), "", Ct);
        CgroupCheck.Look(mount, mine).ShouldSatisfyAllConditions(f => f.Verdict.ShouldBe(Verdict.Ok), f => f.Message.ShouldContain("cpu, memory, pids"));

        // As of a shell: what else is in it is not the agent's to move.
        await File.WriteAllTextAsync(Path.Combine(own, "cgroup.procs"), "11\n12\n", Ct);
        CgroupCheck.Look(mount, mine).ShouldSatisfyAllConditions(f => f.Verdict.ShouldBe(Verdict.Warning), f => f.Message.ShouldContain("2 are in it"), f => f.Advice!.ShouldContain("agent install"));

        // The running agent's, with its watchdog.
        await File.WriteAllTextAsync(mine, "0::/user.slice/tanjiren-agent\n", Ct);
        var leaf = Directory.CreateDirectory(Path.Combine(own, "tanjiren-agent")).FullName;
        await File.WriteAllTextAsync(Path.Combine(leaf, "cgroup.controllers"), "cpu memory\n", Ct);
        await File.WriteAllTextAsync(Path.Combine(leaf, "cgroup.procs"), "11\n12\n", Ct);
        CgroupCheck.Look(mount, mine).ShouldSatisfyAllConditions(f => f.Verdict.ShouldBe(Verdict.Ok), f => f.Message.ShouldContain("divided by the agent"));
    }

    [Fact]
    public async Task Coding_agents_are_looked_for_on_the_path()
    {
        Prerequisite.Linux();
        using var bin = new TemporaryDirectory();
        cli.Variables["PATH"] = bin.Path;
        Of(await ReportAsync(exit: 0), "coding agents").Message.ShouldContain("none");
        foreach (var name in (string[])["opencode", "codex-acp", "gemini"])
        {
            await File.WriteAllTextAsync(bin.File(name), "", Ct);
            // Only what may be run counts.
            if (name != "gemini" && !OperatingSystem.IsWindows()) File.SetUnixFileMode(bin.File(name), UnixFileMode.UserRead | UnixFileMode.UserExecute);
        }
        Of(await ReportAsync(exit: 0), "coding agents").Message.ShouldBe("codex, opencode");

        await File.WriteAllTextAsync(new TanvritHome(cli.Home).AgentSettingsFile, $"codingAgents: {{ mine: {{ command: [{bin.File("codex-acp")}] }} }}\n", Ct);
        Of(await ReportAsync(exit: 0), "coding agents").Message.ShouldBe("codex, opencode, mine");

        await File.WriteAllTextAsync(new TanvritHome(cli.Home).AgentSettingsFile, "codingAgents: { mine: {} }\n", Ct);
        Of(await ReportAsync(exit: 1), "coding agents").Message.ShouldContain(":1:17: codingAgents.mine.command is missing");
    }

    private async Task<DoctorReport> ReportAsync(int exit, params string[] options)
    {
        (await cli.InvokeAsync(["doctor", "--json", .. options])).ShouldBe(exit, cli.Output.Text + cli.Error.Text);
        return JsonSerializer.Deserialize(cli.Output.Text, DoctorJson.Default.DoctorReport)!;
    }

    private static Finding Of(DoctorReport report, string check) => report.Findings.Single(f => f.Check == check);
}
