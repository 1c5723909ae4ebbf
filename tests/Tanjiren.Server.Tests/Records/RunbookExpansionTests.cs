using Tanjiren.Protocol;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Runbooks;

namespace Tanjiren.Server.Tests.Records;

/// <summary>What becomes of parameters (docs/decisions/0018-runbook-parameters.md): a value is text in the intent and the prompt, and never more than one argument or variable of a command.</summary>
public sealed class RunbookExpansionTests
{
    private static readonly RunbookFields Blueprint = new()
    {
        Name = "r", IntentTemplate = "Restart {{ service }} on {{where}}", Mode = TaskMode.Command, ApprovalClass = ApprovalClass.SensitiveWrite,
        Parameters = [new() { Name = "service" }, new() { Name = "where", Default = "all" }],
        Command = new CommandSpec { Argv = ["restart", "{{service}}", "--", "{{where}}", "{{.Names}}"] },
        DefaultConstraints = new RunbookConstraints
        {
            Targets = new TargetSpec { Tags = ["web"] }, TimeoutSeconds = 5, Environment = new Dictionary<string, string> { ["A"] = "a", ["B"] = "b" }, EnvironmentFromMachine = ["HOME", "PATH"],
        },
    };

    public static TheoryData<string> Hostile =>
        ["; rm -rf /", "$(rm -rf /)", "`id`", "a b", "a'b\"c", "{{where}}", "|& tee", "\n", "%PATH%", "*", "🙂", ""];

    [Theory, MemberData(nameof(Hostile))]
    public void A_value_is_one_argument_and_one_variable_whatever_is_in_it(string value)
    {
        var task = Expand(Given(("service", value)));
        task.Command!.Argv.ShouldBe(["restart", value, "--", "all", "{{.Names}}"]);
        task.Environment!["PARAM_SERVICE"].ShouldBe(value);
        task.Intent.ShouldBe($"Restart {value.Replace('\n', ' ')} on all".Trim());
    }

    [Fact]
    public void A_shells_text_never_changes_and_gets_its_values_as_variables()
    {
        var task = Expand(Given(("service", "$(id)")), Blueprint with { Command = new CommandSpec { Shell = "systemctl restart \"$PARAM_SERVICE\" # {{other}}" } });
        task.Command.ShouldBe(new CommandSpec { Shell = "systemctl restart \"$PARAM_SERVICE\" # {{other}}" });
        (task.Environment!["PARAM_SERVICE"], task.Environment["PARAM_WHERE"]).ShouldBe(("$(id)", "all"));
    }

    [Fact]
    public void An_argument_is_no_option_unless_the_runbook_has_ended_them()
    {
        Wrong(Given(("service", "-rf"))).ShouldBe(["parameters.service"]);
        Expand(Given(("service", "x"), ("where", "--all"))).Command!.Argv![3].ShouldBe("--all");
    }

    [Fact]
    public void What_the_request_says_counts_but_a_lower_approval_class_does_not()
    {
        var request = Given(("service", "x")) with
        {
            Intent = "mine",
            TimeoutSeconds = 9,
            Targets = new TargetSpec { Workstations = ["box"] },
            Environment = new Dictionary<string, string> { ["B"] = "mine", ["HOME"] = "/" },
            ApprovalClass = ApprovalClass.None,
        };
        var task = Expand(request);
        (task.Intent, task.TimeoutSeconds, task.Targets!.Workstations!.Single(), task.Targets.Tags).ShouldBe(("mine", 9, "box", null));
        task.Environment!.OrderBy(v => v.Key).Select(v => $"{v.Key}={v.Value}").ShouldBe(["A=a", "B=mine", "HOME=/", "PARAM_SERVICE=x", "PARAM_WHERE=all"]);
        task.EnvironmentFromMachine.ShouldBe(["PATH"]);
        task.ApprovalClass.ShouldBe(ApprovalClass.SensitiveWrite);
        Expand(request with { ApprovalClass = ApprovalClass.ProductionMutation }).ApprovalClass.ShouldBe(ApprovalClass.ProductionMutation);
        Expand(request with { Command = new CommandSpec { Argv = ["true", "{{service}}"] } }).Command!.Argv.ShouldBe(["true", "{{service}}"], "a request's own command is no template");
        (task.RunbookId, task.Parameters).ShouldBe((null, null));
    }

    [Fact]
    public void Missing_unknown_and_unfit_parameters_are_each_named()
    {
        Wrong(new()).ShouldBe(["parameters.service"]);
        Wrong(Given(("service", null!))).ShouldBe(["parameters.service"]);
        Wrong(Given(("servce", "x"), ("where", "a\0b"))).ShouldBe(["parameters.servce", "parameters.service", "parameters.where"]);
        Wrong(Given(("service", "x"), ("SERVICE", "y"))).ShouldBe(["parameters.SERVICE"]);
        Wrong(Given(("service", new string('x', WireLimits.MaxParameterLength + 1)))).ShouldBe(["parameters.service"]);
        Wrong(Given(("service", "x")) with { Environment = new Dictionary<string, string> { ["PARAM_SERVICE"] = "y" } }).ShouldBe(["environment.PARAM_SERVICE"]);
        Expand(Given(("SERVICE", "x"))).Intent.ShouldBe("Restart x on all", "upper and lower case are the same");
    }

    [Fact]
    public void A_prompt_is_filled_in_and_its_values_are_not_looked_into()
    {
        var prompting = Blueprint with { Mode = TaskMode.Prompt, Command = null, PromptText = "Restart {{service}}, then {{7*7}} and {{where}}." };
        var task = Expand(Given(("service", "{{where}}\nnow")), prompting);
        (task.Mode, task.Command, task.PromptText).ShouldBe((TaskMode.Prompt, null, "Restart {{where}}\nnow, then {{7*7}} and all."));
    }

    [Fact]
    public void What_would_grow_beyond_its_limit_is_refused_before_it_is_made()
    {
        var prompting = Blueprint with { Mode = TaskMode.Prompt, Command = null, PromptText = string.Concat(Enumerable.Repeat("{{where}}", 7000)) };
        var intending = Blueprint with { IntentTemplate = string.Concat(Enumerable.Repeat("{{where}}", 55)) };
        var before = GC.GetAllocatedBytesForCurrentThread();
        Wrong(Given(("service", "x"), ("where", new string('x', WireLimits.MaxParameterLength))), prompting).ShouldBe(["promptText"]);
        Wrong(Given(("service", "x"), ("where", new string('x', 1_000_000))), intending).ShouldBe(["parameters.where"]);
        (GC.GetAllocatedBytesForCurrentThread() - before).ShouldBeLessThan(20_000_000, "57 and 110 MB were made of them");
        Expand(Given(("service", "x"), ("where", "yz")), prompting).PromptText!.Length.ShouldBe(14_000);
    }

    /// <summary>What would let a value become part of a program is refused when the runbook is written.</summary>
    [Theory]
    [InlineData("sh", "-c", "{{service}}")]
    [InlineData("/bin/bash", "-lc", "{{service}}")]
    [InlineData("sudo", "zsh", "-c", "{{service}}")]
    [InlineData("ssh", "host", "rm", "{{service}}")]
    [InlineData("pwsh", "-Command", "Get-Item", "{{service}}")]
    [InlineData("C:\\Windows\\cmd.exe", "/c", "echo", "{{service}}")]
    [InlineData(@"C:\Program Files\Git\bin\BASH.EXE", "-c", "{{service}}")]
    [InlineData("PowerShell.exe", "-Command", "{{service}}")]
    [InlineData("wsl", "ls", "{{service}}")]
    [InlineData("wsl.exe", "ls", "{{service}}")]
    [InlineData("npm.cmd", "run", "{{service}}")]
    [InlineData(@".\Deploy.BAT", "{{service}}")]
    [InlineData("echo", "x{{service}}")]
    [InlineData("{{service}}", "x")]
    [InlineData("echo", "{{nobody}}")]
    public void Commands_that_would_run_a_value_are_refused(params string[] argv) =>
        Refused(Blueprint with { Command = new CommandSpec { Argv = argv } }).ShouldHaveSingleItem().ShouldStartWith("command.argv[");

    [Fact]
    public void So_are_a_parameter_in_a_shells_text_and_one_that_nobody_declared()
    {
        Refused(Blueprint with { Command = new CommandSpec { Shell = "restart {{ SERVICE }}" } }).ShouldBe(["command.shell"]);
        Refused(Blueprint with { IntentTemplate = "{{nobody}}", PromptText = "{{noone}}" }).ShouldBe(["intentTemplate", "promptText"]);
        Refused(Blueprint with { Command = new CommandSpec { Argv = ["sh", "-c", "echo \"$1\"", "_", "{{service}}"] } }).ShouldBeEmpty("it is an argument of the script, not the script");
        Refused(Blueprint with { DefaultConstraints = new RunbookConstraints { Environment = new Dictionary<string, string> { ["PARAM_WHERE"] = "x" } } }).ShouldBe(["defaultConstraints.environment"]);
        Refused(Blueprint with { Parameters = [new() { Name = "service" }, new() { Name = "where" }, new() { Name = "Where" }, new() { Name = "a b" }] })
            .ShouldBe(["parameters[2].name", "parameters[3].name"]);
    }

    private static CreateTaskRequest Given(params (string Name, string Value)[] values) => new() { RunbookId = "r", Parameters = values.ToDictionary(v => v.Name, v => v.Value) };

    private static CreateTaskRequest Expand(CreateTaskRequest request, RunbookFields? runbook = null)
    {
        var errors = new FieldErrors();
        var task = RunbookExpansion.Expand(runbook ?? Blueprint, request, errors);
        errors.Any.ShouldBeFalse(errors.ToProblem().Value.Detail);
        return task;
    }

    private static IEnumerable<string> Wrong(CreateTaskRequest request, RunbookFields? runbook = null)
    {
        var errors = new FieldErrors();
        RunbookExpansion.Expand(runbook ?? Blueprint, request, errors);
        return errors.ToProblem().Value.Errors!.Keys.Order(StringComparer.Ordinal);
    }

    private static IEnumerable<string> Refused(RunbookFields runbook)
    {
        var errors = new FieldErrors();
        RunbookRules.Normalize(runbook, errors);
        return errors.ToProblem().Value.Errors!.Keys.Order(StringComparer.Ordinal);
    }
}
