using System.Net;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tests.Governance;
using Tanjiren.Server.Tests.Records;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Tasks.Http;

/// <summary>A task in mode investigate over the wire: what its holder is told, which answers are taken from whom, and what stays of them.</summary>
public sealed class InvestigationTaskTests
{
    private static readonly CreateTaskRequest Any = new()
    {
        Mode = TaskMode.Investigate,
        PromptText = "The house.",
        Targets = new TargetSpec { Tags = ["lab"] },
        Questions =
        [
            new() { Name = "what", Text = "What is it?" }, new() { Name = "parts", Text = "Which parts?", Form = AnswerForm.List },
            new() { Name = "safe", Text = "Is it safe?", Form = AnswerForm.YesNo }, new() { Name = "entry", Text = "Where is the door?", Form = AnswerForm.Object, Fields = ["side", "floor"] },
        ],
    };

    private static readonly AnswerEvidence[] Seen = [new() { File = "plan.md", Line = 3, EndLine = 5, Note = "drawn" }, new() { Command = "ls" }];

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Four_answers_are_four_artifacts_and_a_summary_closes_them(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await NewAgentAsync(server, "box");
        var investigation = await server.Client.NewInvestigationAsync();
        var task = await server.Client.CreateTaskAsync(Any with { InvestigationId = investigation.Id });
        (task.Mode, task.Command, task.PromptText, task.Intent, task.LeaseGraceSeconds).ShouldBe((TaskMode.Investigate, null, "The house.", "The house.", 600));
        Names(task.Questions).ShouldBe("what text, parts list, safe yes_no, entry object(side floor)");

        var granted = await agent.ClaimAsync((await agent.WorkAsync(0)).Assignments.Single().StepId);
        (granted.Mode, granted.PromptText, Names(granted.Questions)).ShouldBe((TaskMode.Investigate, "The house.", "what text, parts list, safe yes_no, entry object(side floor)"));

        var step = granted.StepId;
        await AnswerAsync(agent, step, Answer("what", "\"A <b>house</b>.\\n# Big\""));
        (await server.Client.TaskAsync(task.Id)).Execution!.Steps.Single().Answers!.Single().Answer!.Value.GetString().ShouldBe("A <b>house</b>.\n# Big");
        await AnswerAsync(agent, step, Answer("parts", """["roof","door"]""") with { Asked = 2 });
        await AnswerAsync(agent, step, Answer("safe", "true"));
        await AnswerAsync(agent, step, Answer("entry", """{"side":"north","floor":null}"""));
        await agent.CompleteAsync(step);

        var ended = await server.Client.TaskAsync(task.Id);
        ended.State.ShouldBe(TaskState.Completed);
        var answers = ended.Execution!.Steps.Single().Answers!;
        answers.Select(a => (a.Question, a.Asked, a.EvidenceCount, a.Problem, a.Answer!.Value.ToString())).ShouldBe(
        [
            ("what", 1, 2, null, "A <b>house</b>.\n# Big"), ("parts", 2, 2, null, """["roof","door"]"""), ("safe", 1, 2, null, "True"), ("entry", 1, 2, null, """{"side":"north","floor":null}"""),
        ]);
        foreach (var place in new[] { $"/api/tasks/{task.Id}", $"/api/investigations/{investigation.Id}" })
        {
            var artifacts = await server.Client.ArtifactsAsync(place);
            artifacts.Count.ShouldBe(5);
            artifacts.Where(a => a.Kind == ArtifactKind.Note).Select(a => a.Id).ShouldBe(answers.Select(a => a.ArtifactId), ignoreOrder: true);
            artifacts.Where(a => a.Kind == ArtifactKind.Note).ShouldAllBe(a => a.CreatedBy == agent.InstanceId && a.TaskId == task.Id && a.InvestigationId == investigation.Id && a.MediaType == "text/markdown");
        }
        (await server.Client.GetBodyAsync<ArtifactBody>("/api/artifacts/" + answers[0].ArtifactId)).Text.ShouldBe(
            "# what\n\n    What is it?\n\nAnswered on box:\n\n    A <b>house</b>.\n    # Big\n\nEvidence:\n\n- plan.md:3-5: drawn\n- $ ls\n");
        var summary = await server.Client.GetBodyAsync<ArtifactBody>("/api/artifacts/" + (await server.Client.ArtifactsAsync($"/api/tasks/{task.Id}")).Single(a => a.Kind == ArtifactKind.Summary).Id);
        summary.Text!.ShouldSatisfyAllConditions(
            text => text.ShouldContain("4 of 4 answered."), text => text.ShouldContain("### 2. parts\n"), text => text.ShouldContain($"On box: yes (2 pieces of evidence; {answers[2].ArtifactId})"));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_answer_is_taken_once_from_its_holder_and_before_its_result(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await NewAgentAsync(server, "box");
        using var other = await NewAgentAsync(server, "other");
        var (_, stranger) = await server.NewOrganizationAsync();
        using var foreign = await server.NewAgentAsync("foreign", ["lab"], admin: stranger);
        var task = await server.Client.CreateTaskAsync(Any);
        var step = task.StepId();
        var answer = Answer("what", "\"A house.\"");
        // Who holds nothing learns nothing.
        foreach (var nobody in new[] { agent, other, foreign }) await TryAsync(nobody, step, answer).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await agent.ClaimAsync(step);
        foreach (var nobody in new[] { other, foreign }) await TryAsync(nobody, step, answer).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await TryAsync(agent, step, answer with { LeaseGeneration = 2 }).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        (await server.Client.PostJsonAsync($"/api/steps/{step}/answers", answer)).StatusCode.ShouldBe(HttpStatusCode.Unauthorized);

        var kept = await AnswerAsync(agent, step, answer);
        var again = await (await TryAsync(agent, step, answer)).BodyAsync<StepAnswerResponse>();
        (again.Result, again.ArtifactId).ShouldBe((TransitionResult.AlreadyDone, kept.ArtifactId));
        await TryAsync(agent, step, Answer("what", "\"A boat.\"")).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.ResultConflict);
        await TryAsync(agent, step, answer with { Evidence = null }).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.ResultConflict);

        await agent.CompleteAsync(step);
        (await (await TryAsync(agent, step, answer)).BodyAsync<StepAnswerResponse>()).Result.ShouldBe(TransitionResult.AlreadyDone);
        await TryAsync(agent, step, Answer("parts", "[]")).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.LeaseLost);
        (await server.Client.ArtifactsAsync($"/api/tasks/{task.Id}")).Count(a => a.Kind == ArtifactKind.Note).ShouldBe(1);

        agent.SessionId = Ids.New(Ids.Session, TimeProvider.System);
        await TryAsync(agent, step, answer).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.SessionEnded);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_is_no_answer_to_a_question_of_the_task_is_refused_with_its_field(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await NewAgentAsync(server, "box");
        var step = (await server.Client.CreateTaskAsync(Any)).StepId();
        await agent.ClaimAsync(step);
        async Task<IEnumerable<string>> FieldsAsync(StepAnswerRequest request) => await TryAsync(agent, step, request).WrongFieldsAsync();

        (await FieldsAsync(new())).ShouldBe(["asked", "leaseGeneration", "problem", "question"]);
        (await FieldsAsync(Answer("nobody", "\"x\""))).ShouldBe(["question"]);
        (await FieldsAsync(Answer("WHAT", "\"x\""))).ShouldBe(["question"]);
        (await FieldsAsync(Answer("what", "[\"x\"]"))).ShouldBe(["answer"]);
        (await FieldsAsync(Answer("safe", "true") with { Evidence = [] })).ShouldBe(["answer"]);
        (await FieldsAsync(Answer("entry", """{"side":"x"}"""))).ShouldBe(["answer"]);
        (await FieldsAsync(Answer("what", "\"x\"") with { Evidence = [new()] })).ShouldBe(["evidence"]);
        (await FieldsAsync(Answer("what", "\"x\"") with { Problem = "none" })).ShouldBe(["problem"]);
        (await FieldsAsync(Answer("what", "\"x\"") with { Asked = 3 })).ShouldBe(["asked"]);
        (await FieldsAsync(Missing("what") with { Problem = "a\0b", Said = new string('x', WireLimits.MaxSaidLength + 1) })).ShouldBe(["problem", "said"]);

        // Neither is there one of a task that asks nothing.
        var prompt = (await server.Client.CreateTaskAsync(Any with { Mode = TaskMode.Prompt, Questions = null })).StepId();
        await agent.ClaimAsync(prompt);
        (await TryAsync(agent, prompt, Answer("what", "\"x\"")).WrongFieldsAsync()).ShouldBe(["question"]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_was_answered_before_the_end_stays_and_what_is_missing_is_told(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await NewAgentAsync(server, "box");
        var task = await server.Client.CreateTaskAsync(Any);
        var step = task.StepId();
        await agent.ClaimAsync(step);
        await AnswerAsync(agent, step, Answer("what", "\"A house.\""));
        await AnswerAsync(agent, step, Missing("parts"));
        await server.Client.CancelAsync(task.Id);
        (await agent.TryCompleteAsync(step, AgentCalls.Result(step, r => r with { Outcome = StepOutcome.Cancelled, Reason = StepReason.Cancelled, ExitCode = null }))).EnsureSuccessStatusCode();

        var ended = await server.Client.TaskAsync(task.Id);
        ended.State.ShouldBe(TaskState.Cancelled);
        ended.Execution!.Steps.Single().Answers!.Select(a => (a.Question, a.Answer is null, a.Problem)).ShouldBe([("what", false, null), ("parts", true, "asked twice")]);
        var artifacts = await server.Client.ArtifactsAsync($"/api/tasks/{task.Id}");
        artifacts.Select(a => a.Title).Order(StringComparer.Ordinal).ShouldBe(["Cancelled: The house.", "parts (not answered): Which parts?", "what: What is it?"]);
        var summary = (await server.Client.GetBodyAsync<ArtifactBody>("/api/artifacts/" + artifacts.Single(a => a.Kind == ArtifactKind.Summary).Id)).Text!;
        summary.ShouldContain("1 of 4 answered.");
        summary.ShouldContain("not answered: asked twice");
        summary.ShouldContain("### 3. safe\n\nIs it safe?\n\nOn box: not asked, or nothing came back.\n");

        // They outlive the task, whose rows take their own with them.
        (await server.App.Services.GetRequiredService<TaskPurge>().DeleteTasksAsync(TimeProvider.System.GetUtcNow().AddMinutes(1), Cancelled)).ShouldBe(1);
        (await server.Client.ArtifactsAsync($"/api/tasks/{task.Id}")).Count.ShouldBe(3);
        (await server.Database.ReadAsync(sql => sql.FirstAsync<long>("SELECT count(*) FROM step_answers"), Cancelled)).ShouldBe(0);
        await TryAsync(agent, step, Answer("safe", "true")).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
    }

    /// <summary>Far more than one task is ever answered with; a thousand machines with fifty questions could.</summary>
    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Answers_are_told_in_their_order_as_long_as_there_is_room(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await NewAgentAsync(server, "box");
        var task = await server.Client.CreateTaskAsync(Any);
        var step = task.StepId();
        await agent.ClaimAsync(step);
        var answer = $"\"{new string('x', 1_500_000)}\"";
        await server.Database.WriteAsync(async tx =>
        {
            for (var ordinal = 0; ordinal < 4; ordinal++)
            {
                await tx.ExecuteAsync("""
                    INSERT INTO step_answers (step_id, generation, ordinal, artifact_id, answer, words, evidence_count, asked, digest, answered_at)
                    VALUES (@step, 1, @ordinal, 'art_1', @answer, 'xxx', 0, 1, 'x', 0)
                    """, new { step, ordinal, answer });
            }
        }, Cancelled);
        await agent.CompleteAsync(step);

        (await server.Client.TaskAsync(task.Id)).Execution!.Steps.Single().Answers!.Select(a => (a.Question, a.Answer is not null, a.AnswerLeftOut)).ShouldBe(
            [("what", true, null), ("parts", true, null), ("safe", false, true), ("entry", false, true)]);
        var summary = (await server.Client.ArtifactsAsync($"/api/tasks/{task.Id}")).Single();
        (await server.Client.GetBodyAsync<ArtifactBody>("/api/artifacts/" + summary.Id)).Text!.ShouldContain("4 of 4 answered.");
    }

    /// <summary>An agent that could not say how it ended comes home later than the one that took over.</summary>
    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_earlier_claims_answers_are_kept_and_the_newest_that_is_one_counts(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var first = await NewAgentAsync(server, "first");
        using var second = await NewAgentAsync(server, "second");
        var task = await server.Client.CreateTaskAsync(Any with { OnWorkerLost = OnWorkerLost.Requeue });
        var step = task.StepId();
        await first.ClaimAsync(step);
        await AnswerAsync(first, step, Answer("what", "\"A house.\""));
        (await first.TryCompleteAsync(step, AgentCalls.Result(step, r => r with { Outcome = StepOutcome.Failed, Reason = StepReason.UnknownOutcome, ExitCode = null }))).EnsureSuccessStatusCode();

        var generation = (await server.Client.TaskAsync(task.Id)).Execution!.Steps.Single().LeaseGeneration;
        (await second.TryClaimAsync(step, expectedGeneration: generation)).EnsureSuccessStatusCode();
        await AnswerAsync(second, step, Answer("what", "\"A boat.\"") with { LeaseGeneration = generation + 1 });
        await AnswerAsync(second, step, Missing("parts") with { LeaseGeneration = generation + 1 });
        await AnswerAsync(first, step, Answer("parts", "[\"roof\"]"));
        (await second.TryCompleteAsync(step, AgentCalls.Result(step, r => r with { LeaseGeneration = generation + 1 }))).EnsureSuccessStatusCode();

        var answers = (await server.Client.TaskAsync(task.Id)).Execution!.Steps.Single().Answers!;
        answers.Select(a => (a.Question, a.Answer?.GetRawText())).ShouldBe([("what", "\"A boat.\""), ("parts", """["roof"]""")]);
        (await server.Client.ArtifactsAsync($"/api/tasks/{task.Id}")).Count(a => a.Kind == ArtifactKind.Note).ShouldBe(4);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_retry_and_a_schedule_ask_the_same_and_a_change_asks_others(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await NewAgentAsync(server, "box");
        var task = await server.Client.CreateTaskAsync(Any);
        var changed = await (await server.Client.PatchJsonAsync($"/api/tasks/{task.Id}", new UpdateTaskRequest { Questions = [new() { Name = "why", Text = "Why?" }] })).BodyAsync<TaskBody>();
        (Names(changed.Questions), changed.PromptText).ShouldBe(("why text", "The house."));
        await server.Client.CancelAsync(task.Id);
        var again = await (await server.Client.PostJsonAsync($"/api/tasks/{task.Id}/retry", new RetryTaskRequest())).BodyAsync<TaskBody>();
        (again.Mode, Names(again.Questions)).ShouldBe((TaskMode.Investigate, "why text"));

        var schedule = await (await server.Client.PostJsonAsync("/api/schedules", new CreateScheduleRequest { Name = "nightly", Cron = "0 3 * * *", Task = Any })).BodyAsync<ScheduleBody>();
        var made = await (await server.Client.PostAsync($"/api/schedules/{schedule.Id}/run", null, Cancelled)).BodyAsync<TaskBody>();
        (made.Mode, made.Questions!.Count).ShouldBe((TaskMode.Investigate, 4));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_doctrine_reads_the_questions_and_an_approval_is_for_exactly_those(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await NewAgentAsync(server, "box");
        await server.SetDoctrineAsync(1, """
            forbid:
              - name: no-mkfs
                when: { pattern: '\bmkfs\b' }
            approvals:
              - name: inquiries
                class: sensitive_write
                when: { mode: investigate }
            """);
        (await server.Client.PostJsonAsync("/api/tasks", Any with { Questions = [.. Any.Questions!, new() { Name = "f", Text = "Does mkfs work?" }] })
            .ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.ForbiddenByDoctrine)).Detail!.ShouldContain("no-mkfs");

        var task = await server.Client.CreateTaskAsync(Any);
        task.State.ShouldBe(TaskState.Planned);
        var hash = task.Approvals!.Single().ActionHash;
        task = await (await server.Client.PatchJsonAsync($"/api/tasks/{task.Id}", new UpdateTaskRequest { Questions = [.. Any.Questions!.Skip(1)] })).BodyAsync<TaskBody>();
        task.Approvals![^1].ActionHash.ShouldNotBe(hash);
        (await server.Client.PostJsonAsync($"/api/tasks/{task.Id}/approve", new AnswerApprovalRequest())).EnsureSuccessStatusCode();
        Names((await agent.ClaimAsync((await server.Client.TaskAsync(task.Id)).StepId())).Questions).ShouldBe("parts list, safe yes_no, entry object(side floor)");
    }

    private static async Task<DeviceClient> NewAgentAsync(ServerFixture server, string name)
    {
        var agent = await server.NewAgentAsync(name, ["lab"]);
        (await agent.PostAsync("heartbeat", new HeartbeatRequest { MaxConcurrent = 10, CodingAgents = ["claude"] })).EnsureSuccessStatusCode();
        return agent;
    }

    private static StepAnswerRequest Answer(string question, string json) =>
        new() { LeaseGeneration = 1, Question = question, Asked = 1, Answer = JsonDocument.Parse(json).RootElement, Evidence = Seen };

    private static StepAnswerRequest Missing(string question) => new() { LeaseGeneration = 1, Question = question, Asked = 2, Problem = "asked twice", Said = "no idea" };

    private static Task<HttpResponseMessage> TryAsync(DeviceClient agent, string step, StepAnswerRequest request) => agent.PostAsync($"/api/steps/{step}/answers", request);

    private static async Task<StepAnswerResponse> AnswerAsync(DeviceClient agent, string step, StepAnswerRequest request)
    {
        var kept = await (await TryAsync(agent, step, request)).BodyAsync<StepAnswerResponse>();
        kept.Result.ShouldBe(TransitionResult.Applied);
        return kept;
    }

    private static string Names(IReadOnlyList<TaskQuestion>? questions) => string.Join(", ", questions!.Select(q =>
        $"{q.Name} {JsonNamingPolicy.SnakeCaseLower.ConvertName(q.Form!.Value.ToString())}{(q.Fields is null ? "" : $"({string.Join(' ', q.Fields)})")}"));
}
