using System.Text;
using System.Text.Json;

using Tanjiren.Protocol;

using static Tanjiren.EndToEnd.Tests.Cli.FakeControlPlane;

namespace Tanjiren.EndToEnd.Tests.Cli;

/// <summary>What people see of a coding agent's questions, and what is sent of their answers.</summary>
public sealed class PermissionCommandsTests : IAsyncLifetime
{
    private const string Permissions = "/api/permissions";

    private readonly CliRun cli = new();
    private FakeControlPlane server = null!;

    public async ValueTask InitializeAsync()
    {
        server = await FakeControlPlane.StartAsync();
        cli.SignedIn(server);
    }

    public async ValueTask DisposeAsync()
    {
        await server.DisposeAsync();
        cli.Dispose();
    }

    [Fact]
    public async Task What_waits_is_shown_with_all_that_an_answer_depends_on_and_can_not_repaint_the_screen()
    {
        server.On("GET", Permissions, new Page<PermissionBody> { Items = [Wire.Permission()] });
        (await cli.InvokeAsync("jobs", "approvals", Wire.TaskId)).ShouldBe(0, cli.Error.Text);
        server.To("GET", Permissions).Single().Query.ShouldContain($"state=pending&task={Wire.TaskId}");
        foreach (var words in new[] { Wire.Permission().Id, "tidy up", "claude", "execute: rm -r build\ufffd[2J", """{"command":"rm -r build"}""", "allow, deny, always (Always)", "then it is denied" })
            cli.Output.Text.ShouldContain(words);
        cli.Output.Text.ShouldNotContain("\u001b");
    }

    [Fact]
    public async Task Nothing_that_waits_is_said_and_all_states_can_be_asked_for()
    {
        server.On("GET", Permissions, new Page<PermissionBody> { Items = [] });
        (await cli.InvokeAsync("jobs", "approvals")).ShouldBe(0);
        cli.Error.Text.ShouldBe("no coding agent waits for an answer\n");
        (await cli.InvokeAsync("jobs", "approvals", "--state", "all")).ShouldBe(0);
        server.To("GET", Permissions)[^1].Query.ShouldNotContain("state=");
    }

    [Fact]
    public async Task An_answer_that_did_not_arrive_in_time_is_shown_beside_what_was_told()
    {
        var late = Wire.Permission(PermissionState.Answered, PermissionVerdict.Allow) with { AnsweredBy = "usr_1", Told = PermissionTold.Deny };
        server.On("GET", Permissions, new Page<PermissionBody> { Items = [late] });
        (await cli.InvokeAsync("jobs", "approvals", "--state", "answered")).ShouldBe(0);
        cli.Output.Text.ShouldContain("allow by usr_1, but the coding agent was told deny");
    }

    [Theory]
    [InlineData("allow", """{"verdict":"allow"}""")]
    [InlineData("deny", """{"verdict":"deny"}""")]
    [InlineData("always", """{"optionId":"always"}""")]
    public async Task An_answer_is_a_verdict_or_an_option(string answer, string sent)
    {
        var path = $"{Permissions}/{Wire.Permission().Id}/answer";
        server.On("POST", path, Wire.Permission(PermissionState.Answered, answer == "deny" ? PermissionVerdict.Deny : PermissionVerdict.Allow));
        (await cli.InvokeAsync("jobs", "answer", Wire.Permission().Id, answer)).ShouldBe(0, cli.Error.Text);
        server.To("POST", path).Single().Body.ShouldBe(sent);
        cli.Error.Text.ShouldContain(answer == "deny" ? "denied" : "allowed");
    }

    [Fact]
    public async Task An_answer_that_came_too_late_is_an_error_with_the_servers_words()
    {
        server.On("POST", $"{Permissions}/perm_1/answer", (context, _) => ProblemAsync(context, ErrorCode.StateConflict, 409, "Its time is over: nobody answered, so it was denied.", "Look what waits now (`jobs approvals`)."));
        (await cli.InvokeAsync("jobs", "answer", "perm_1", "allow", "--reason", "x")).ShouldBe(125);
        cli.Error.Text.ShouldContain("Its time is over");
    }

    [Fact]
    public async Task Who_stays_with_a_job_is_told_what_it_asks_once_and_how_one_answers()
    {
        var asking = Wire.Task(TaskState.Executing, Wire.Step(StepState.Running)) with { Mode = TaskMode.Prompt, Command = null, PromptText = "Tidy up", Permissions = [Wire.Permission()] };
        server.On("POST", "/api/tasks", Wire.Task(TaskState.Queued, Wire.Step(StepState.Queued)), 201);
        server.On("GET", $"/api/tasks/{Wire.TaskId}/events", async (context, _) =>
        {
            await EventAsync(context, 1, PermissionEvents.Asked, Wire.Event(asking) with { Permission = Wire.Permission() });
            await EventAsync(context, 2, "task", Wire.Event(asking));
            await EventAsync(context, 3, "end", Wire.Event(Wire.Task(TaskState.Completed, Wire.Step(StepState.Succeeded, 0))));
        });
        (await cli.InvokeAsync("jobs", "run", "-w", "a", "--prompt", "Tidy up", "--permission-timeout", "5m")).ShouldBe(0, cli.Error.Text);
        JsonSerializer.Deserialize(server.To("POST", "/api/tasks")[0].Body, WireJson.Default.CreateTaskRequest)!.PermissionTimeoutSeconds.ShouldBe(300);
        cli.Error.Text.Split("asks whether it may execute: rm -r build").Length.ShouldBe(2, cli.Error.Text);
        cli.Error.Text.ShouldContain($"tanvrit-compute jobs answer {Wire.Permission().Id} allow");
    }

    [Fact]
    public async Task The_inbox_tells_of_questions_too()
    {
        server.On("GET", "/api/approvals/events", async (context, _) =>
        {
            context.Response.ContentType = "text/event-stream";
            (string, PermissionBody?)[] told = [(ApprovalEvents.Pending, Wire.Permission()), (ApprovalEvents.Current, null), (PermissionEvents.Asked, Wire.Permission() with { Id = "perm_2" })];
            foreach (var (name, permission) in told)
                await context.Response.Body.WriteAsync(Encoding.UTF8.GetBytes($"event: {name}\ndata: {JsonSerializer.Serialize(new ApprovalEventBody { Permission = permission }, WireJson.Default.ApprovalEventBody)}\n\n"));
            await context.Response.Body.FlushAsync();
            await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, context.RequestAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        });
        var watch = cli.InvokeAsync("approvals", "watch");
        await Tanjiren.Tests.Eventually.TrueAsync(() => cli.Output.Text.Contains("perm_2", StringComparison.Ordinal), () => cli.Error.Text);
        cli.Interrupts.Raise();
        (await watch).ShouldBe(0, cli.Error.Text);
        cli.Output.Text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length.ShouldBe(2);
        cli.Output.Text.ShouldContain($"{Wire.TaskId}  {Wire.Permission().Id}  execute: rm -r build");
    }

    [Theory]
    [InlineData(PermissionVerdict.Allow, 0, "allow")]
    [InlineData(PermissionVerdict.Deny, 2, "deny")]
    [InlineData(null, 1, "ask a person")]
    public async Task The_doctrine_is_asked_beforehand(PermissionVerdict? verdict, int code, string words)
    {
        server.On("GET", "/api/auth/me", Me());
        server.On("POST", "/api/organizations/org_1/doctrine/evaluate", new DoctrineDecisionBody
        {
            Version = 3, Class = ApprovalClass.None, Forbidden = false, FreezeRefuses = false, Findings = [], Permission = new DoctrinePermissionBody { Verdict = verdict, Rule = verdict is null ? null : "some rule" },
        });
        (await cli.InvokeAsync("doctrine", "test", "--tool", "execute", "--", "git", "push")).ShouldBe(code, cli.Error.Text);
        cli.Output.Text.ShouldContain(words);
        var sent = JsonSerializer.Deserialize(server.To("POST", "/api/organizations/org_1/doctrine/evaluate").Single().Body, WireJson.Default.EvaluateDoctrineRequest)!;
        (sent.Mode, sent.Command, sent.Tool!.Kind, sent.Tool.Arguments!.Value.GetProperty("command").GetString()).ShouldBe((TaskMode.Prompt, null, "execute", "git push"));
    }

    private static IdentityBody Me() => new()
    {
        UserId = "usr_1", Email = "ada@example.org", Role = Role.Owner, Organization = new OrganizationBody { Id = "org_1", Name = "local" },
    };
}
