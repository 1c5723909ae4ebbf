using System.Text.Json;
using Tanjiren.Agent.Settings;
using Tanjiren.Agent.Tests.Execution;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.CodingAgents.Questions;

/// <summary>An investigation as a step: a real agent, a real process that speaks the protocol, and which answers reach the server when.</summary>
public sealed class InvestigationStepTests : IAsyncLifetime
{
    private static readonly TaskQuestion[] Four =
    [
        new() { Name = "words", Text = "What is it?", Form = AnswerForm.Text },
        new() { Name = "parts", Text = "Which parts has it?", Form = AnswerForm.List },
        new() { Name = "tests", Text = "Has it tests?", Form = AnswerForm.YesNo },
        new() { Name = "entry", Text = "Where does it begin?", Form = AnswerForm.Object, Fields = ["file", "line"] },
    ];

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
    public async Task Four_questions_have_four_answers_though_one_is_malformed_first()
    {
        var step = await AskAsync("good|bad|good|unproven|good|good");
        var result = await ResultAsync(step);

        (result.Outcome, result.ExitCode, result.Reason, result.Response).ShouldBe((StepOutcome.Succeeded, 0, null, null), result.Detail);
        step.Answered().Select(a => (a.Question, a.Asked, a.Answer!.Value.GetRawText(), a.LeaseGeneration)).ShouldBe(
        [
            ("words", 1, "\"words\"", 1L), ("parts", 2, """["one","two"]""", 1L), ("tests", 2, "true", 1L), ("entry", 1, """{"file":null,"line":null}""", 1L),
        ]);
        step.Answered().ShouldAllBe(a => a.Problem == null && a.Said == null);
        step.Answered()[0].Evidence.ShouldBe([new AnswerEvidence { File = "src/a.cs", Line = 3, EndLine = 5, Note = "seen" }, new AnswerEvidence { Command = "ls" }]);
        // One session for all of them, and the server has the last answer before the result.
        Events(step, "session").Count.ShouldBe(1);
        Events(step, "end").Count.ShouldBe(6);
        Events(step, "question").Select(e => e.GetProperty("name").GetString()).ShouldBe(["words", "parts", "parts", "tests", "tests", "entry"]);
        Events(step, "answer").Select(e => e.GetProperty("answered").GetBoolean()).ShouldBe([true, true, true, true]);
        server.Requests.Where(r => r is "answers" or "complete").ShouldBe(["answers", "answers", "answers", "answers", "complete"]);
        step.Output(LogStream.Stderr).ShouldContain("question 2 of 4, parts, again: there is no JSON object with the member \"answer\" in it\n");
    }

    [Fact]
    public async Task A_question_that_is_malformed_twice_costs_itself_and_no_other()
    {
        var step = await AskAsync("good|bad|limit|good|good");
        var result = await ResultAsync(step);

        (result.Outcome, result.Reason, result.ExitCode, result.Detail).ShouldBe((StepOutcome.Failed, StepReason.ExitCode, 1, "3 of 4 questions were answered; not: parts."));
        step.Answered().Select(a => (a.Question, a.Answer is not null)).ShouldBe([("words", true), ("parts", false), ("tests", true), ("entry", true)]);
        var missing = step.Answered()[1];
        (missing.Asked, missing.Evidence, missing.Said).ShouldBe((2, null, null));
        missing.Problem!.ShouldContain("its limit of tokens");
    }

    [Fact]
    public async Task What_was_said_instead_of_an_answer_is_kept()
    {
        var step = await AskAsync("bad|bad|good");
        await ResultAsync(step);
        (step.Answered()[0].Said, step.Answered()[0].Answer is null).ShouldBe(("I think that it is fine.", true));
    }

    [Theory]
    [InlineData("good|die", StepReason.ExitCode, 3, "ended in the middle of its turn (exit code 3) (1 of 4 questions were answered)")]
    [InlineData("good|good|overloaded", StepReason.ExitCode, 1, "the model is overloaded (error -32603) (2 of 4 questions were answered)")]
    public async Task What_was_answered_before_a_failure_stays(string script, StepReason reason, int exitCode, string words)
    {
        var step = await AskAsync(script);
        var result = await ResultAsync(step);

        (result.Outcome, result.Reason, result.ExitCode).ShouldBe((StepOutcome.Failed, reason, exitCode));
        result.Detail!.ShouldContain(words);
        step.Answered().Select(a => a.Question).ShouldBe(Four.Take(script.Count(c => c == '|')).Select(q => q.Name));
    }

    [Fact]
    public async Task An_answer_is_there_while_the_next_is_thought_about_and_stays_after_a_cancel()
    {
        var step = await AskAsync("good|good|hang");
        await Eventually.TrueAsync(() => step.Answered().Count == 2, () => step.Output());
        step.Result.ShouldBeNull();

        server.Cancel(step);
        var result = await ResultAsync(step);

        (result.Outcome, result.Reason).ShouldBe((StepOutcome.Cancelled, StepReason.Cancelled));
        step.Answered().Select(a => a.Question).ShouldBe(["words", "parts"]);
    }

    [Fact]
    public async Task Answers_whose_receipt_is_lost_are_sent_again_as_they_were()
    {
        server.LoseAnswers("answers", 2);
        server.Intercept("answers", 503);
        var step = await AskAsync("good");
        var result = await ResultAsync(step);

        result.Outcome.ShouldBe(StepOutcome.Succeeded);
        step.Answered().Select(a => a.Question).ShouldBe(Four.Select(q => q.Name));
        server.Count("answers").ShouldBe(7);
    }

    [Fact]
    public async Task An_answer_that_the_server_never_takes_holds_nothing_else_up()
    {
        server.Refuse("answers", 422, ErrorCode.ValidationFailed);
        var step = await AskAsync("good");
        var result = await ResultAsync(step);

        result.Outcome.ShouldBe(StepOutcome.Succeeded);
        step.Answered().Select(a => a.Question).ShouldBe(["parts", "tests", "entry"]);
    }

    [Fact]
    public async Task Answers_that_no_network_took_are_sent_by_the_agents_next_life()
    {
        server.Intercept("answers", 503, count: 100_000);
        var step = await AskAsync("good|good|hang");
        await Eventually.TrueAsync(() => step.Output(LogStream.Stderr).Contains("question 3 of 4", StringComparison.Ordinal), () => step.Output());
        await agent.AbortAsync();
        step.Answered().ShouldBeEmpty();

        server.StopRefusing("answers");
        await agent.StartAsync();

        await Eventually.TrueAsync(() => step.Result is not null);
        step.Answered().Select(a => (a.Question, a.Asked)).ShouldBe([("words", 1), ("parts", 1)]);
    }

    [Fact]
    public async Task A_program_that_reads_one_prompt_is_refused_and_another_is_taken_where_none_is_named()
    {
        agent.Settings = new AgentSettings
        {
            CodingAgents = new Dictionary<string, CodingAgentSettings>
            {
                ["a-pipe"] = new() { Command = ["/bin/cat"], Protocol = CodingAgentProtocol.Stdin }, ["fake"] = new() { Command = TestHost.Command("acp", "q:good") },
            },
        };
        await agent.StartAsync();

        var refused = await ResultAsync(server.Ask(Four, "a-pipe"));
        (refused.Reason, refused.Detail!.Contains("protocol: stdin", StringComparison.Ordinal)).ShouldBe((StepReason.RejectedByAgent, true), refused.Detail);
        (await ResultAsync(server.Ask(Four, "fake"))).Outcome.ShouldBe(StepOutcome.Succeeded);
    }

    private async Task<FakeStep> AskAsync(string script, string? about = "A test.")
    {
        agent.Settings = new AgentSettings
        {
            CodingAgents = new Dictionary<string, CodingAgentSettings> { ["fake"] = new() { Command = TestHost.Command("acp", FakeAcpAgent.Script + script) } },
        };
        await agent.StartAsync();
        return server.Ask(Four, "fake", about);
    }

    private static async Task<CompleteRequest> ResultAsync(FakeStep step)
    {
        await Eventually.TrueAsync(() => step.Result is not null, () => $"output so far: {step.Output()}");
        // The last of the output may come after the result.
        await Eventually.TrueAsync(() => { lock (step.Chunks) return step.Chunks.Count == step.Result!.FinalLogSeq; });
        return step.Result!;
    }

    private static List<JsonElement> Events(FakeStep step, string type) =>
        [.. step.Output(LogStream.System).Split('\u001e').Skip(1).Select(record => JsonDocument.Parse(record[..record.IndexOf('\n')]).RootElement).Where(e => e.GetProperty("type").GetString() == type)];
}
