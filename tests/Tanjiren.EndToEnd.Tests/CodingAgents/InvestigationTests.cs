using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;

using Tanjiren.EndToEnd.Tests.Faults;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.CodingAgents;

/// <summary>
/// Acceptance 2, by the real command line, a real server and a real agent: an investigation of this repository. The coding agent is a script that speaks the protocol and looks at the files; what it
/// answers first is malformed.
/// </summary>
public sealed partial class InvestigationTests(InvestigationTests.SharedScene shared) : IClassFixture<InvestigationTests.SharedScene>
{
    internal const string Questions = """
        about: What a newcomer must know of this repository.
        questions:
          - { name: title, text: What is it called? }
          - { name: parts, text: Which projects has it?, form: list }
          - { name: tests, text: Has it tests?, form: yes_no }
          - { name: entry, text: Where is the license?, form: object, fields: [file, lines] }

        """;

    /// <summary>Answers by turns: nonsense, then each question from the files of its directory. FAKE says how it fails.</summary>
    private const string Script = """
        #!/bin/sh
        n=0
        answer() { printf '%s\n' '{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s","update":{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"'"$1"'"}}}}'; }
        while read -r line; do
          id=$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9][0-9]*\).*/\1/p')
          case $line in
          *'"method":"initialize"'*) printf '{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":1,"agentInfo":{"name":"script","version":"1"}}}\n' "$id" ;;
          *'"method":"session/new"'*) printf '{"jsonrpc":"2.0","id":%s,"result":{"sessionId":"s"}}\n' "$id" ;;
          *'"method":"session/prompt"'*)
            n=$((n + 1))
            if [ $n = 4 ]; then
              case $FAKE in
              dies) echo 'out of luck' >&2; exit 3 ;;
              hangs) answer 'thinking'; sleep 600 ;;
              esac
            fi
            case $n in
            1) answer 'It is a control plane, I think.' ;;
            2) answer '```json\n{\"answer\": \"'"$(head -n 1 README.md | tr -d '# \r')"'\", \"evidence\": [{\"file\": \"README.md\", \"line\": 1}]}\n```' ;;
            3) answer '{\"answer\": ['"$(ls src | sed 's/.*/\\"&\\"/' | paste -sd, -)"'], \"evidence\": [{\"command\": \"ls src\"}]}' ;;
            4) answer '{\"answer\": '"$([ -d tests ] && echo true || echo false)"', \"evidence\": [{\"file\": \"tests\", \"note\": \"a directory\"}]}' ;;
            *) answer '{\"answer\": {\"file\": \"LICENSE\", \"lines\": '"$(wc -l < LICENSE | tr -d ' ')"'}, \"evidence\": [{\"file\": \"LICENSE\"}, {\"command\": \"wc -l\"}]}' ;;
            esac
            printf '{"jsonrpc":"2.0","id":%s,"result":{"stopReason":"end_turn"}}\n' "$id" ;;
          esac
        done

        """;

    [Fact]
    public async Task Four_questions_of_this_repository_yield_four_artifacts_and_a_summary()
    {
        var scene = await shared.StartedAsync();
        var investigation = InvestigationId().Match(await scene.CliAsync("investigations", "create", "What is this?")).Value;
        var id = await StartAsync("a", "--investigation", investigation);
        (await scene.EndAsync(id)).State.ShouldBe(StepState.Succeeded, await scene.CliAsync("jobs", "show", id));

        var answers = (await scene.Workspace.TaskAsync(id)).Execution!.Steps.Single().Answers!;
        answers.Select(a => (a.Question, a.Asked, a.EvidenceCount, a.Problem)).ShouldBe([("title", 2, 1, null), ("parts", 1, 1, null), ("tests", 1, 1, null), ("entry", 1, 2, null)]);
        answers[0].Answer!.Value.GetString().ShouldBe("Tanjiren");
        answers[1].Answer!.Value.EnumerateArray().Select(a => a.GetString()).ShouldContain("Tanjiren.Server");
        (answers[2].Answer!.Value.GetBoolean(), answers[3].Answer!.Value.GetProperty("file").GetString()).ShouldBe((true, "LICENSE"));

        foreach (var place in new[] { id, investigation })
        {
            var artifacts = await scene.CliAsync("artifacts", "list", place);
            Kinds(artifacts).ShouldBe(["note", "note", "note", "note", "summary"], artifacts);
            foreach (var answer in answers) artifacts.ShouldContain(answer.ArtifactId);
        }
        (await scene.CliAsync("artifacts", "get", answers[2].ArtifactId)).ShouldSatisfyAllConditions(text => text.ShouldContain("yes"), text => text.ShouldContain("tests: a directory"));
        (await scene.CliAsync("jobs", "show", id)).ShouldSatisfyAllConditions(text => text.ShouldContain("title: What is it called?"), text => text.ShouldContain("- Tanjiren.Server"));
        (await scene.CliAsync("jobs", "logs", id)).ShouldContain("question 1 of 4, title, again: there is no JSON object with the member \"answer\" in it");
    }

    [Fact]
    public async Task A_coding_agent_that_dies_in_the_third_question_leaves_the_first_two_answered()
    {
        var scene = await shared.StartedAsync();
        var id = await StartAsync("a", "--env", "FAKE=dies");
        var step = await scene.EndAsync(id);
        (step.Reason, step.ExitCode).ShouldBe((StepReason.ExitCode, 3), step.Detail);
        step.Detail!.ShouldContain("2 of 4 questions were answered");
        await HasTwoAnswersAsync(scene, id);
    }

    [Fact]
    public async Task An_agent_that_is_killed_in_the_third_question_leaves_the_first_two_answered()
    {
        var scene = await shared.StartedAsync();
        var id = await StartAsync("b", "--env", "FAKE=hangs", "--lease-grace", "10");
        // They are there while the third is thought about.
        await Eventually.TrueAsync(async () => (await scene.Workspace.TaskAsync(id)).Execution!.Steps.Single().Answers?.Count == 2, scene.Evidence, TimeSpan.FromMinutes(2), "two answers are there");
        await scene.Agents.Single(a => a.Name == "b").KillAsync();

        (await scene.EndAsync(id)).Reason.ShouldBe(StepReason.WorkerLost);
        await HasTwoAnswersAsync(scene, id);
    }

    private async Task<string> StartAsync(string workstation, params string[] more) => JobId().Match(await (await shared.StartedAsync()).CliAsync(
        ["jobs", "run", "--workstation", workstation, "--agent", "codex", "--cwd", Repository(), "--questions", shared.QuestionsFile, "--timeout", "300", "--detach", .. more])).Value;

    private static async Task HasTwoAnswersAsync(FaultScene scene, string id)
    {
        var task = await scene.Workspace.TaskAsync(id);
        task.State.ShouldBe(TaskState.Failed);
        task.Execution!.Steps.Single().Answers!.Select(a => (a.Question, a.Answer is not null)).ShouldBe([("title", true), ("parts", true)]);
        var artifacts = await scene.CliAsync("artifacts", "list", id);
        Kinds(artifacts).ShouldBe(["note", "note", "summary"], artifacts);
        (await scene.CliAsync("artifacts", "get", SummaryId().Match(artifacts).Groups["id"].Value)).ShouldSatisfyAllConditions(
            text => text.ShouldContain("2 of 4 answered."), text => text.ShouldContain("not asked, or nothing came back"));
    }

    internal static IEnumerable<string> Kinds(string list) => KindOf().Matches(list).Select(m => m.Groups["kind"].Value).Order(StringComparer.Ordinal);

    internal static string Repository([CallerFilePath] string here = "") => Path.GetFullPath(Path.Combine(Path.GetDirectoryName(here)!, "..", "..", ".."));

    [GeneratedRegex("task_[0-9a-z]+", RegexOptions.None, 1000)]
    private static partial Regex JobId();

    [GeneratedRegex(@"art_[0-9a-z]+\s+(?<kind>note|summary)\b", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex KindOf();

    [GeneratedRegex(@"(?<id>art_[0-9a-z]+)\s+summary\b", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex SummaryId();

    [GeneratedRegex("ivg_[0-9a-z]+", RegexOptions.None, 1000)]
    private static partial Regex InvestigationId();

    /// <summary>One server and its agents for all tests of the class; started by the first, so that a missing prerequisite skips and does not fail.</summary>
    public sealed class SharedScene : IAsyncDisposable
    {
        private readonly TemporaryDirectory _directory = new();
        private FaultScene? _scene;

        public string QuestionsFile => _directory.File("questions.yaml");

        internal async Task<FaultScene> StartedAsync()
        {
            if (_scene is not null) return _scene;
            Prerequisite.Linux();
            await File.WriteAllTextAsync(QuestionsFile, Questions);
            // Found by the name of a known one: its machine announces it without an agent.yaml.
            var program = _directory.File("codex-acp");
            await File.WriteAllTextAsync(program, Script);
            if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(program, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            return _scene = await FaultScene.StartAsync(new SceneOptions
            {
                TtlSeconds = 10,
                GraceSeconds = 10,
                AgentEnvironment = new Dictionary<string, string?> { ["PATH"] = string.Join(Path.PathSeparator, _directory.Path, Environment.GetEnvironmentVariable("PATH")) },
            });
        }

        public async ValueTask DisposeAsync()
        {
            if (_scene is not null) await _scene.DisposeAsync();
            _directory.Dispose();
        }
    }
}
