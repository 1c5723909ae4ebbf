using System.Text.Json;

using Tanjiren.Cli;
using Tanjiren.Cli.Jobs;
using Tanjiren.Protocol;

namespace Tanjiren.EndToEnd.Tests.Cli;

/// <summary>Jobs that have questions answered: how they are written, what is sent, and what people see of the answers.</summary>
public sealed class InvestigationJobTests : IAsyncLifetime
{
    private const string Tasks = "/api/tasks";
    private const string Good = """
        about: The house.   # of all of them
        questions:
          - What is it?
          - { name: parts, text: Which parts?, form: list }
          - name: safe
            text: |
              Is it safe?
              Really?
            form: yes_no
          - { text: "Where is the door?", form: object, fields: [side, floor] }

        """;

    private readonly CliRun cli = new();
    private FakeControlPlane server = null!;

    public async ValueTask InitializeAsync()
    {
        server = await FakeControlPlane.StartAsync();
        server.On("POST", Tasks, Wire.Task(TaskState.Queued, Wire.Step(StepState.Queued)), 201);
        cli.SignedIn(server);
    }

    public async ValueTask DisposeAsync()
    {
        await server.DisposeAsync();
        cli.Dispose();
    }

    [Fact]
    public async Task The_questions_of_a_file_are_sent_in_their_order_each_with_a_name()
    {
        (await cli.InvokeAsync("jobs", "run", "-w", "a", "--questions", await FileAsync(Good), "--agent", "claude", "--cwd", "/src", "-d")).ShouldBe(0, cli.Error.Text);
        var sent = Sent();
        (sent.Mode, sent.Command, sent.PromptText, sent.CodingAgent, sent.WorkingDirectory).ShouldBe((TaskMode.Investigate, null, "The house.", "claude", "/src"));
        sent.Questions!.Select(q => (q.Name, q.Text, q.Form)).ShouldBe(
            [("q1", "What is it?", null), ("parts", "Which parts?", AnswerForm.List), ("safe", "Is it safe?\nReally?\n", AnswerForm.YesNo), ("q4", "Where is the door?", AnswerForm.Object)]);
        sent.Questions![3].Fields.ShouldBe(["side", "floor"]);
    }

    [Fact]
    public async Task They_may_come_from_standard_input_as_a_list_alone_and_say_elsewhere_what_they_are_about()
    {
        cli.Input = "- What?\n- Why?\n";
        (await cli.InvokeAsync("jobs", "run", "-w", "a", "--questions", "-", "--prompt", "The boat.", "-d")).ShouldBe(0, cli.Error.Text);
        (Sent().Mode, Sent().PromptText).ShouldBe((TaskMode.Investigate, "The boat."));
        Sent().Questions!.Select(q => q.Name).ShouldBe(["q1", "q2"]);
    }

    [Theory]
    [InlineData("", 1, 1, "there are no questions")]
    [InlineData("# only words\n", 2, 1, "there are no questions")]
    [InlineData("about: x\n", 1, 1, "there are no questions")]
    [InlineData("questions: []\n", 1, 1, "there are no questions")]
    [InlineData("a word\n", 1, 1, "the file must be a map")]
    [InlineData("questions: What?\n", 1, 12, "questions must be a list")]
    [InlineData("question:\n  - What?\n", 1, 1, "'question' is no key of the file: about, questions")]
    [InlineData("questions:\n  - text: What?\n    from: list\n", 3, 5, "'from' is no key of a question")]
    [InlineData("questions:\n  - text: What?\n    form: prose\n", 3, 11, "'prose' is no form of an answer: text, list, yes_no, object")]
    [InlineData("questions:\n  - name: a b\n    text: What?\n", 2, 11, "'a b' is no name")]
    [InlineData("questions:\n  - name: a\n", 2, 5, "this question has no text")]
    [InlineData("questions:\n  - text:\n", 2, 10, "text is empty")]
    [InlineData("questions:\n  - [a]\n", 2, 5, "a question must be a map")]
    [InlineData("questions:\n  - { name: a, text: b }\n  - { name: A, text: c }\n", 3, 5, "'A' is the name of another question")]
    [InlineData("questions:\n  - { text: b, form: object }\n", 2, 5, "a question of the form object has fields")]
    [InlineData("questions:\n  - { text: b, fields: [a] }\n", 2, 5, "only a question of the form object has fields")]
    [InlineData("questions:\n  - { text: b, form: object, fields: [a, a] }\n", 2, 42, "the field 'a' stands here a second time")]
    [InlineData("questions:\n  - { text: b, form: object, fields: [] }\n", 2, 38, "there are 1 to 50 fields")]
    [InlineData("questions:\n  - text: b\n    text: c\n", 3, 5, "the key 'text' stands here a second time")]
    [InlineData("questions:\n  - &a What?\n  - *a\n", 2, 5, "this has an anchor")]
    [InlineData("questions:\n  - !!str What?\n", 2, 5, "this has a tag")]
    [InlineData("questions:\n\t- What?\n", 1, 1, "While scanning a mapping, found invalid tab as indentation")]
    [InlineData("- What?\n---\n- Why?\n", 2, 1, "a second document begins here")]
    public void A_fault_is_told_with_its_place(string text, int line, int column, string message)
    {
        var fault = Should.Throw<CliException>(() => QuestionsFile.Read(text, "it.yaml")).Message;
        fault.ShouldStartWith($"it.yaml, line {line}, column {column}: {message}");
    }

    [Fact]
    public void There_are_no_more_than_a_task_takes()
    {
        QuestionsFile.Read(string.Concat(Enumerable.Repeat("- What?\n", WireLimits.MaxQuestions)), "it").Questions.Count.ShouldBe(50);
        Should.Throw<CliException>(() => QuestionsFile.Read(string.Concat(Enumerable.Repeat("- What?\n", WireLimits.MaxQuestions + 1)), "it")).Message.ShouldStartWith("it, line 51, column 3: there are more than 50");
    }

    /// <summary>A seed for each: pieces of YAML in any order are read, or refused with a place.</summary>
    [Fact]
    public void Nothing_that_is_written_can_throw_anything_else()
    {
        string[] pieces = ["questions", ":", "-", " ", "\n", "  ", "{", "}", "[", "]", "text: a", "form: list", "name: x", "'", "\"", "#", "&a", "*a", "!t", "|", ">", "---", "...", "\t", "%", "@", "\0", "ü", "?", ","];
        for (var seed = 0; seed < 20_000; seed++)
        {
            var random = new Random(seed);
            var text = string.Concat(Enumerable.Range(0, random.Next(14)).Select(_ => pieces[random.Next(pieces.Length)]));
            try
            {
                QuestionsFile.Read(text, "it").Questions.ShouldAllBe(q => AnswerForms.IsName(q.Name) && !string.IsNullOrWhiteSpace(q.Text));
            }
            catch (CliException e)
            {
                e.Message.ShouldStartWith("it, line ");
            }
        }
    }

    [Theory]
    [InlineData("both a prompt and a command are given", "--questions", "FILE", "--", "y")]
    [InlineData("both a prompt and `about` in the file of questions are given", "--questions", "FILE", "--prompt", "y")]
    [InlineData("--questions /no/such can't be read", "--questions", "/no/such")]
    public async Task Bad_usage_is_told_before_anything_is_sent(string message, params string[] args)
    {
        var file = await FileAsync(Good);
        (await cli.InvokeAsync(["jobs", "run", "-w", "a", .. args.Select(a => a == "FILE" ? file : a)])).ShouldBe(125);
        cli.Error.Text.ShouldStartWith("error: " + message);
        server.Requests.ShouldBeEmpty();
    }

    [Fact]
    public async Task Answers_are_shown_under_their_questions_and_can_not_repaint_the_screen()
    {
        var step = Wire.Step(StepState.Failed, 1, StepReason.ExitCode, detail: "2 of 4 questions were answered; not: safe, q4.") with
        {
            ClaimedAt = Wire.Noon,
            Usage = new TokenUsage { InputTokens = 1200, OutputTokens = 30 },
            Answers = [Answer("what", "\"It is\\na \\u001b[2Jhouse.\"", 2), Answer("parts", """["roof","door"]""", 1), Answer("safe", null, 0) with { Problem = "asked twice" }],
        };
        server.On("GET", $"/api/tasks/{Wire.TaskId}", Wire.Task(TaskState.Failed, step) with
        {
            Mode = TaskMode.Investigate,
            Command = null,
            Questions = [new() { Name = "what", Text = "What is it?" }, new() { Name = "parts", Text = "Which parts?" }, new() { Name = "safe", Text = "Is it safe?" }, new() { Name = "q4", Text = "Where?" }],
        });
        (await cli.InvokeAsync("jobs", "show", Wire.TaskId)).ShouldBe(0);
        cli.Output.Text.ShouldEndWith("""

            answers of a (1200 tokens in, 30 out):
            what: What is it?
              It is
              a �[2Jhouse.
              (2 pieces of evidence; art_what)
            parts: Which parts?
              - roof
              - door
              (1 piece of evidence; art_parts)
            safe: Is it safe?
              (no answer: asked twice; art_safe)
            q4: Where?
              (nothing yet)

            """);
    }

    [Fact]
    public async Task Before_it_runs_the_questions_are_shown_and_can_be_changed()
    {
        server.On("GET", $"/api/tasks/{Wire.TaskId}", Wire.Task(TaskState.Planned) with { Mode = TaskMode.Investigate, Command = null, Execution = null, Questions = [new() { Name = "what", Text = "What is it?" }] });
        (await cli.InvokeAsync("jobs", "show", Wire.TaskId)).ShouldBe(0);
        cli.Output.Text.ShouldContain("what: What is it?");

        server.On("PATCH", $"/api/tasks/{Wire.TaskId}", Wire.Task(TaskState.Queued));
        (await cli.InvokeAsync("jobs", "update", Wire.TaskId, "--questions", await FileAsync("- Why?\n"))).ShouldBe(0, cli.Error.Text);
        server.To("PATCH", $"/api/tasks/{Wire.TaskId}").Single().Body.ShouldBe("""{"questions":[{"name":"q1","text":"Why?"}]}""");
    }

    private static StepAnswerBody Answer(string question, string? json, int evidence) => new()
    {
        Question = question, Answer = json is null ? null : JsonDocument.Parse(json).RootElement, EvidenceCount = evidence, Asked = 1, ArtifactId = "art_" + question, AnsweredAt = Wire.Noon,
    };

    private async Task<string> FileAsync(string text)
    {
        var file = Path.Combine(cli.Home, "questions.yaml");
        await File.WriteAllTextAsync(file, text, TestContext.Current.CancellationToken);
        return file;
    }

    private CreateTaskRequest Sent() => JsonSerializer.Deserialize(server.To("POST", Tasks)[^1].Body, WireJson.Default.CreateTaskRequest)!;
}
