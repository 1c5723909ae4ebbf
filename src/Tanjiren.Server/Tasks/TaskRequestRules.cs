using System.Text;
using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Tasks.Retries;
using Tanjiren.Server.Records;
using Tanjiren.Server.Secrets;

namespace Tanjiren.Server.Tasks;

/// <summary>Validates a task request and fills in every default. Pure.</summary>
internal static class TaskRequestRules
{
    private const int DefaultTimeoutSeconds = 86_400;
    private const int DefaultQueueTimeoutSeconds = 604_800;

    /// <summary>A coding agent's turn is not thrown away for two minutes without a network.</summary>
    private const int DefaultPromptGraceSeconds = 600;

    private const int DefaultPermissionTimeoutSeconds = 600;

    /// <summary>The request as it is stored; meaningful only when no error was added.</summary>
    public static CreateTaskRequest Normalize(CreateTaskRequest request, int defaultGraceSeconds, FieldErrors errors)
    {
        var mode = request.Mode ?? TaskMode.Command;
        errors.Require(request.Parameters is null || request.RunbookId is not null, "parameters", "are a runbook's: give runbookId");
        if (mode == TaskMode.Command) CheckCommand(request.Command, errors);
        CheckPrompt(request, mode, errors);
        var questions = QuestionRules.Normalize(request, mode, errors);
        CheckTargets(request.Targets, errors);
        CheckEnvironment(request, errors);
        SecretRules.Check(request, errors);
        CheckResources(request.Resources, errors);
        errors.Require(request.WorkingDirectory is not { } directory || IsAbsolute(directory) && directory.Length <= 4096 && !directory.Contains('\0'),
            "workingDirectory", "must be an absolute path on the workstation, at most 4096 characters");
        errors.Range(request.MaxParallel, 0, WireLimits.MaxTargets, "maxParallel");
        errors.Range(request.StopAfterFailures, 1, WireLimits.MaxTargets, "stopAfterFailures");
        errors.Range(request.TimeoutSeconds, 1, 604_800, "timeoutSeconds");
        errors.Range(request.QueueTimeoutSeconds, 1, 2_592_000, "queueTimeoutSeconds");
        errors.Range(request.LeaseGraceSeconds, 1, 3600, "leaseGraceSeconds");
        errors.Range(request.PermissionTimeoutSeconds, 1, 86_400, "permissionTimeoutSeconds");
        errors.Range(request.Priority, -100, 100, "priority");
        var retry = RetryRules.Normalize(request.Retry, errors);
        var intent = request.Intent is null ? DefaultIntent(request) : errors.Text(request.Intent, WireLimits.MaxIntentLength, "intent");

        return request with
        {
            Intent = intent,
            Mode = mode,
            Questions = questions,
            Targets = (request.Targets ?? new TargetSpec()) with
            {
                Placement = request.Targets?.Placement ?? (request.Targets?.Workstations is { Count: > 0 } ? Placement.All : Placement.Any),
            },
            MaxParallel = request.MaxParallel ?? 1,
            TimeoutSeconds = request.TimeoutSeconds ?? DefaultTimeoutSeconds,
            QueueTimeoutSeconds = request.QueueTimeoutSeconds ?? DefaultQueueTimeoutSeconds,
            LeaseGraceSeconds = request.LeaseGraceSeconds ?? (mode == TaskMode.Command ? defaultGraceSeconds : DefaultPromptGraceSeconds),
            PermissionTimeoutSeconds = mode == TaskMode.Command ? null : request.PermissionTimeoutSeconds ?? DefaultPermissionTimeoutSeconds,
            OnWorkerLost = request.OnWorkerLost ?? OnWorkerLost.Fail,
            Priority = request.Priority ?? 0,
            Retry = retry,
            Secrets = request.Secrets is { Count: > 0 } ? request.Secrets : null,
        };
    }

    /// <summary>A stored request with what a change gives put in its place; meaningful only when no error was added.</summary>
    public static CreateTaskRequest Merge(CreateTaskRequest stored, UpdateTaskRequest change, int defaultGraceSeconds, FieldErrors errors)
    {
        errors.Require(change.ApprovalClass is null || change.ApprovalClass >= (stored.ApprovalClass ?? ApprovalClass.None), "approvalClass",
            "can be raised, not lowered; cancel the task and create another");
        return Normalize(stored with
        {
            // An intent that nobody gave was the old command line, the old prompt, or the old questions.
            Intent = change.Intent ?? ((change.Command is not null || change.PromptText is not null || change.Questions is not null) && stored.Intent == DefaultIntent(stored) ? null : stored.Intent),
            Command = change.Command ?? stored.Command,
            PromptText = change.PromptText ?? stored.PromptText,
            Questions = change.Questions ?? stored.Questions,
            CodingAgent = change.CodingAgent is "" ? null : change.CodingAgent ?? stored.CodingAgent,
            PermissionTimeoutSeconds = change.PermissionTimeoutSeconds ?? stored.PermissionTimeoutSeconds,
            Targets = change.Targets ?? stored.Targets,
            WorkingDirectory = change.WorkingDirectory ?? stored.WorkingDirectory,
            Environment = change.Environment ?? stored.Environment,
            EnvironmentFromMachine = change.EnvironmentFromMachine ?? stored.EnvironmentFromMachine,
            MaxParallel = change.MaxParallel ?? stored.MaxParallel,
            StopAfterFailures = change.StopAfterFailures ?? stored.StopAfterFailures,
            TimeoutSeconds = change.TimeoutSeconds ?? stored.TimeoutSeconds,
            QueueTimeoutSeconds = change.QueueTimeoutSeconds ?? stored.QueueTimeoutSeconds,
            LeaseGraceSeconds = change.LeaseGraceSeconds ?? stored.LeaseGraceSeconds,
            OnWorkerLost = change.OnWorkerLost ?? stored.OnWorkerLost,
            Resources = change.Resources ?? stored.Resources,
            Priority = change.Priority ?? stored.Priority,
            Retry = change.Retry == new RetryPolicy() ? null : change.Retry ?? stored.Retry,
            ApprovalClass = change.ApprovalClass ?? stored.ApprovalClass,
        }, defaultGraceSeconds, errors);
    }

    /// <summary>The fields that a change names, as the wire has them.</summary>
    public static IReadOnlyList<string> Given(UpdateTaskRequest change) =>
        [.. JsonSerializer.SerializeToElement(change, WireJson.Default.UpdateTaskRequest).EnumerateObject().Select(p => p.Name)];

    public static void CheckCommand(CommandSpec? command, FieldErrors errors)
    {
        if (command is null)
        {
            errors.Add("command", "is required: give command.argv or command.shell");
            return;
        }
        if (command.Argv is null == command.Shell is null)
        {
            errors.Add("command", "needs exactly one of command.argv and command.shell");
            return;
        }
        if (command.Shell is { } shell)
        {
            errors.Require(shell.Trim().Length > 0, "command.shell", "must not be empty");
            errors.Require(!shell.Contains('\0'), "command.shell", "must not contain a NUL character");
            errors.Require(Encoding.UTF8.GetByteCount(shell) <= WireLimits.MaxCommandBytes, "command.shell", $"has more than {WireLimits.MaxCommandBytes} bytes");
            return;
        }
        var argv = command.Argv!;
        errors.Require(argv.Count is > 0 and <= WireLimits.MaxArguments, "command.argv", $"must have 1 to {WireLimits.MaxArguments} elements");
        for (var i = 0; i < argv.Count && i < WireLimits.MaxArguments; i++)
        {
            if (argv[i] is null) errors.Add($"command.argv[{i}]", "must be text");
            else if (argv[i].Contains('\0')) errors.Add($"command.argv[{i}]", "must not contain a NUL character");
        }
        if (argv.Count > 0) errors.Require(!string.IsNullOrWhiteSpace(argv[0]), "command.argv[0]", "must name a program");
        errors.Require(argv.Sum(a => a is null ? 0 : Encoding.UTF8.GetByteCount(a) + 1) <= WireLimits.MaxCommandBytes, "command.argv",
            $"has more than {WireLimits.MaxCommandBytes} bytes in all");
    }

    /// <summary>What runs is said in one way, and in the mode's own.</summary>
    private static void CheckPrompt(CreateTaskRequest request, TaskMode mode, FieldErrors errors)
    {
        RecordRules.CheckProse(errors, request.PromptText, "promptText");
        if (mode == TaskMode.Command)
        {
            errors.Require(request.PromptText is null, "promptText", "is for the modes prompt and investigate");
            errors.Require(request.CodingAgent is null, "codingAgent", "is for the modes prompt and investigate");
            errors.Require(request.PermissionTimeoutSeconds is null, "permissionTimeoutSeconds", "is for the modes prompt and investigate");
            return;
        }
        errors.Require(request.Command is null, "command", mode == TaskMode.Prompt ? "is for the mode command; give promptText" : "is for the mode command; give questions");
        errors.Require(mode != TaskMode.Prompt || !string.IsNullOrWhiteSpace(request.PromptText), "promptText", "is required in the mode prompt: what the coding agent is asked");
        errors.Require(request.CodingAgent is null || CodingAgentName.IsValid(request.CodingAgent), "codingAgent", CodingAgentName.Rule);
    }

    private static void CheckTargets(TargetSpec? targets, FieldErrors errors)
    {
        if (targets is null || targets is { Workstations: null or { Count: 0 }, Tags: null or { Count: 0 }, Labels: null or { Count: 0 } })
        {
            errors.Add("targets", "is required: name workstations, tags or labels");
            return;
        }
        CheckList(targets.Workstations, WireLimits.MaxTargets, WireLimits.MaxNameLength, "targets.workstations", errors);
        CheckList(targets.Tags, WireLimits.MaxTags, WireLimits.MaxTagLength, "targets.tags", errors);
        var labels = targets.Labels ?? new Dictionary<string, string>();
        errors.Require(labels.Count <= WireLimits.MaxLabels, "targets.labels", $"has more than {WireLimits.MaxLabels} entries");
        foreach (var (key, value) in labels)
        {
            errors.Require(key.Length is > 0 and <= 64 && !key.Any(char.IsControl), $"targets.labels.{key}", "a label's name has 1 to 64 characters, none of them a control character");
            errors.Require(value is { Length: > 0 and <= 256 } && !value.Any(char.IsControl), $"targets.labels.{key}", "a label's value has 1 to 256 characters, none of them a control character");
        }
    }

    private static void CheckList(IReadOnlyList<string>? list, int maxCount, int maxLength, string field, FieldErrors errors)
    {
        if (list is null) return;
        errors.Require(list.Count <= maxCount, field, $"has more than {maxCount} elements");
        for (var i = 0; i < list.Count && i < maxCount; i++)
            errors.Require(list[i] is { Length: > 0 } text && text.Length <= maxLength && !text.Any(char.IsControl), $"{field}[{i}]",
                $"must have 1 to {maxLength} characters and no control characters");
    }

    private static void CheckEnvironment(CreateTaskRequest request, FieldErrors errors)
    {
        var given = request.Environment ?? new Dictionary<string, string>();
        var named = request.EnvironmentFromMachine ?? [];
        errors.Require(given.Count + named.Count <= WireLimits.MaxEnvironmentVariables, "environment",
            $"has more than {WireLimits.MaxEnvironmentVariables} variables");
        foreach (var (name, value) in given.Take(WireLimits.MaxEnvironmentVariables))
        {
            CheckName(name, $"environment.{name}", errors);
            errors.Require(value is not null && !value.Contains('\0'), $"environment.{name}", "must be text without a NUL character");
        }
        errors.Require(given.Sum(v => Encoding.UTF8.GetByteCount(v.Key) + Encoding.UTF8.GetByteCount(v.Value ?? "") + 2) <= WireLimits.MaxCommandBytes,
            "environment", $"has more than {WireLimits.MaxCommandBytes} bytes in all");
        for (var i = 0; i < named.Count && i < WireLimits.MaxEnvironmentVariables; i++) CheckName(named[i], $"environmentFromMachine[{i}]", errors);
    }

    public static void CheckName(string? name, string field, FieldErrors errors)
    {
        if (name is null || !IsVariableName(name)) errors.Add(field, "a variable's name has letters, digits and underscores and does not start with a digit");
        else if (name.StartsWith("TANJIREN_", StringComparison.Ordinal)) errors.Add(field, "names that start with TANJIREN_ are set by the agent");
    }

    private static bool IsVariableName(string name) =>
        name.Length is > 0 and <= 128 && !char.IsAsciiDigit(name[0]) && name.All(c => char.IsAsciiLetterOrDigit(c) || c == '_');

    private static void CheckResources(ResourceSpec? resources, FieldErrors errors)
    {
        if (resources is null) return;
        errors.Require(resources.Cpu is null or (> 0 and <= 4096), "resources.cpu", "must be above 0 and at most 4096 cores");
        errors.Range(resources.MemoryMb, 1, 64 * 1024 * 1024, "resources.memoryMb");
        errors.Range(resources.GpuCount, 0, 1024, "resources.gpuCount");
    }

    private static string DefaultIntent(CreateTaskRequest request) => AsIntent(request.Mode switch
    {
        null or TaskMode.Command => request.Command?.Shell ?? string.Join(' ', request.Command?.Argv ?? []),
        TaskMode.Investigate when string.IsNullOrWhiteSpace(request.PromptText) => QuestionRules.AsIntent(request.Questions),
        _ => request.PromptText ?? "",
    });

    /// <summary>Any text as one line of at most 500 characters.</summary>
    public static string AsIntent(string text)
    {
        var clean = new string([.. text.Select(c => char.IsControl(c) ? ' ' : c)]).Trim();
        if (clean.Length <= WireLimits.MaxIntentLength) return clean;
        // Half of a surrogate pair is no text: PostgreSQL's driver refuses it.
        var length = WireLimits.MaxIntentLength - 1;
        return clean[..(char.IsHighSurrogate(clean[length - 1]) ? length - 1 : length)] + "…";
    }

    /// <summary>Absolute on any of the systems that a workstation may run.</summary>
    private static bool IsAbsolute(string path) => path.StartsWith('/') || path.StartsWith(@"\\", StringComparison.Ordinal) || path is [>= 'A' and <= 'z', ':', '\\' or '/', ..];
}
