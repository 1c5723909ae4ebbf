using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Tests;
using static Tanjiren.Server.Tests.Records.RecordCalls;

namespace Tanjiren.Server.Tests.Records;

/// <summary>Runbooks (I-02): their life, and the tasks that they make.</summary>
public sealed class RunbookTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_task_made_from_one_runs_its_command_and_records_it(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var runbook = await server.Client.NewRunbookAsync(Restart() with { ApprovalClass = ApprovalClass.None });
        foreach (var named in new[] { runbook.Id, "restart" })
        {
            var task = await server.Client.CreateTaskAsync(new CreateTaskRequest { RunbookId = named, Parameters = new Dictionary<string, string> { ["service"] = "$(reboot)" }, Priority = 7 });
            (task.RunbookId, task.Intent, task.TimeoutSeconds, task.Priority).ShouldBe((runbook.Id, "Restart $(reboot)", 60, 7));
            var assignment = await agent.ClaimAsync(task.StepId());
            assignment.Command!.Argv.ShouldBe(["systemctl", "restart", "$(reboot)"]);
            assignment.Environment!["PARAM_FORCE"].ShouldBe("no");
            // What it made stays as it was made.
            (await server.Client.TaskAsync(task.Id)).Environment!["PARAM_SERVICE"].ShouldBe("$(reboot)");
        }
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Only_an_active_one_makes_tasks_and_what_is_missing_is_named(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        await server.NewInstanceAsync("box");
        Task<IEnumerable<string>> RunAsync(CreateTaskRequest request) => server.Client.PostJsonAsync("/api/tasks", request).WrongFieldsAsync();
        var run = new CreateTaskRequest { RunbookId = "restart", Parameters = new Dictionary<string, string> { ["service"] = "x" } };

        (await RunAsync(run)).ShouldBe(["runbookId"]);
        (await RunAsync(run with { RunbookId = "a\0b" })).ShouldBe(["runbookId"]);
        var runbook = await server.Client.NewRunbookAsync(Restart() with { Status = null });
        (runbook.Status, runbook.Mode, runbook.ApprovalClass, runbook.Version).ShouldBe((RunbookStatus.Draft, TaskMode.Command, ApprovalClass.None, 1));
        (await RunAsync(run)).ShouldBe(["runbookId"]);
        async Task SetAsync(RunbookStatus status, long version) =>
            (await server.Client.PatchJsonAsync("/api/runbooks/restart", new UpdateRunbookRequest { Version = version, Status = status })).EnsureSuccessStatusCode();
        await SetAsync(RunbookStatus.Active, 1);
        (await server.Client.PostJsonAsync("/api/tasks", run)).StatusCode.ShouldBe(HttpStatusCode.Created);
        (await RunAsync(run with { Parameters = null })).ShouldBe(["parameters.service"]);
        (await RunAsync(run with { RunbookId = null })).ShouldBe(["command", "parameters", "targets"]);
        (await RunAsync(run with { Mode = TaskMode.Prompt })).ShouldContain("promptText");
        (await RunAsync(run with { Mode = TaskMode.Investigate })).ShouldContain("questions");
        (await RunAsync(run with { Targets = TaskCalls.On("nobody").Targets })).ShouldBe(["targets.workstations[0]"]);
        await SetAsync(RunbookStatus.Archived, 2);
        (await RunAsync(run)).ShouldBe(["runbookId"]);
        (await server.Client.GetBodyAsync<Page<RunbookBody>>("/api/runbooks?status=archived")).Items.Single().Id.ShouldBe(runbook.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_repeated_request_is_answered_also_when_the_runbook_is_out_of_use_since(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        await server.NewInstanceAsync("box");
        await server.Client.NewRunbookAsync(Restart());
        var run = new CreateTaskRequest { RunbookId = "restart", Parameters = new Dictionary<string, string> { ["service"] = "x" } };
        await server.Client.PostWithKeyAsync(run with { Parameters = null }, "k").ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed);
        var made = await (await server.Client.PostWithKeyAsync(run, "k")).BodyAsync<TaskBody>();
        (await server.Client.PatchJsonAsync("/api/runbooks/restart", new UpdateRunbookRequest { Version = 1, Status = RunbookStatus.Archived })).EnsureSuccessStatusCode();
        var again = await server.Client.PostWithKeyAsync(run, "k");
        (again.StatusCode, (await again.BodyAsync<TaskBody>()).Id).ShouldBe((HttpStatusCode.OK, made.Id));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task It_is_changed_as_a_whole_under_its_version_and_its_name_is_its_own(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var runbook = await server.Client.NewRunbookAsync(Restart() with { DefaultPlan = "Stop, start.", SuccessCriteria = "It runs." });
        await server.Client.NewRunbookAsync(Restart("other"));
        Task<HttpResponseMessage> PatchAsync(UpdateRunbookRequest change) => server.Client.PatchJsonAsync("/api/runbooks/" + runbook.Id, change);

        // A change that leaves a placeholder without its parameter breaks the whole.
        (await PatchAsync(new() { Version = 1, Parameters = [] }).WrongFieldsAsync()).ShouldBe(["command.argv[2]", "intentTemplate"]);
        (await PatchAsync(new() { Version = 1, Command = new() }).WrongFieldsAsync()).ShouldBe(["command"]);
        (await PatchAsync(new() { Name = "x" }).WrongFieldsAsync()).ShouldBe(["version"]);
        await PatchAsync(new() { Version = 1, Name = "other" }).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.NameTaken);
        await server.Client.PostJsonAsync("/api/runbooks", Restart()).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.NameTaken);
        var changed = await (await PatchAsync(new() { Version = 1, Name = "again", DefaultPlan = "", IntentTemplate = "Now {{service}}", DefaultConstraints = new() })).BodyAsync<RunbookBody>();
        (changed.Name, changed.DefaultPlan, changed.SuccessCriteria, changed.DefaultConstraints, changed.IntentTemplate, changed.Version, changed.Status)
            .ShouldBe(("again", null, "It runs.", null, "Now {{service}}", 2, RunbookStatus.Active));
        changed.Command!.Argv.ShouldBe(runbook.Command!.Argv);
        (await PatchAsync(new() { Version = 1, Name = "lost" }).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.VersionConflict)).CurrentState.ShouldBe("2");
        (await server.AuditAsync(runbook.Id)).ShouldBe(["runbook.created", "runbook.updated"]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_422_names_every_field_and_a_draft_may_be_unfinished(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        Task<IEnumerable<string>> FieldsAsync(CreateRunbookRequest request) => server.Client.PostJsonAsync("/api/runbooks", request).WrongFieldsAsync();
        (await FieldsAsync(new())).ShouldBe(["intentTemplate", "name"]);
        (await FieldsAsync(new() { Name = Ids.New(Ids.Runbook, TimeProvider.System), IntentTemplate = "x", Status = RunbookStatus.Active })).ShouldBe(["command", "name"]);
        (await FieldsAsync(new() { Name = "a", IntentTemplate = "x", Status = RunbookStatus.Active, Mode = TaskMode.Investigate })).ShouldBe(["promptText"]);
        (await FieldsAsync(Restart() with { DefaultConstraints = new() { TimeoutSeconds = 0, Targets = new(), WorkingDirectory = "here" }, DefaultPlan = "\0" }))
            .ShouldBe(["defaultConstraints.targets", "defaultConstraints.timeoutSeconds", "defaultConstraints.workingDirectory", "defaultPlan"]);
        // Which the reader of JSON may take for a sum of both.
        const string both = """{"status":"active, archived","name":"a","intentTemplate":"x","mode":"prompt, investigate","approvalClass":"sensitive_write, production_mutation"}""";
        (await server.Client.PostAsync("/api/runbooks", new StringContent(both, null, "application/json"), Cancelled).WrongFieldsAsync()).ShouldContain("status");
        const string highest = """{"approvalClass":"sensitive_write, production_mutation","command":{"argv":["true"]},"targets":{"tags":["a"]}}""";
        (await server.Client.PostAsync("/api/tasks", new StringContent(highest, null, "application/json"), Cancelled).WrongFieldsAsync()).ShouldContain("approvalClass");
        (await server.Client.NewRunbookAsync(new() { Name = "idea", IntentTemplate = "x" })).Status.ShouldBe(RunbookStatus.Draft);
        (await server.Client.GetAsync("/api/runbooks?status=running", Cancelled).WrongFieldsAsync()).ShouldBe(["status"]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Its_maker_or_an_admin_deletes_it_and_its_tasks_keep_its_id(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        await server.NewInstanceAsync("box");
        using var member = await server.NewMemberAsync(Role.Member);
        var runbook = await server.Client.NewRunbookAsync(Restart());
        var task = await member.CreateTaskAsync(new CreateTaskRequest { RunbookId = "restart", Parameters = new Dictionary<string, string> { ["service"] = "x" } });
        await member.DeleteAsync("/api/runbooks/restart", Cancelled).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
        (await server.Client.DeleteAsync("/api/runbooks/restart", Cancelled)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        await server.Client.GetAsync("/api/runbooks/" + runbook.Id, Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        (await server.Client.TaskAsync(task.Id)).RunbookId.ShouldBe(runbook.Id);
        (await server.AuditAsync(runbook.Id)).ShouldBe(["runbook.created", "runbook.deleted"]);
    }
}
