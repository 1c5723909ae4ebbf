using System.Globalization;
using System.Text.Json;
using Tanjiren.Agent.Execution.Linux;
using Tanjiren.Agent.Settings;
using Tanjiren.Agent.Tests.Execution;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.CodingAgents;

/// <summary>A prompt as a step: a real agent, a real process that speaks the protocol, and what reaches the server.</summary>
public sealed class PromptStepTests : IAsyncLifetime
{
    private FakeControlPlane server = null!;
    private AgentHarness agent = null!;

    public async ValueTask InitializeAsync()
    {
        Prerequisite.Linux();
        server = await FakeControlPlane.StartAsync();
        agent = await AgentHarness.PairedAsync(server);
    }

    public async ValueTask DisposeAsync()
    {
        if (agent is not null) await agent.DisposeAsync();
        if (server is not null) await server.DisposeAsync();
    }

    [Fact]
    public async Task A_turn_becomes_text_events_a_response_and_its_cost()
    {
        var (step, result) = await RunAsync("plain", "What is 6 x 7?");

        (result.Outcome, result.ExitCode, result.Reason).ShouldBe((StepOutcome.Succeeded, 0, null));
        result.Response.ShouldBe("You asked: What is 6 x 7?");
        result.Usage.ShouldBe(new TokenUsage { InputTokens = 10, OutputTokens = 5, TotalTokens = 15, ContextUsed = 1200, ContextSize = 200_000, CostAmount = 0.25m, CostCurrency = "USD" });
        step.Output(LogStream.Stdout).ShouldBe("Welcome!\nLet me look. \nYou asked: What is 6 x 7?\n");
        var told = step.Output(LogStream.Stderr).Split('\n');
        foreach (var line in new[] { "fake agent: plain", "this line is no message", """{"neither":"is this"}""", "read: Read a.txt", "edit: Never told before", "plan: 1 of 2 done, now: say" })
            told.ShouldContain(line);
        told.Count(l => l == "read: Read a.txt").ShouldBe(1);
        Events(step).Select(e => e.GetProperty("type").GetString()).ShouldBe(["message", "session", "message", "tool", "tool", "tool", "plan", "message", "usage", "end"]);
        var opened = Events(step).First(e => e.GetProperty("type").GetString() == "session");
        (opened.GetProperty("codingAgent").GetString(), opened.GetProperty("agent").GetString()).ShouldBe(("fake", "fake 1.2"));
        // Of the preview only what people read.
        System.Text.Encoding.UTF8.GetString(Convert.FromBase64String(result.OutputPreview!)).ShouldNotContain('\u001e');
    }

    [Fact]
    public async Task A_request_for_permission_is_denied_by_its_kind_and_the_log_says_so()
    {
        var (step, result) = await RunAsync("asks");

        result.Outcome.ShouldBe(StepOutcome.Succeeded);
        result.Response.ShouldBe("answered {'outcome':'selected','optionId':'no'}");
        step.Output(LogStream.Stderr).ShouldContain("permission for rm -rf /: deny (reject_once), nobody can be asked");
        Events(step).Single(e => e.GetProperty("type").GetString() == "permissionAsked").GetProperty("tool").GetProperty("input").GetProperty("command").GetString().ShouldBe("rm -rf /");
        Events(step).Single(e => e.GetProperty("type").GetString() == "permission").GetProperty("answer").GetString().ShouldBe("deny");
    }

    [Fact]
    public async Task What_was_not_offered_is_answered_with_method_not_found()
    {
        var (step, result) = await RunAsync("writes");

        result.Response.ShouldBe("answered -32601");
        Events(step).Single(e => e.GetProperty("type").GetString() == "refused").GetProperty("method").GetString().ShouldBe("fs/write_text_file");
    }

    [Theory]
    [InlineData("errs", StepReason.ExitCode, 1, "the model is overloaded")]
    [InlineData("refuses", StepReason.ExitCode, 1, "refused")]
    [InlineData("gives-up", StepReason.ExitCode, 1, "cancelled, which nobody had asked for")]
    [InlineData("dies", StepReason.ExitCode, 3, "out of luck")]
    [InlineData("dies-early", StepReason.SpawnFailed, null, "exit code 3")]
    [InlineData("newer", StepReason.SpawnFailed, null, "version 2")]
    [InlineData("signed-out", StepReason.SpawnFailed, null, "sign in")]
    public async Task What_goes_wrong_fails_the_step_with_its_reason(string scenario, StepReason reason, int? exitCode, string words)
    {
        var (_, result) = await RunAsync(scenario);

        (result.Outcome, result.Reason, result.ExitCode).ShouldBe((StepOutcome.Failed, reason, exitCode));
        result.Detail!.ShouldContain(words);
        result.Response.ShouldBe(scenario == "dies" ? "I was about to" : null);
    }

    [Fact]
    public async Task One_that_never_says_anything_is_given_up()
    {
        agent.Timeouts = AgentHarness.Fast with { CodingAgentStart = TimeSpan.FromMilliseconds(500) };
        var (_, result) = await RunAsync("mute");

        (result.Outcome, result.Reason).ShouldBe((StepOutcome.Failed, StepReason.SpawnFailed));
        result.Detail!.ShouldContain("no session open within");
    }

    [Fact]
    public async Task The_mode_of_agent_yaml_is_set_before_the_prompt()
    {
        var (step, result) = await RunAsync("modes", mode: "read-only");

        result.Outcome.ShouldBe(StepOutcome.Succeeded);
        Events(step).Single(e => e.GetProperty("type").GetString() == "session").GetProperty("mode").GetString().ShouldBe("read-only");
    }

    [Fact]
    public async Task A_mode_that_it_does_not_have_is_named_with_those_that_it_has()
    {
        var (_, result) = await RunAsync("modes", mode: "yolo");

        result.Reason.ShouldBe(StepReason.SpawnFailed);
        result.Detail!.ShouldContain("no mode 'yolo' (it has auto, read-only)");
    }

    [Theory]
    [InlineData("endless")]
    [InlineData("deaf")]
    public async Task A_cancel_in_the_middle_of_words_ends_the_turn_or_the_tree(string scenario)
    {
        agent.Timeouts = AgentHarness.Fast with { TurnGrace = TimeSpan.FromMilliseconds(500), CancelGrace = TimeSpan.FromSeconds(1) };
        var step = await StartAsync(scenario);
        await Eventually.TrueAsync(() => step.Output(LogStream.Stdout).Contains("word", StringComparison.Ordinal), () => step.Output());

        server.Cancel(step);
        var result = await ResultAsync(step);

        (result.Outcome, result.Reason, result.Response).ShouldBe((StepOutcome.Cancelled, StepReason.Cancelled, "word "));
        Events(step).Any(e => e.GetProperty("type").GetString() == "end").ShouldBe(scenario == "endless");
    }

    [Fact]
    public async Task A_turn_over_its_time_is_ended_as_a_timeout()
    {
        agent.Timeouts = AgentHarness.Fast with { TurnGrace = TimeSpan.FromMilliseconds(500) };
        var step = await StartAsync("deaf", timeoutMs: 3000);

        var result = await ResultAsync(step);

        (result.Outcome, result.Reason).ShouldBe((StepOutcome.Failed, StepReason.Timeout));
    }

    /// <summary>Most adapters leave their agent, its shell and its children behind, some of them after a clean end.</summary>
    [Theory]
    [InlineData("stays")]
    [InlineData("dies")]
    public async Task Nothing_of_its_tree_is_left(string scenario)
    {
        var pidFile = agent.File("pid");
        string[] wrapper = ["/bin/sh", "-c", $"setsid sh -c 'echo $$ > {pidFile}; exec sleep 600' & exec \"$@\"", "sh", .. TestHost.Command("acp", scenario)];
        var step = await StartAsync("unused", command: wrapper);

        await ResultAsync(step);

        var pid = int.Parse(await File.ReadAllTextAsync(pidFile, TestContext.Current.CancellationToken), CultureInfo.InvariantCulture);
        (ProcTable.TryRead(pid, out var left) && left.State != 'Z').ShouldBeFalse($"process {pid} lives on");
    }

    [Fact]
    public async Task A_simple_coding_agent_reads_the_prompt_on_its_standard_input()
    {
        string[] command = ["/bin/sh", "-c", "printf 'you said: '; cat; echo $TANJIREN_STEP_ID >&2; exit $CODE"];
        var step = await StartAsync("unused", command: command, protocol: CodingAgentProtocol.Stdin, environment: new Dictionary<string, string> { ["CODE"] = "4", ["TANJIREN_STEP_ID"] = "mine" });
        var result = await ResultAsync(step);

        (result.Outcome, result.ExitCode, result.Response).ShouldBe((StepOutcome.Failed, 4, "you said: hello"));
        // The identity of a step is nobody's to set, not the machine owner's either.
        step.Output(LogStream.Stderr).ShouldBe(step.Id + "\n");
    }

    [Fact]
    public async Task A_machine_without_it_rejects_the_step_and_names_what_it_lacks()
    {
        await StartAsync("plain");
        (await ResultAsync(server.Prompt("hello", "nobody"))).ShouldSatisfyAllConditions(
            r => r.Reason.ShouldBe(StepReason.RejectedByAgent), r => r.Detail!.ShouldContain("no coding agent 'nobody'"));
        await Eventually.TrueAsync(() => server.Heartbeats.Any(b => b.CodingAgents?.Contains("fake") == true));
    }

    private async Task<(FakeStep Step, CompleteRequest Result)> RunAsync(string scenario, string prompt = "hello", string? mode = null)
    {
        var step = await StartAsync(scenario, prompt, mode);
        return (step, await ResultAsync(step));
    }

    private async Task<FakeStep> StartAsync(
        string scenario, string prompt = "hello", string? mode = null, long timeoutMs = 60_000, IReadOnlyList<string>? command = null,
        CodingAgentProtocol protocol = CodingAgentProtocol.Acp, IReadOnlyDictionary<string, string>? environment = null)
    {
        agent.Settings = new AgentSettings
        {
            CodingAgents = new Dictionary<string, CodingAgentSettings>
            {
                ["fake"] = new() { Command = command ?? TestHost.Command("acp", scenario), Protocol = protocol, Mode = mode, Environment = environment ?? new Dictionary<string, string>() },
            },
        };
        await agent.StartAsync();
        return server.Prompt(prompt, "fake", timeoutMs: timeoutMs);
    }

    private static async Task<CompleteRequest> ResultAsync(FakeStep step)
    {
        await Eventually.TrueAsync(() => step.Result is not null, () => $"output so far: {step.Output()}");
        // The last of the output may come after the result.
        await Eventually.TrueAsync(() => { lock (step.Chunks) return step.Chunks.Count == step.Result!.FinalLogSeq; });
        return step.Result!;
    }

    private static List<JsonElement> Events(FakeStep step) =>
        [.. step.Output(LogStream.System).Split('\u001e').Skip(1).Select(record => JsonDocument.Parse(record[..record.IndexOf('\n')]).RootElement)];
}
