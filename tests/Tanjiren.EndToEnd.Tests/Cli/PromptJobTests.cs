using System.Text.Json;

using Tanjiren.Cli.Jobs;
using Tanjiren.Protocol;

using static Tanjiren.EndToEnd.Tests.Cli.FakeControlPlane;

namespace Tanjiren.EndToEnd.Tests.Cli;

/// <summary>Jobs that ask a coding agent: what is sent, and what people see of the answer.</summary>
public sealed class PromptJobTests : IAsyncLifetime
{
    private const string Tasks = "/api/tasks";

    private readonly CliRun cli = new();
    private FakeControlPlane server = null!;

    public async ValueTask InitializeAsync()
    {
        server = await FakeControlPlane.StartAsync();
        server.On("POST", Tasks, Asked(TaskState.Queued, Wire.Step(StepState.Queued)), 201);
        cli.SignedIn(server);
    }

    public async ValueTask DisposeAsync()
    {
        await server.DisposeAsync();
        cli.Dispose();
    }

    [Fact]
    public async Task A_prompt_is_sent_with_its_mode_and_the_coding_agent_that_is_named()
    {
        (await cli.InvokeAsync("jobs", "run", "-w", "a", "--prompt", "Why?", "--agent", "claude", "--cwd", "/src", "-d")).ShouldBe(0);
        Sent().ShouldSatisfyAllConditions(
            r => (r.Mode, r.Command, r.PromptText, r.CodingAgent, r.WorkingDirectory).ShouldBe((TaskMode.Prompt, null, "Why?", "claude", "/src")),
            r => r.Targets!.Workstations.ShouldBe(["a"]));
    }

    [Fact]
    public async Task A_prompt_may_come_from_a_file_or_from_standard_input()
    {
        var file = Path.Combine(cli.Home, "prompt.md");
        await File.WriteAllTextAsync(file, "From a\nfile", TestContext.Current.CancellationToken);
        (await cli.InvokeAsync("jobs", "run", "-w", "a", "--prompt-file", file, "-d")).ShouldBe(0);
        Sent().PromptText.ShouldBe("From a\nfile");

        cli.Input = "From standard input";
        (await cli.InvokeAsync("jobs", "run", "-w", "a", "--prompt-file", "-", "-d")).ShouldBe(0);
        Sent().PromptText.ShouldBe("From standard input");
    }

    [Theory]
    [InlineData("both a prompt and a command are given", "--prompt", "x", "--", "y")]
    [InlineData("both a prompt and a command are given", "--prompt", "x", "--shell", "y")]
    [InlineData("both --prompt and --prompt-file are given", "--prompt", "x", "--prompt-file", "y")]
    [InlineData("--agent is given without a prompt", "--agent", "claude", "--", "y")]
    [InlineData("--prompt-file /no/such can't be read", "--prompt-file", "/no/such")]
    public async Task Bad_usage_is_told_before_anything_is_sent(string message, params string[] args)
    {
        (await cli.InvokeAsync(["jobs", "run", "-w", "a", .. args])).ShouldBe(125);
        cli.Error.Text.ShouldStartWith("error: " + message);
        server.Requests.ShouldBeEmpty();
    }

    [Fact]
    public async Task Words_reach_the_streams_and_events_do_not()
    {
        server.On("GET", $"/api/tasks/{Wire.TaskId}/events", async (context, _) =>
        {
            await EventAsync(context, 1, "log", Wire.Log("It is 42.\n", seq: 1));
            await EventAsync(context, 2, "log", Wire.Log("read: a.txt\n", LogStream.Stderr, seq: 2));
            await EventAsync(context, 3, "log", Wire.Log("\u001e{\"type\":\"mess", LogStream.System, seq: 3));
            await EventAsync(context, 4, "log", Wire.Log("age\"}\n[tanjiren] a word\n\u001e{}\n", LogStream.System, seq: 4));
            await EventAsync(context, 5, "end", Wire.Event(Asked(TaskState.Failed, Wire.Step(StepState.Failed, 1, StepReason.ExitCode, detail: "claude refused to go on."))));
        });

        (await cli.InvokeAsync("jobs", "run", "-w", "a", "--prompt", "Why?")).ShouldBe(1);

        cli.Output.Text.ShouldBe("It is 42.\n");
        cli.Error.Text.ShouldStartWith("read: a.txt\n[tanjiren] a word\n");
        cli.Error.Text.ShouldContain("exit code 1: claude refused to go on.");
    }

    [Fact]
    public async Task The_response_and_what_it_cost_are_shown_and_can_not_repaint_the_screen()
    {
        var step = Wire.Step(StepState.Succeeded, 0) with { Response = "Because of\none\u001b[2J test.\n", Usage = new TokenUsage { InputTokens = 1200, OutputTokens = 30, CostAmount = 0.02m, CostCurrency = "USD" } };
        server.On("GET", $"/api/tasks/{Wire.TaskId}", Asked(TaskState.Completed, step));
        (await cli.InvokeAsync("jobs", "show", Wire.TaskId)).ShouldBe(0);
        cli.Output.Text.ShouldContain("coding agent: ");
        cli.Output.Text.ShouldContain("response of a (1200 tokens in, 30 out, 0.02 USD):\nBecause of\none\ufffd[2J test.\n");
    }

    [Fact]
    public async Task A_change_may_ask_something_else()
    {
        server.On("PATCH", $"/api/tasks/{Wire.TaskId}", Asked(TaskState.Queued));
        (await cli.InvokeAsync("jobs", "update", Wire.TaskId, "--prompt", "Why not?", "--agent", "")).ShouldBe(0);
        server.To("PATCH", $"/api/tasks/{Wire.TaskId}").Single().Body.ShouldBe("""{"promptText":"Why not?","codingAgent":""}""");
    }

    [Fact]
    public void An_event_is_left_out_wherever_a_chunk_cuts_it()
    {
        var stream = "a\n\u001e{\"x\":\"y\"}\nb\n\u001e{}\n\u001e{}\nc"u8.ToArray();
        for (var cut = 0; cut <= stream.Length; cut++)
        {
            var filter = new EventFilter();
            byte[] words = [.. filter.Words(stream.AsSpan(0, cut)), .. filter.Words(stream.AsSpan(cut))];
            words.ShouldBe("a\nb\nc"u8.ToArray());
        }
    }

    private CreateTaskRequest Sent() => JsonSerializer.Deserialize(server.To("POST", Tasks)[^1].Body, WireJson.Default.CreateTaskRequest)!;

    private static TaskBody Asked(TaskState state, params StepBody[] steps) => Wire.Task(state, steps) with { Mode = TaskMode.Prompt, Command = null, PromptText = "Why?", CodingAgent = "claude" };
}
