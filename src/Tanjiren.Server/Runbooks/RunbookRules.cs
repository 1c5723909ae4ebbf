using Tanjiren.Protocol;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Records;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Runbooks;

/// <summary>
/// Validates what a runbook says and fills in its defaults. Pure. Above all it sees to it that no parameter can become part of a shell's text
/// (docs/decisions/0018-runbook-parameters.md).
/// </summary>
internal static class RunbookRules
{
    private const int MaxDescriptionLength = 500;
    private const int MaxParameterNameLength = 64;

    /// <summary>Programs that run the argument after an option as a script.</summary>
    private static readonly HashSet<string> Shells = new(StringComparer.OrdinalIgnoreCase) { "sh", "bash", "dash", "ash", "zsh", "ksh", "fish", "su" };

    /// <summary>Programs that join their arguments to one text and run that.</summary>
    private static readonly HashSet<string> Joiners = new(StringComparer.OrdinalIgnoreCase)
    {
        "cmd", "powershell", "pwsh", "wsl", "ssh", "watch", "parallel", "eval",
    };

    /// <summary>The variable that a parameter's value comes in.</summary>
    public static string VariableOf(string parameter) => "PARAM_" + parameter.ToUpperInvariant();

    /// <summary>What is stored; meaningful only when no error was added.</summary>
    public static RunbookFields Normalize(RunbookFields fields, FieldErrors errors)
    {
        var name = errors.Name(fields.Name, Ids.Runbook);
        var intent = errors.Text(fields.IntentTemplate, WireLimits.MaxIntentLength, "intentTemplate");
        RecordRules.CheckProse(errors, fields.PromptText, "promptText");
        RecordRules.CheckProse(errors, fields.DefaultPlan, "defaultPlan");
        RecordRules.CheckProse(errors, fields.SuccessCriteria, "successCriteria");
        var mode = fields.Mode ?? TaskMode.Command;
        var status = fields.Status ?? RunbookStatus.Draft;
        var approval = fields.ApprovalClass ?? ApprovalClass.None;
        if (status == RunbookStatus.Active)
        {
            errors.Require(mode != TaskMode.Command || fields.Command is not null, "command", "is required of an active runbook: give command.argv or command.shell, or leave it a draft");
            errors.Require(mode == TaskMode.Command || !string.IsNullOrWhiteSpace(fields.PromptText), "promptText", "is required of an active runbook in this mode, or leave it a draft");
        }
        var parameters = CheckParameters(fields.Parameters, errors);
        CheckTemplate(intent, "intentTemplate", parameters, errors);
        CheckTemplate(fields.PromptText ?? "", "promptText", parameters, errors);
        if (fields.Command is not null) TaskRequestRules.CheckCommand(fields.Command, errors);
        CheckArguments(fields.Command?.Argv, parameters, errors);
        CheckShell(fields.Command?.Shell, parameters, errors);
        CheckConstraints(fields.DefaultConstraints, parameters, errors);
        return fields with { Name = name, IntentTemplate = intent, Mode = mode, Status = status, ApprovalClass = approval };
    }

    /// <summary>The runbook after a change: what is absent stays, what is empty is cleared.</summary>
    public static RunbookFields Merge(RunbookFields old, RunbookFields change) => new()
    {
        Name = change.Name ?? old.Name,
        IntentTemplate = change.IntentTemplate ?? old.IntentTemplate,
        Parameters = change.Parameters is { Count: 0 } ? null : change.Parameters ?? old.Parameters,
        Mode = change.Mode ?? old.Mode,
        Command = change.Command is { Argv: null, Shell: null } ? null : change.Command ?? old.Command,
        PromptText = Text(change.PromptText, old.PromptText),
        ApprovalClass = change.ApprovalClass ?? old.ApprovalClass,
        DefaultPlan = Text(change.DefaultPlan, old.DefaultPlan),
        DefaultConstraints = change.DefaultConstraints == new RunbookConstraints() ? null : change.DefaultConstraints ?? old.DefaultConstraints,
        SuccessCriteria = Text(change.SuccessCriteria, old.SuccessCriteria),
        Status = change.Status ?? old.Status,
    };

    /// <summary>The names that may be used; upper and lower case are the same, for both become one variable.</summary>
    private static HashSet<string> CheckParameters(IReadOnlyList<RunbookParameter>? parameters, FieldErrors errors)
    {
        var names = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        if (parameters is null) return names;
        errors.Require(parameters.Count <= WireLimits.MaxRunbookParameters, "parameters", $"has {parameters.Count} elements; at most {WireLimits.MaxRunbookParameters} are allowed");
        for (var i = 0; i < parameters.Count && i < WireLimits.MaxRunbookParameters; i++)
        {
            var field = $"parameters[{i}]";
            if (parameters[i] is not { Name: { Length: > 0 and <= MaxParameterNameLength } name } parameter || Placeholders.Alone("{{" + name + "}}") != name)
            {
                errors.Add(field + ".name", $"is required: a letter, then letters, digits and underscores, at most {MaxParameterNameLength}");
                continue;
            }
            errors.Require(names.Add(name), field + ".name", "is there already; upper and lower case are the same");
            errors.OptionalText(parameter.Description, MaxDescriptionLength, field + ".description");
            errors.OptionalText(parameter.Default, WireLimits.MaxParameterLength, field + ".default");
        }
        return names;
    }

    private static void CheckTemplate(string text, string field, HashSet<string> parameters, FieldErrors errors)
    {
        foreach (var unknown in Placeholders.In(text).Where(name => !parameters.Contains(name)).Distinct(StringComparer.OrdinalIgnoreCase))
            errors.Add(field, $"names the parameter '{unknown}', which is not declared in parameters");
    }

    private static void CheckArguments(IReadOnlyList<string>? argv, HashSet<string> parameters, FieldErrors errors)
    {
        var (afterShell, afterJoiner) = (false, false);
        for (var i = 0; argv is not null && i < argv.Count && i < WireLimits.MaxArguments; i++)
        {
            if (argv[i] is not { } element) continue;
            var field = $"command.argv[{i}]";
            if (Placeholders.Alone(element) is { } name)
            {
                errors.Require(parameters.Contains(name), field, $"names the parameter '{name}', which is not declared in parameters");
                errors.Require(i > 0, field, "must not be a parameter: which program runs is the runbook's to say");
                // Nobody means to let a value be a program: `sh -c {{x}}` and `ssh host rm {{x}}` would. No list of such programs is whole; these are the usual ones.
                errors.Require(!afterJoiner && !(afterShell && argv[i - 1] is ['-', ..]), field,
                    $"must not be a parameter: a shell would run its value as a program; write the script here, and use the variable {VariableOf(name)} in it");
            }
            else
            {
                foreach (var inside in Placeholders.In(element).Where(parameters.Contains))
                    errors.Add(field, $"must be nothing but {{{{{inside}}}}}: a parameter is a whole element, or the variable {VariableOf(inside)}");
            }
            var program = ProgramOf(element);
            afterShell |= Shells.Contains(program);
            afterJoiner |= Joiners.Contains(program) || IsBatch(program);
        }
    }

    /// <summary>The name without its directory, and without <c>.exe</c>: Windows finds <c>bash.exe</c> by either.</summary>
    private static string ProgramOf(string element)
    {
        var name = element[(element.AsSpan().LastIndexOfAny('/', '\\') + 1)..].TrimEnd();
        return name.EndsWith(".exe", StringComparison.OrdinalIgnoreCase) ? name[..^4] : name;
    }

    /// <summary>Windows gives a batch file to cmd.exe, with its arguments as one text.</summary>
    private static bool IsBatch(string program) =>
        program.EndsWith(".bat", StringComparison.OrdinalIgnoreCase) || program.EndsWith(".cmd", StringComparison.OrdinalIgnoreCase);

    private static void CheckShell(string? shell, HashSet<string> parameters, FieldErrors errors)
    {
        foreach (var name in Placeholders.In(shell ?? "").Where(parameters.Contains).Distinct(StringComparer.OrdinalIgnoreCase))
            errors.Add("command.shell", $"must not hold {{{{{name}}}}}: its value would become part of the program; use the variable, \"${VariableOf(name)}\"");
    }

    private static void CheckConstraints(RunbookConstraints? constraints, HashSet<string> parameters, FieldErrors errors)
    {
        if (constraints is null) return;
        var part = new FieldErrors();
        TaskRequestRules.Normalize(RunbookExpansion.Apply(constraints, new CreateTaskRequest
        {
            Command = new CommandSpec { Argv = ["true"] }, Targets = constraints.Targets is null ? new TargetSpec { Tags = ["any"] } : null,
        }), 1, part);
        errors.AddAll(part, "defaultConstraints.");
        foreach (var variable in (constraints.Environment?.Keys ?? []).Concat(constraints.EnvironmentFromMachine ?? []).Where(v => parameters.Any(p => VariableOf(p) == v)))
            errors.Add("defaultConstraints.environment", $"must not set {variable}: a parameter does");
    }

    private static string? Text(string? change, string? old) => change is "" ? null : change ?? old;
}
