using System.Diagnostics;

using Tanjiren.Cli.Hosting;

namespace Tanjiren.EndToEnd.Tests.Cli;

/// <summary><c>up</c> as a process of its own: server, agent and watchdog are the real ones.</summary>
public sealed class UpTests : IDisposable
{
    private readonly CliRun home = new();

    public void Dispose() => home.Dispose();

    [Fact]
    public async Task A_command_runs_through_the_whole_path_and_leaves_nothing_running()
    {
        var (code, stdout, stderr) = await RunAsync("up", "--port", "0", "--", "/bin/sh", "-c", "printf 'out\\n'; printf 'err\\n' >&2; exit 7");
        (code, stdout, stderr).ShouldBe((7, "out\n", "err\n"));

        // The same home again, on another port: the same workstation, and no second registration.
        (code, stdout, stderr) = await RunAsync("up", "--port", "0", "--", "/bin/pwd");
        (code, stdout, stderr).ShouldBe((0, Environment.CurrentDirectory + "\n", ""));
        File.Exists(Path.Combine(home.Home, "local", "up.url")).ShouldBeFalse();
        Directory.GetFiles(Path.Combine(home.Home, "agents", "local"), "key*").Length.ShouldBe(1);
    }

    [Fact]
    public async Task A_port_in_use_is_named_with_the_way_out()
    {
        await using var other = await FakeControlPlane.StartAsync();
        var port = new Uri(other.Url).Port;
        var (code, stdout, stderr) = await RunAsync("up", "--port", port.ToString(), "--", "/bin/true");
        (code, stdout).ShouldBe((125, ""));
        stderr.ShouldStartWith($"error: port {port} on 127.0.0.1 is in use by another program\nhint: choose another port with --port");
        other.Requests.ShouldBeEmpty();
    }

    private async Task<(int Code, string Output, string Error)> RunAsync(params string[] args)
    {
        if (OperatingSystem.IsWindows()) Assert.Skip("The commands are those of a Unix system.");
        var self = SelfCommand.With(args);
        var start = new ProcessStartInfo(self[0], self.Skip(1)) { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["TANVRIT_HOME"] = home.Home;
        start.Environment["TANVRIT_KEYCHAIN"] = "file";
        using var process = Process.Start(start)!;
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(TimeSpan.FromMinutes(2));
        try
        {
            var output = process.StandardOutput.ReadToEndAsync(limit.Token);
            var error = process.StandardError.ReadToEndAsync(limit.Token);
            await process.WaitForExitAsync(limit.Token);
            return (process.ExitCode, await output, WaitingNotices.Without(await error));
        }
        finally
        {
            if (!process.HasExited) process.Kill(entireProcessTree: true);
        }
    }
}
