using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Jobs;

/// <summary>Turns what people type into the fields of a task. Pure; a word that can't be read is a <see cref="CliException"/> naming it.</summary>
internal static class JobSpec
{
    /// <summary><c>NAME=V</c> sets a variable, <c>NAME</c> takes the value that the workstation has. The last one of a name wins.</summary>
    public static (Dictionary<string, string>? Set, List<string>? FromMachine) Environment(IReadOnlyList<string> words)
    {
        var set = new Dictionary<string, string>();
        var taken = new List<string>();
        foreach (var word in words)
        {
            var equals = word.IndexOf('=');
            var name = equals < 0 ? word : word[..equals];
            if (name.Length == 0 || name.Contains('\0'))
                throw new CliException($"--env '{Text.Safe(word)}' names no variable", "give NAME=VALUE, or NAME for the workstation's own value");
            set.Remove(name);
            taken.Remove(name);
            if (equals < 0) taken.Add(name);
            else set[name] = word[(equals + 1)..];
        }
        return (set.Count == 0 ? null : set, taken.Count == 0 ? null : taken);
    }

    /// <summary>
    /// <c>NAME</c> takes the value that the variable has here, <c>NAME=-</c> standard input without the line end that a file ends with, <c>NAME=V</c> the value itself, which other users of this
    /// machine see in the list of processes. No message has a value in it.
    /// </summary>
    public static Dictionary<string, string>? Secrets(IReadOnlyList<string> words, Func<string, string?> variable, StandardInput input)
    {
        var secrets = new Dictionary<string, string>();
        foreach (var word in words)
        {
            var equals = word.IndexOf('=');
            var name = equals < 0 ? word : word[..equals];
            if (name.Length == 0) throw new CliException("a --secret names no variable", "give NAME for the value that it has here, NAME=- for standard input, or NAME=VALUE");
            var value = equals < 0 ? variable(name) : word[(equals + 1)..];
            if (value is null) throw new CliException($"--secret {Text.Safe(name)}: no such variable is set here", "set it, or give NAME=- for standard input, or NAME=VALUE");
            if (equals >= 0 && value == "-") value = input.Text(value)!.TrimEnd('\r', '\n');
            if (!secrets.TryAdd(name, value)) throw new CliException($"--secret {Text.Safe(name)} is given twice", "give each secret once");
        }
        return secrets.Count == 0 ? null : secrets;
    }

    /// <summary><c>os=linux</c>; <c>memoryMb&gt;=16000</c> as people write it, and <c>memoryMb=&gt;=16000</c> as the wire has it.</summary>
    public static Dictionary<string, string>? Labels(IReadOnlyList<string> words)
    {
        var labels = new Dictionary<string, string>();
        foreach (var word in words)
        {
            var split = word.AsSpan().IndexOfAny("=<>");
            if (split <= 0 || split == word.Length - 1)
                throw new CliException($"--label '{Text.Safe(word)}' is not a condition", "give KEY=VALUE, or KEY>=NUMBER, KEY>NUMBER, KEY<=NUMBER, KEY<NUMBER");
            var value = word[split] == '=' ? word[(split + 1)..] : word[split..];
            if (!labels.TryAdd(word[..split], value))
                throw new CliException($"--label {word[..split]} is given twice", "all conditions must hold; one label can have one");
        }
        return labels.Count == 0 ? null : labels;
    }

    /// <summary>Null: no attempt follows a failure.</summary>
    public static RetryPolicy? Retry(int? retries, int? backoffSeconds, bool exponential, IReadOnlyList<string> on)
    {
        if (retries is null or 0)
            return backoffSeconds is null && !exponential && on.Count == 0 ? null
                : throw new CliException("it is said how to try again, and not how often", "add --retries N");
        return new RetryPolicy
        {
            MaxAttempts = retries + 1,
            BackoffSeconds = backoffSeconds,
            Backoff = exponential ? BackoffKind.Exponential : null,
            On = on.Count == 0 ? null : [.. on.Select(Reason)],
        };
    }

    /// <summary>Of a change: null leaves what there is, and an empty policy (<c>--retries 0</c>) takes it away.</summary>
    public static RetryPolicy? RetryChange(int? retries, int? backoffSeconds, bool exponential, IReadOnlyList<string> on) =>
        Retry(retries, backoffSeconds, exponential, on) ?? (retries == 0 ? new RetryPolicy() : null);

    private static StepReason Reason(string word)
    {
        foreach (var reason in Enum.GetValues<StepReason>())
            if (Words.Of(reason) == word) return reason;
        throw new CliException($"--retry-on '{Text.Safe(word)}' is no reason of a failure", $"one of {string.Join(", ", Enum.GetValues<StepReason>().Where(IsFailure).Select(Words.Of))}");
    }

    private static bool IsFailure(StepReason reason) => reason is not (StepReason.Cancelled or StepReason.RolloutStopped);

    /// <summary><c>NAME=V</c>; the value may be empty.</summary>
    public static Dictionary<string, string>? Parameters(IReadOnlyList<string> words)
    {
        var values = new Dictionary<string, string>();
        foreach (var word in words)
        {
            var equals = word.IndexOf('=');
            if (equals <= 0) throw new CliException($"--param '{Text.Safe(word)}' gives no value", "give NAME=VALUE");
            if (!values.TryAdd(word[..equals], word[(equals + 1)..])) throw new CliException($"--param {Text.Safe(word[..equals])} is given twice", "give each parameter once");
        }
        return values.Count == 0 ? null : values;
    }

    public static CommandSpec Command(IReadOnlyList<string> argv, string? shell)
    {
        if (shell is not null && argv.Count > 0)
            throw new CliException("both --shell and a command after `--` are given", "give one of them");
        if (shell is null && argv.Count == 0)
            throw new CliException("there is no command to run", "end with `-- COMMAND ARGS…`, or give --shell TEXT, --prompt TEXT, or --questions FILE");
        return shell is null ? new CommandSpec { Argv = argv } : new CommandSpec { Shell = shell };
    }

    /// <summary>The command of a job without a prompt or questions; null: it has such, and must not have both.</summary>
    public static CommandSpec? CommandUnless(bool asks, string? agent, IReadOnlyList<string> argv, string? shell)
    {
        if (asks && (shell is not null || argv.Count > 0)) throw new CliException("both a prompt and a command are given", "give one of them");
        if (!asks && agent is not null) throw new CliException("--agent is given without a prompt", "add --prompt TEXT, --prompt-file FILE or --questions FILE: commands need no coding agent");
        return asks ? null : Command(argv, shell);
    }

    public static TargetSpec Targets(IReadOnlyList<string> workstations, IReadOnlyList<string> tags, IReadOnlyList<string> labels, bool all, bool any)
    {
        if (all && any) throw new CliException("both --all and --any are given", "--all: a step on each match; --any: one step on one match");
        if (workstations.Count + tags.Count + labels.Count == 0)
            throw new CliException("it is not said where to run",
                "add --workstation NAME, --tag TAG or --label KEY=VALUE; `tanvrit-compute workstations list` shows what there is");
        return new TargetSpec
        {
            Workstations = workstations.Count == 0 ? null : workstations,
            Tags = tags.Count == 0 ? null : tags,
            Labels = Labels(labels),
            Placement = all ? Placement.All : any ? Placement.Any : null,
        };
    }

    /// <summary>Null: the runbook's own.</summary>
    public static TargetSpec? RunbookTargets(IReadOnlyList<string> workstations, IReadOnlyList<string> tags, IReadOnlyList<string> labels, bool all, bool any)
    {
        if (workstations.Count + tags.Count + labels.Count > 0) return Targets(workstations, tags, labels, all, any);
        if (all || any) throw new CliException("--all or --any is given without a target", "add --workstation, --tag or --label, or leave it out: the runbook says where");
        return null;
    }
}
