using System.Text.RegularExpressions;

using Tanjiren.EndToEnd.Tests.Faults;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.CodingAgents;

/// <summary>
/// Acceptance 8, with real processes: a coding agent without a model asks on a real machine, a person answers on the real command line, and the line between agent and server is
/// cut in between. Real coding agents: RealAgentTests.
/// </summary>
public sealed partial class LivePermissionTests : IAsyncLifetime
{
    /// <summary>Speaks the protocol as far as one question goes, in any shell; found on PATH by the name of a real one.</summary>
    private const string Program = """
        #!/bin/sh
        say() { printf '{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s","update":{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"%s"}}}}\n' "$1"; }
        while read -r line; do
          case $line in
            *'"method":"initialize"'*) echo '{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":1}}' ;;
            *'"method":"session/new"'*) echo '{"jsonrpc":"2.0","id":2,"result":{"sessionId":"s"}}' ;;
            *'"method":"session/prompt"'*) echo '{"jsonrpc":"2.0","id":"q","method":"session/request_permission","params":{"sessionId":"s","toolCall":{"toolCallId":"t","title":"rm -r build","kind":"execute","rawInput":{"command":"rm -r build"}},"options":[{"optionId":"yes","name":"Yes","kind":"allow_once"},{"optionId":"no","name":"No","kind":"reject_once"}]}}' ;;
            *'"optionId":"yes"'*) say 'I was allowed.'; echo '{"jsonrpc":"2.0","id":3,"result":{"stopReason":"end_turn"}}' ;;
            *'"optionId":"no"'*) say 'I was denied.'; echo '{"jsonrpc":"2.0","id":3,"result":{"stopReason":"end_turn"}}' ;;
            *'"outcome":"cancelled"'*) echo '{"jsonrpc":"2.0","id":3,"result":{"stopReason":"cancelled"}}' ;;
          esac
        done

        """;

    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(2);

    private readonly TemporaryDirectory _directory = new();
    /// <summary>In the environment of the coding agent, and of no other process.</summary>
    private readonly string _mark = "asked-" + Guid.NewGuid().ToString("n");
    private FaultScene _scene = null!;

    public async ValueTask InitializeAsync()
    {
        Prerequisite.Linux();
        var bin = Directory.CreateDirectory(_directory.File("bin")).FullName;
        var program = Path.Combine(bin, "codex-acp");
        await File.WriteAllTextAsync(program, Program, TestContext.Current.CancellationToken);
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(program, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        _scene = await FaultScene.StartAsync(new SceneOptions
        {
            TtlSeconds = 10, GraceSeconds = 60, AgentEnvironment = new Dictionary<string, string?> { ["PATH"] = bin + Path.PathSeparator + Environment.GetEnvironmentVariable("PATH") },
        });
    }

    public async ValueTask DisposeAsync()
    {
        if (_scene is not null) await _scene.DisposeAsync();
        _directory.Dispose();
    }

    [Fact]
    public async Task An_answer_that_was_given_while_the_agent_was_cut_off_reaches_it_when_it_is_back()
    {
        var job = await RunAsync("5m");
        var id = await AskedAsync(job);
        var shown = await _scene.CliAsync("jobs", "approvals", job);
        foreach (var words in new[] { id, "execute: rm -r build", """{"command":"rm -r build"}""", "codex", "allow, deny" }) shown.ShouldContain(words);

        var cut = _scene.Agents[0].Proxy.Partition(FaultKind.Reset);
        (await _scene.CliAsync("jobs", "answer", id, "allow")).ShouldContain("allowed");
        (await _scene.Workspace.TaskAsync(job)).State.ShouldBe(TaskState.Executing);
        cut.Lift();

        var step = await _scene.EndAsync(job);
        (step.State, step.Response).ShouldBe((StepState.Succeeded, "I was allowed."), _scene.Evidence());
        (await _scene.CliAsync("jobs", "approvals", job, "--state", "answered")).ShouldContain("allow by usr_");
    }

    [Fact]
    public async Task Without_an_answer_in_time_it_is_denied_and_who_answers_later_is_told_so()
    {
        var job = await RunAsync("3s");
        var id = await AskedAsync(job);
        var step = await _scene.EndAsync(job);
        (step.State, step.Response).ShouldBe((StepState.Succeeded, "I was denied."), _scene.Evidence());
        (await _scene.CliAsync("jobs", "approvals", job, "--state", "expired", "-o", "id")).ShouldContain(id);
        var (code, printed) = await _scene.TryCliAsync("jobs", "answer", id, "allow");
        code.ShouldBe(125, printed);
        printed.ShouldContain("Its time is over");
    }

    [Fact]
    public async Task An_agent_that_is_cut_off_until_the_time_is_over_denies_by_itself()
    {
        var job = await RunAsync("20s");
        var id = await AskedAsync(job);
        var cut = _scene.Agents[0].Proxy.Partition(FaultKind.Reset);
        // The server's own word, which this machine can't hear.
        await Eventually.TrueAsync(async () => (await _scene.CliAsync("jobs", "approvals", job, "--state", "expired", "-o", "id")).Contains(id, StringComparison.Ordinal), _scene.Evidence, Limit, "it has expired");
        await Eventually.TrueAsync(() => JobProcesses.Of(_mark).Count == 0, _scene.Evidence, Limit, "the coding agent has gone on, and ended");
        cut.Lift();
        (await _scene.EndAsync(job)).Response.ShouldBe("I was denied.", _scene.Evidence());
    }

    private async Task<string> RunAsync(string permissionTimeout) => JobId().Match(await _scene.CliAsync(
        "jobs", "run", "--workstation", "a", "--detach", "--agent", "codex", "--env", $"MARK={_mark}", "--permission-timeout", permissionTimeout, "--prompt", "Tidy up.")).Value;

    private async Task<string> AskedAsync(string job)
    {
        var id = "";
        await Eventually.TrueAsync(async () => (id = PermissionId().Match(await _scene.CliAsync("jobs", "approvals", job, "--state", "all", "-o", "id")).Value).Length > 0, _scene.Evidence, Limit, "the coding agent asks");
        return id;
    }

    [GeneratedRegex("task_[0-9a-z]+", RegexOptions.None, 1000)]
    private static partial Regex JobId();

    [GeneratedRegex("perm_[0-9a-z]+", RegexOptions.None, 1000)]
    private static partial Regex PermissionId();
}
