using Tanjiren.Protocol;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Tests.Tasks;

public sealed class TaskRequestRulesTests
{
    private static readonly CreateTaskRequest Good = new()
    {
        Command = new CommandSpec { Argv = ["echo", "hello world"] }, Targets = new TargetSpec { Workstations = ["desk"] },
    };

    private static readonly CreateTaskRequest Asking = new()
    {
        Mode = TaskMode.Prompt, PromptText = "Why does\nmake test fail?", CodingAgent = "claude", Targets = new TargetSpec { Workstations = ["desk"] },
    };

    private static readonly CreateTaskRequest Inquiring = new()
    {
        Mode = TaskMode.Investigate, Targets = new TargetSpec { Workstations = ["desk"] },
        Questions = [new() { Name = "start", Text = "Where does\nit begin?" }, new() { Name = "parts", Text = "Which parts?", Form = AnswerForm.Object, Fields = ["name"] }],
    };

    [Fact]
    public void Questions_keep_their_order_have_a_form_and_name_the_task()
    {
        var spec = Normalize(Inquiring, out var fields);
        fields.ShouldBeEmpty();
        (spec.Mode, spec.Command, spec.LeaseGraceSeconds, spec.Intent).ShouldBe((TaskMode.Investigate, null, 600, "2 questions: Where does it begin?"));
        spec.Questions!.Select(q => (q.Name, q.Form)).ShouldBe([("start", AnswerForm.Text), ("parts", AnswerForm.Object)]);
        Normalize(Inquiring with { PromptText = "The house." }, out _).Intent.ShouldBe("The house.");

        var errors = new FieldErrors();
        var changed = TaskRequestRules.Merge(spec, new UpdateTaskRequest { Questions = [new() { Name = "why", Text = "Why?" }] }, 120, errors);
        errors.Any.ShouldBeFalse();
        (changed.Intent, changed.Questions!.Single().Name).ShouldBe(("Why?", "why"));
    }

    [Fact]
    public void A_prompt_keeps_its_mode_and_has_a_longer_grace()
    {
        var spec = Normalize(Asking, out var fields);
        fields.ShouldBeEmpty();
        (spec.Mode, spec.Command, spec.LeaseGraceSeconds, spec.Intent, spec.CodingAgent).ShouldBe((TaskMode.Prompt, null, 600, "Why does make test fail?", "claude"));
    }

    [Fact]
    public void A_change_of_a_prompt_changes_the_intent_that_nobody_gave()
    {
        var errors = new FieldErrors();
        var changed = TaskRequestRules.Merge(Normalize(Asking, out _), new UpdateTaskRequest { PromptText = "Why not?", CodingAgent = "" }, 120, errors);
        errors.Any.ShouldBeFalse();
        (changed.Mode, changed.Intent, changed.PromptText, changed.CodingAgent).ShouldBe((TaskMode.Prompt, "Why not?", "Why not?", null));

        TaskRequestRules.Merge(Normalize(Asking, out _), new UpdateTaskRequest { Command = Good.Command }, 120, errors);
        errors.ToProblem().Value!.Errors!.Keys.ShouldBe(["command"]);
    }

    [Fact]
    public void Every_default_is_filled_in()
    {
        var spec = Normalize(Good, out var fields);

        fields.ShouldBeEmpty();
        spec.Intent.ShouldBe("echo hello world");
        spec.Mode.ShouldBe(TaskMode.Command);
        spec.Targets!.Placement.ShouldBe(Placement.All);
        (spec.MaxParallel, spec.TimeoutSeconds, spec.QueueTimeoutSeconds, spec.LeaseGraceSeconds, spec.Priority).ShouldBe((1, 86_400, 604_800, 120, 0));
        spec.OnWorkerLost.ShouldBe(OnWorkerLost.Fail);
        Normalize(Good with { Targets = new TargetSpec { Tags = ["gpu"] } }, out _).Targets!.Placement.ShouldBe(Placement.Any);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void A_long_command_is_cut_between_characters_for_its_intent(int before)
    {
        var intent = Normalize(Good with { Command = new CommandSpec { Shell = new string('x', before) + string.Concat(Enumerable.Repeat("😀", 300)) } }, out var fields).Intent!;
        fields.ShouldBeEmpty();
        intent.Length.ShouldBeInRange(WireLimits.MaxIntentLength - 1, WireLimits.MaxIntentLength);
        intent.ShouldEndWith("😀…");
    }

    [Fact]
    public void Each_bad_field_is_named()
    {
        foreach (var (field, request) in Bad)
        {
            Normalize(request, out var fields);
            fields.ShouldContain(field);
        }
    }

    [Fact]
    public void One_answer_names_everything_that_is_wrong()
    {
        Normalize(new CreateTaskRequest { Priority = 101, MaxParallel = -1, Intent = " " }, out var fields);
        fields.ShouldBe(["command", "intent", "maxParallel", "priority", "targets"], ignoreOrder: true);
    }

    private static (string Field, CreateTaskRequest Request)[] Bad =>
    [
        ("questions", Asking with { Mode = TaskMode.Investigate }),
        ("questions", Asking with { Questions = Inquiring.Questions }),
        ("questions", Inquiring with { Mode = TaskMode.Prompt, PromptText = "Why?" }),
        ("questions", Good with { Questions = [] }),
        ("command", Inquiring with { Command = Good.Command }),
        ("questions", Inquiring with { Questions = [] }),
        ("questions", Inquiring with { Questions = [.. Enumerable.Range(0, WireLimits.MaxQuestions + 1).Select(i => new TaskQuestion { Name = $"q{i}", Text = "?" })] }),
        ("questions", Inquiring with { PromptText = new string('x', WireLimits.MaxProseBytes - 10) }),
        ("questions[0]", Inquiring with { Questions = [null!] }),
        ("questions[0].name", Inquiring with { Questions = [new() { Text = "?" }] }),
        ("questions[0].name", Inquiring with { Questions = [new() { Name = "a b", Text = "?" }] }),
        ("questions[0].name", Inquiring with { Questions = [new() { Name = new string('a', 65), Text = "?" }] }),
        ("questions[1].name", Inquiring with { Questions = [new() { Name = "a", Text = "?" }, new() { Name = "A", Text = "?" }] }),
        ("questions[0].text", Inquiring with { Questions = [new() { Name = "a", Text = " \n" }] }),
        ("questions[0].text", Inquiring with { Questions = [new() { Name = "a", Text = "a\0b" }] }),
        ("questions[0].fields", Inquiring with { Questions = [new() { Name = "a", Text = "?", Fields = ["x"] }] }),
        ("questions[0].fields", Inquiring with { Questions = [new() { Name = "a", Text = "?", Form = AnswerForm.Object }] }),
        ("questions[0].fields", Inquiring with { Questions = [new() { Name = "a", Text = "?", Form = AnswerForm.Object, Fields = [] }] }),
        ("questions[0].fields[1]", Inquiring with { Questions = [new() { Name = "a", Text = "?", Form = AnswerForm.Object, Fields = ["x", "x"] }] }),
        ("questions[0].fields[0]", Inquiring with { Questions = [new() { Name = "a", Text = "?", Form = AnswerForm.Object, Fields = ["x\ny"] }] }),
        ("promptText", Good with { PromptText = "Why?" }),
        ("codingAgent", Good with { CodingAgent = "claude" }),
        ("command", Asking with { Command = Good.Command }),
        ("promptText", Asking with { PromptText = null }),
        ("promptText", Asking with { PromptText = " \n" }),
        ("promptText", Asking with { PromptText = "a\0b" }),
        ("promptText", Asking with { PromptText = new string('ü', WireLimits.MaxProseBytes / 2 + 1) }),
        ("codingAgent", Asking with { CodingAgent = "" }),
        ("codingAgent", Asking with { CodingAgent = "*" }),
        ("codingAgent", Asking with { CodingAgent = new string('a', 65) }),
        ("intent", Good with { Intent = new string('x', 501) }),
        ("intent", Good with { Intent = "a\u0007b" }),
        ("command", Good with { Command = null }),
        ("command", Good with { Command = new CommandSpec() }),
        ("command", Good with { Command = new CommandSpec { Argv = ["a"], Shell = "a" } }),
        ("command.shell", Good with { Command = new CommandSpec { Shell = "  " } }),
        ("command.shell", Good with { Command = new CommandSpec { Shell = "a\0b" } }),
        ("command.shell", Good with { Command = new CommandSpec { Shell = new string('x', WireLimits.MaxCommandBytes + 1) } }),
        ("command.argv", Good with { Command = new CommandSpec { Argv = [] } }),
        ("command.argv", Good with { Command = new CommandSpec { Argv = [.. Enumerable.Repeat("x", WireLimits.MaxArguments + 1)] } }),
        ("command.argv[0]", Good with { Command = new CommandSpec { Argv = [""] } }),
        ("command.argv[1]", Good with { Command = new CommandSpec { Argv = ["a", "b\0"] } }),
        ("command.argv[1]", Good with { Command = new CommandSpec { Argv = ["a", null!] } }),
        ("targets", Good with { Targets = null }),
        ("targets", Good with { Targets = new TargetSpec { Tags = [] } }),
        ("targets.workstations[0]", Good with { Targets = new TargetSpec { Workstations = ["a\0"] } }),
        ("targets.tags[0]", Good with { Targets = new TargetSpec { Tags = [""] } }),
        ("targets.labels.os", Good with { Targets = new TargetSpec { Labels = new Dictionary<string, string> { ["os"] = "" } } }),
        ("workingDirectory", Good with { WorkingDirectory = "relative/path" }),
        ("environment.1X", Good with { Environment = new Dictionary<string, string> { ["1X"] = "v" } }),
        ("environment.TANJIREN_STEP_ID", Good with { Environment = new Dictionary<string, string> { ["TANJIREN_STEP_ID"] = "v" } }),
        ("environment.X", Good with { Environment = new Dictionary<string, string> { ["X"] = "v\0" } }),
        ("environmentFromMachine[0]", Good with { EnvironmentFromMachine = ["a b"] }),
        ("resources.cpu", Good with { Resources = new ResourceSpec { Cpu = 0 } }),
        ("resources.cpu", Good with { Resources = new ResourceSpec { Cpu = double.NaN } }),
        ("resources.memoryMb", Good with { Resources = new ResourceSpec { MemoryMb = 0 } }),
        ("resources.gpuCount", Good with { Resources = new ResourceSpec { GpuCount = -1 } }),
        ("maxParallel", Good with { MaxParallel = 1001 }),
        ("stopAfterFailures", Good with { StopAfterFailures = 0 }),
        ("timeoutSeconds", Good with { TimeoutSeconds = 0 }),
        ("queueTimeoutSeconds", Good with { QueueTimeoutSeconds = 2_592_001 }),
        ("leaseGraceSeconds", Good with { LeaseGraceSeconds = 3601 }),
        ("priority", Good with { Priority = -101 }),
    ];

    private static CreateTaskRequest Normalize(CreateTaskRequest request, out IReadOnlyCollection<string> fields)
    {
        var errors = new FieldErrors();
        var spec = TaskRequestRules.Normalize(request, 120, errors);
        fields = errors.Any ? [.. errors.ToProblem().Value!.Errors!.Keys] : [];
        return spec;
    }
}
