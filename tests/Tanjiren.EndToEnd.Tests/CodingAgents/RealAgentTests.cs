using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

using Tanjiren.EndToEnd.Tests.CodingAgents.Models;
using Tanjiren.EndToEnd.Tests.Faults;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.CodingAgents;

/// <summary>
/// Acceptance 1, as far as prompts go: real coding agents from npm, asked by the real command line, driven by a real agent on a paired machine, against a scripted model. What
/// each of them does otherwise than the others is theirs; what is promised of the step is the same for all.
/// </summary>
public sealed partial class RealAgentTests(RealAgentTests.SharedScene shared) : IClassFixture<RealAgentTests.SharedScene>
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(3);

    public static TheoryData<string> Agents => new() { "claude", "codex", "opencode" };

    [Theory, MemberData(nameof(Agents))]
    public async Task It_answers(string name)
    {
        await using var run = await StartAsync(name, ModelTurn.Say("The answer is 42."));
        var step = await run.EndAsync();
        (step.State, step.ExitCode).ShouldBe((StepState.Succeeded, 0), await run.DescribeAsync());
        step.Response.ShouldBe("The answer is 42.", await run.DescribeAsync());
        (await run.TextAsync(LogStream.Stdout)).ShouldContain("The answer is 42.");
        run.LeftOver.ShouldBeEmpty();
    }

    [Theory, MemberData(nameof(Agents))]
    public async Task It_writes_a_file_where_it_may(string name)
    {
        await using var run = await StartAsync(name + "-free", ModelTurn.Write("hello.txt", "written by the model"), ModelTurn.Say("I wrote it."));
        var step = await run.EndAsync();
        step.State.ShouldBe(StepState.Succeeded, await run.DescribeAsync());
        (await File.ReadAllTextAsync(Path.Combine(run.Directory, "hello.txt"), TestContext.Current.CancellationToken)).TrimEnd().ShouldBe("written by the model");
        step.Response.ShouldBe("I wrote it.");
        (await run.EventsAsync()).ShouldContain(e => e.GetProperty("type").GetString() == "tool");
        run.LeftOver.ShouldBeEmpty();
    }

    [Theory, MemberData(nameof(Agents))]
    public async Task A_permission_that_a_person_gives_lets_it_write(string name)
    {
        await using var run = await StartAsync(name, ModelTurn.Write("hello.txt", "written by the model"), ModelTurn.Say("I wrote it."));
        await run.AnswerAsync("allow");
        var step = await run.EndAsync();
        step.State.ShouldBe(StepState.Succeeded, await run.DescribeAsync());
        (await File.ReadAllTextAsync(Path.Combine(run.Directory, "hello.txt"), TestContext.Current.CancellationToken)).TrimEnd().ShouldBe("written by the model");
        (await run.EventsAsync()).ShouldContain(e => e.GetProperty("type").GetString() == "permission" && e.GetProperty("answer").GetString() == "allow", await run.DescribeAsync());
        run.LeftOver.ShouldBeEmpty();
    }

    [Theory, MemberData(nameof(Agents))]
    public async Task A_cancel_in_the_middle_of_a_permission_ends_it(string name)
    {
        await using var run = await StartAsync(name, ModelTurn.Write("hello.txt", "written by the model"), ModelTurn.Say("I wrote it."));
        await run.AskedAsync();
        await run.CancelAsync();
        var step = await run.EndAsync();
        (step.State, step.Reason).ShouldBe((StepState.Cancelled, StepReason.Cancelled), await run.DescribeAsync());
        File.Exists(Path.Combine(run.Directory, "hello.txt")).ShouldBeFalse();
        run.LeftOver.ShouldBeEmpty();
    }

    /// <summary>Two agents go on to the model, codex ends its turn: either way nothing was written, and the record says who was told no.</summary>
    [Theory, MemberData(nameof(Agents))]
    public Task A_permission_that_a_person_denies_is_denied(string name) => DeniedAsync(name, run => run.AnswerAsync("deny"));

    [Theory, MemberData(nameof(Agents))]
    public Task A_permission_that_nobody_gives_in_time_is_denied(string name) => DeniedAsync(name, _ => Task.CompletedTask, "--permission-timeout", "3s");

    private async Task DeniedAsync(string name, Func<PromptRun, Task> denyAsync, params string[] options)
    {
        await using var run = await StartAsync(name, options, ModelTurn.Write("hello.txt", "written by the model"), ModelTurn.Say("I was not allowed to."));
        await denyAsync(run);
        var step = await run.EndAsync();
        File.Exists(Path.Combine(run.Directory, "hello.txt")).ShouldBeFalse(await run.DescribeAsync());
        (await run.EventsAsync()).ShouldContain(e => e.GetProperty("type").GetString() == "permission" && e.GetProperty("answer").GetString() == "deny", await run.DescribeAsync());
        step.State.ShouldBeOneOf(StepState.Succeeded, StepState.Failed);
        if (step.State == StepState.Failed) step.Detail!.ShouldContain("denied");
        run.LeftOver.ShouldBeEmpty();
    }

    [Theory, MemberData(nameof(Agents))]
    public async Task A_cancel_in_the_middle_of_words_ends_it(string name)
    {
        await using var run = await StartAsync(name, ModelTurn.Hang("one two three"));
        await run.SaysAsync("three");
        await run.CancelAsync();
        var step = await run.EndAsync();
        (step.State, step.Reason).ShouldBe((StepState.Cancelled, StepReason.Cancelled), await run.DescribeAsync());
        run.LeftOver.ShouldBeEmpty();
    }

    [Theory, MemberData(nameof(Agents))]
    public async Task A_cancel_in_a_running_command_ends_that_too(string name)
    {
        await using var run = await StartAsync(name + "-free", ModelTurn.Run("echo begun > begun; sleep 600"), ModelTurn.Say("Slept."));
        await Eventually.TrueAsync(() => File.Exists(Path.Combine(run.Directory, "begun")), run.Describe, Limit, "the command has begun");
        await run.CancelAsync();
        var step = await run.EndAsync();
        (step.State, step.Reason).ShouldBe((StepState.Cancelled, StepReason.Cancelled), await run.DescribeAsync());
        run.LeftOver.ShouldBeEmpty();
    }

    [Theory, MemberData(nameof(Agents))]
    public async Task A_killed_adapter_fails_the_step_and_leaves_nothing(string name)
    {
        await using var run = await StartAsync(name, ModelTurn.Hang("one two three"));
        await run.SaysAsync("three");
        // The root of the step: the first of its processes.
        using (var root = Process.GetProcessById(run.LeftOver.Select(p => int.Parse(p.Split(':')[0], CultureInfo.InvariantCulture)).Min())) root.Kill();
        var step = await run.EndAsync();
        (step.State, step.Reason).ShouldBe((StepState.Failed, StepReason.ExitCode), await run.DescribeAsync());
        step.Detail!.ShouldContain("ended in the middle of its turn");
        run.LeftOver.ShouldBeEmpty();
    }

    /// <summary>Acceptance 2: four questions in one session, the first answer malformed and asked for again.</summary>
    [Theory, MemberData(nameof(Agents))]
    public async Task It_answers_the_questions_of_an_investigation(string name)
    {
        var scene = await shared.StartedAsync();
        var model = await ModelStandIn.StartAsync();
        model.Talk(
            ("Question 1 of 4:", "It is a control plane, I think."),
            ("question 1 of 4 can", """{"answer": "Tanjiren", "evidence": [{"file": "README.md", "line": 1}]}"""),
            ("Question 2 of 4:", """{"answer": ["Tanjiren.Server", "Tanjiren.Agent"], "evidence": [{"command": "ls src"}]}"""),
            ("Question 3 of 4:", """{"answer": true, "evidence": [{"file": "tests", "note": "a directory"}]}"""),
            ("Question 4 of 4:", """{"answer": {"file": "LICENSE", "lines": 201}, "evidence": [{"file": "LICENSE"}]}"""));
        var directory = shared.NewDirectory();
        var questions = Path.Combine(directory, "questions.yaml");
        await File.WriteAllTextAsync(questions, InvestigationTests.Questions, TestContext.Current.CancellationToken);
        var variables = CodingAgentKit.Prepare(name, Path.Combine(directory, "home"), model.Url);
        var job = JobId().Match(await scene.CliAsync(
        [
            "jobs", "run", "--workstation", "a", "--detach", "--agent", name, "--cwd", InvestigationTests.Repository(), "--timeout", "300", "--questions", questions,
            .. variables.SelectMany(v => (string[])["--env", $"{v.Key}={v.Value}"]),
        ])).Value;
        await using var run = new PromptRun(scene, model, job, directory);

        var step = await run.EndAsync();

        step.State.ShouldBe(StepState.Succeeded, await run.DescribeAsync());
        step.Answers!.Select(a => (a.Question, a.Asked, a.EvidenceCount, a.Problem)).ShouldBe([("title", 2, 1, null), ("parts", 1, 1, null), ("tests", 1, 1, null), ("entry", 1, 1, null)], await run.DescribeAsync());
        (step.Answers![0].Answer!.Value.GetString(), step.Answers[2].Answer!.Value.GetBoolean()).ShouldBe(("Tanjiren", true));
        InvestigationTests.Kinds(await scene.CliAsync("artifacts", "list", job)).ShouldBe(["note", "note", "note", "note", "summary"]);
        run.LeftOver.ShouldBeEmpty();
    }

    private Task<PromptRun> StartAsync(string agent, params ModelTurn[] script) => StartAsync(agent, [], script);

    private async Task<PromptRun> StartAsync(string agent, string[] options, params ModelTurn[] script)
    {
        var scene = await shared.StartedAsync();
        var model = await ModelStandIn.StartAsync();
        model.Script(script);
        var directory = shared.NewDirectory();
        var variables = CodingAgentKit.Prepare(agent, Path.Combine(directory, "home"), model.Url);
        var printed = await scene.CliAsync(
        [
            "jobs", "run", "--workstation", "a", "--detach", "--agent", agent, "--cwd", directory, "--timeout", "300", .. options,
            .. variables.SelectMany(v => (string[])["--env", $"{v.Key}={v.Value}"]), "--prompt", "Do as you are told.",
        ]);
        return new PromptRun(scene, model, JobId().Match(printed).Value, directory);
    }

    [GeneratedRegex("task_[0-9a-z]+", RegexOptions.None, 1000)]
    private static partial Regex JobId();

    /// <summary>One job and the model that it talks to.</summary>
    private sealed class PromptRun(FaultScene scene, ModelStandIn model, string job, string directory) : IAsyncDisposable
    {
        public string Directory => directory;

        /// <summary>Processes of the job that live: all of them carry its directory in their environment, in HOME.</summary>
        public IReadOnlyList<string> LeftOver => JobProcesses.Of(directory);

        public Task<StepBody> EndAsync() => scene.EndAsync(job);

        public Task CancelAsync() => scene.CliAsync("jobs", "cancel", job);

        /// <summary>Until it asks for the first thing that waits for an answer.</summary>
        public async Task<string> AskedAsync()
        {
            var id = "";
            await Eventually.TrueAsync(async () => (id = (await scene.Workspace.TaskAsync(job)).Permissions?[0].Id ?? "").Length > 0, Describe, Limit, "the coding agent asks");
            return id;
        }

        /// <summary>The same answer to whatever it asks, on the command line, until the job ends: some ask for one tool more than once.</summary>
        public async Task AnswerAsync(string answer)
        {
            await AskedAsync();
            await Eventually.TrueAsync(async () =>
            {
                var task = await scene.Workspace.TaskAsync(job);
                foreach (var permission in task.Permissions ?? [])
                {
                    permission.Tool.Title.ShouldNotBeNullOrWhiteSpace();
                    await scene.TryCliAsync("jobs", "answer", permission.Id, answer);
                }
                return task.State is TaskState.Completed or TaskState.Failed;
            }, Describe, Limit, "every question is answered");
        }

        public Task SaysAsync(string word) => Eventually.TrueAsync(
            async () => (await TextAsync(LogStream.Stdout)).Contains(word, StringComparison.Ordinal), Describe, Limit, $"the coding agent says '{word}'");

        public async Task<string> TextAsync(LogStream stream)
        {
            var step = (await scene.Workspace.TaskAsync(job)).Execution!.Steps.Single();
            return Encoding.UTF8.GetString([.. (await scene.Workspace.LogsAsync(job, step.Id)).Where(c => c.Stream == stream).SelectMany(c => c.Data)]);
        }

        public async Task<List<JsonElement>> EventsAsync()
        {
            List<JsonElement> events = [];
            // The last of the output may come after the result.
            await Eventually.TrueAsync(async () => (await scene.Workspace.TaskAsync(job)).Execution!.Steps.Single().LogsComplete, Describe, Limit, "the log is complete");
            foreach (var record in (await TextAsync(LogStream.System)).Split('\u001e').Skip(1)) events.Add(JsonDocument.Parse(record[..record.IndexOf('\n')]).RootElement);
            return events;
        }

        public string Describe() => $"{model.Describe()}{Environment.NewLine}{scene.Evidence()}";

        public async Task<string> DescribeAsync()
        {
            var step = (await scene.Workspace.TaskAsync(job)).Execution!.Steps.Single();
            return string.Join(Environment.NewLine, $"{step.State} {step.Reason} {step.Detail}", "--- stdout ---", await TextAsync(LogStream.Stdout), "--- stderr ---", await TextAsync(LogStream.Stderr),
                "--- system ---", await TextAsync(LogStream.System), "--- model ---", model.Describe());
        }

        public ValueTask DisposeAsync() => model.DisposeAsync();
    }

    /// <summary>One server and its agents for all tests of the class; started by the first, so that a missing prerequisite skips and does not fail.</summary>
    public sealed class SharedScene : IAsyncDisposable
    {
        private readonly TemporaryDirectory _directories = new();
        private FaultScene? _scene;
        private int _made;

        internal async Task<FaultScene> StartedAsync() => _scene ??= await FaultScene.StartAsync(new SceneOptions
        {
            TtlSeconds = 30, GraceSeconds = 30, AgentEnvironment = CodingAgentKit.AgentEnvironment(), AgentYaml = CodingAgentKit.AgentYaml(),
        });

        public string NewDirectory() => Directory.CreateDirectory(_directories.File(string.Create(CultureInfo.InvariantCulture, $"run-{++_made}"))).FullName;

        public async ValueTask DisposeAsync()
        {
            if (_scene is not null)
                await _scene.DisposeAsync();
            _directories.Dispose();
        }
    }
}
