using Tanjiren.Protocol;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Runbooks;

/// <summary>Makes a whole task request from a runbook and a request that names it. Pure. What the request says counts, but for a lower approval class.</summary>
internal static class RunbookExpansion
{
    /// <summary>The request as it would have been without the runbook; meaningful only when no error was added.</summary>
    public static CreateTaskRequest Expand(RunbookFields runbook, CreateTaskRequest request, FieldErrors errors)
    {
        var values = Values(runbook.Parameters ?? [], request.Parameters, errors);
        var own = values.ToDictionary(v => RunbookRules.VariableOf(v.Key), v => v.Value);
        foreach (var name in (request.Environment?.Keys ?? []).Concat(request.EnvironmentFromMachine ?? []).Where(n => n is not null && own.ContainsKey(n)))
            errors.Add($"environment.{name}", "is set by a parameter of the runbook; give parameters instead");
        var mode = request.Mode ?? runbook.Mode ?? TaskMode.Command;
        var whole = Apply(runbook.DefaultConstraints ?? new(), request) with
        {
            RunbookId = null,
            Parameters = null,
            Mode = mode,
            // Of at most 500 characters, and cut to that again: what it grows to between needs no refusal.
            Intent = request.Intent ?? TaskRequestRules.AsIntent(Placeholders.Fill(runbook.IntentTemplate!, values)),
            Command = request.Command ?? (mode == TaskMode.Command ? Fill(runbook.Command, values, errors) : null),
            PromptText = request.PromptText ?? (mode == TaskMode.Command ? null : FillPrompt(runbook.PromptText, values, errors)),
            ApprovalClass = Higher(request.ApprovalClass, runbook.ApprovalClass),
        };
        return own.Count == 0 ? whole : whole with { Environment = Union(whole.Environment, own) };
    }

    /// <summary>What the request leaves out.</summary>
    public static CreateTaskRequest Apply(RunbookConstraints defaults, CreateTaskRequest request) => request with
    {
        Targets = request.Targets ?? defaults.Targets,
        WorkingDirectory = request.WorkingDirectory ?? defaults.WorkingDirectory,
        // A variable that the request sets comes from there alone, also when the runbook would take it from the machine.
        Environment = Union(defaults.Environment?.Where(v => request.EnvironmentFromMachine?.Contains(v.Key) != true), request.Environment),
        EnvironmentFromMachine = request.EnvironmentFromMachine
            ?? (request.Environment is null ? defaults.EnvironmentFromMachine : defaults.EnvironmentFromMachine?.Where(n => n is null || !request.Environment.ContainsKey(n)).ToList()),
        MaxParallel = request.MaxParallel ?? defaults.MaxParallel,
        StopAfterFailures = request.StopAfterFailures ?? defaults.StopAfterFailures,
        TimeoutSeconds = request.TimeoutSeconds ?? defaults.TimeoutSeconds,
        QueueTimeoutSeconds = request.QueueTimeoutSeconds ?? defaults.QueueTimeoutSeconds,
        LeaseGraceSeconds = request.LeaseGraceSeconds ?? defaults.LeaseGraceSeconds,
        OnWorkerLost = request.OnWorkerLost ?? defaults.OnWorkerLost,
        Resources = request.Resources ?? defaults.Resources,
        Priority = request.Priority ?? defaults.Priority,
    };

    /// <summary>The value of each declared parameter; its name in whatever case it was used.</summary>
    private static Dictionary<string, string> Values(IReadOnlyList<RunbookParameter> declared, IReadOnlyDictionary<string, string>? given, FieldErrors errors)
    {
        var values = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        foreach (var (name, value) in given ?? new Dictionary<string, string>())
        {
            if (declared.FirstOrDefault(p => string.Equals(p.Name, name, StringComparison.OrdinalIgnoreCase)) is not { } parameter)
                errors.Add($"parameters.{name}", declared.Count == 0 ? "the runbook has no parameters" : $"is not a parameter of the runbook; it has {string.Join(", ", declared.Select(p => p.Name))}");
            else if (value is null) continue; // as if it were absent
            else if (!values.TryAdd(parameter.Name!, value)) errors.Add($"parameters.{name}", "is given twice; upper and lower case are the same");
            else if (value.Length > WireLimits.MaxParameterLength || value.Contains('\0'))
            {
                errors.Add($"parameters.{name}", $"must have at most {WireLimits.MaxParameterLength} characters, none of them NUL");
                values[parameter.Name!] = ""; // refused, and not filled in a hundred times before it is told
            }
        }
        foreach (var parameter in declared.Where(p => !values.ContainsKey(p.Name!)))
        {
            if (parameter.Default is { } value) values[parameter.Name!] = value;
            else errors.Add($"parameters.{parameter.Name}", "is required" + (parameter.Description is null ? "" : ": " + parameter.Description));
        }
        return values;
    }

    /// <summary>Element by element: a value stays one argument, whatever is in it. A shell's text is left alone; its values come as variables.</summary>
    private static CommandSpec? Fill(CommandSpec? command, Dictionary<string, string> values, FieldErrors errors)
    {
        if (command?.Argv is not { } argv) return command;
        var filled = new List<string>(argv.Count);
        var optionsEnded = false;
        foreach (var element in argv)
        {
            if (Placeholders.Alone(element) is { } name && values.TryGetValue(name, out var value))
            {
                // `rm {{file}}` shall not be given `-rf`.
                errors.Require(optionsEnded || value is not ['-', ..], $"parameters.{name}", "must not begin with '-': the program would take it for an option (the runbook may put -- before it)");
                filled.Add(value);
            }
            else filled.Add(element);
            optionsEnded |= element == "--";
        }
        return command with { Argv = filled };
    }

    /// <summary>Judged before it is filled, because others wait for the transaction in which this happens.</summary>
    private static string? FillPrompt(string? prompt, Dictionary<string, string> values, FieldErrors errors)
    {
        if (prompt is null) return null;
        if (Placeholders.FilledLength(prompt, values) is var length && length <= WireLimits.MaxProseBytes) return Placeholders.Fill(prompt, values);
        errors.Add("promptText", $"would have {length} characters with these parameters; at most {WireLimits.MaxProseBytes} bytes of UTF-8 are allowed");
        return null;
    }

    private static ApprovalClass? Higher(ApprovalClass? one, ApprovalClass? other) => one is null || other > one ? other : one;

    /// <summary>Later ones count.</summary>
    private static IReadOnlyDictionary<string, string>? Union(IEnumerable<KeyValuePair<string, string>>? first, IEnumerable<KeyValuePair<string, string>>? second)
    {
        if (first is null && second is null) return null;
        var all = new Dictionary<string, string>();
        foreach (var (name, value) in (first ?? []).Concat(second ?? [])) all[name] = value;
        return all;
    }
}
