using System.CommandLine;

using Tanjiren.Cli.Jobs;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Jobs;

/// <summary>The options that say what a job is, for the commands that make one or a template of it.</summary>
internal sealed class JobRequestOptions
{
    private readonly Option<string[]> workstations = Options.Repeated("--workstation", "NAME", "Workstation by name or id; repeatable", "-w");
    private readonly Option<string[]> tags = Options.Repeated("--tag", "TAG", "Only workstations with this tag; repeatable, all must be set");
    private readonly Option<string[]> labels = Options.Repeated("--label", "K=V", "Only workstations with this label, for example os=linux or 'memoryMb>=16000'; repeatable");
    private readonly Option<bool> all = Options.Flag("--all", "One step on each workstation that matches (default with --workstation)");
    private readonly Option<bool> any = Options.Flag("--any", "One step on any one that matches (default otherwise)");
    private readonly Option<int?> maxParallel = Options.Number("--max-parallel", "N", "Steps that run at once; 0: all (default 1)", 0, 1000);
    private readonly Option<int?> stopAfter = Options.Number("--stop-after-failures", "N", "After N failed steps cancel those that have not started (default: never)", 1, 1000);
    private readonly Option<int?> timeout = Options.Seconds("--timeout", "Kill a step this long after its start: 90, 90s, 15m, 2h, 1d (default 24h)", 1, 604_800);
    private readonly Option<int?> queueTimeout = Options.Seconds("--queue-timeout", "Give up when nothing has started by then (default 7d)", 1, 2_592_000);
    private readonly Option<string?> onWorkerLost = Options.Choice("--on-worker-lost",
        "When a workstation vanishes: fail the step, or requeue it once its processes are dead (default fail)", "fail", "requeue");
    private readonly Option<int?> grace = Options.Seconds("--lease-grace", "How long a silent workstation may come back before its step counts as lost (default 120)", 1, 3_600);
    private readonly Option<int?> retries = Options.Number("--retries", "N", "After a failure try again, up to N times (default 0)", 0, WireLimits.MaxAttempts - 1);
    private readonly Option<int?> retryBackoff = Options.Seconds("--retry-backoff", "Pause before the second attempt (default 30)", 0, 86_400);
    private readonly Option<bool> retryExponential = Options.Flag("--retry-exponential", "Double the pause after each attempt, up to a day");
    private readonly Option<string[]> retryOn = Options.Repeated("--retry-on", "REASON", "Try again after this failure only: exitCode, timeout, workerLost …; repeatable (default exitCode and timeout)");
    private readonly Option<string[]> env = Options.Repeated("--env", "NAME[=V]", "Set a variable; without =V take the workstation's own value; repeatable", "-e");
    private readonly Option<string?> cwd = Options.Text("--cwd", "DIR", "Absolute directory on the workstation (default: the home of the agent's user)");
    private readonly Option<string?> shell = Options.Text("--shell", "TEXT", "Run TEXT with the workstation's shell instead of a command (/bin/sh -c, cmd.exe /d /s /c)");
    private readonly Option<double?> cpu = Options.Amount("--cpu", "N", "Cores that each step needs, and is held to");
    private readonly Option<int?> memory = Options.Number("--memory-mb", "N", "Memory that each step needs, in MiB; one that takes more is killed", 1, int.MaxValue);
    private readonly Option<int?> gpus = Options.Number("--gpu-count", "N", "Graphics processors that each step needs, and is given", 0, 1000);
    private readonly Option<string?> intent = Options.Text("--intent", "TEXT", "What it is for, in your words (default: the command line, the prompt or the questions)");
    private readonly Option<string?> investigation = Options.Text("--investigation", "ID", "Open investigation that the job belongs to");
    private readonly Option<int?> priority = Options.Number("--priority", "N", "From -100 to 100, higher first (default 0)", -100, 100);
    private readonly PromptOptions prompt;
    private readonly Option<string?> approvalClass = Options.Choice("--approval-class", "Ask for an approval of this class before it starts; the doctrine may want a higher one (default none)",
        [.. Enum.GetValues<ApprovalClass>().Select(c => Words.Of(c))]);
    private readonly IReadOnlyList<Option> options;

    public JobRequestOptions(Command command)
    {
        prompt = new PromptOptions();
        options =
        [
            workstations, tags, labels, all, any, maxParallel, stopAfter, timeout, queueTimeout, onWorkerLost, grace, retries, retryBackoff, retryExponential, retryOn,
            env, cwd, shell, .. prompt.All, cpu, memory, gpus, intent, investigation, priority, approvalClass,
        ];
        foreach (var option in options) command.Options.Add(option);
    }

    /// <summary>Those that were given, by name.</summary>
    public IReadOnlyList<string> Given(ParseResult parse) => [.. options.Where(o => parse.GetResult(o) is { Implicit: false }).Select(o => o.Name)];

    /// <param name="parse">The command line.</param>
    /// <param name="argv">What stands after <c>--</c>.</param>
    /// <param name="input">What - stands for; read once, whoever names it.</param>
    public CreateTaskRequest Of(ParseResult parse, IReadOnlyList<string> argv, StandardInput input)
    {
        var (text, asked) = (prompt.TextOf(parse, input), prompt.QuestionsOf(parse, input));
        if (text is not null && asked?.About is not null) throw new CliException("both a prompt and `about` in the file of questions are given", "give one of them: it says what the questions are about");
        return Rest(parse) with
        {
            Mode = asked is not null ? TaskMode.Investigate : text is not null ? TaskMode.Prompt : null,
            Command = JobSpec.CommandUnless(text is not null || asked is not null, prompt.AgentOf(parse), argv, parse.GetValue(shell)),
            PromptText = text ?? asked?.About,
            Questions = asked?.Questions,
            Targets = JobSpec.Targets(parse.GetValue(workstations)!, parse.GetValue(tags)!, parse.GetValue(labels)!, parse.GetValue(all), parse.GetValue(any)),
        };
    }

    /// <summary>Of a runbook, which says what the options leave out.</summary>
    /// <param name="parse">The command line.</param>
    /// <param name="runbook">Its name or id.</param>
    /// <param name="parameters">The values that it is given.</param>
    public CreateTaskRequest OfRunbook(ParseResult parse, string runbook, IReadOnlyDictionary<string, string>? parameters) => Rest(parse) with
    {
        RunbookId = runbook,
        Parameters = parameters,
        Targets = JobSpec.RunbookTargets(parse.GetValue(workstations)!, parse.GetValue(tags)!, parse.GetValue(labels)!, parse.GetValue(all), parse.GetValue(any)),
    };

    /// <summary>All but what runs and where.</summary>
    private CreateTaskRequest Rest(ParseResult parse)
    {
        var (set, taken) = JobSpec.Environment(parse.GetValue(env)!);
        return new CreateTaskRequest
        {
            CodingAgent = prompt.AgentOf(parse),
            PermissionTimeoutSeconds = prompt.PermissionTimeoutOf(parse),
            Environment = set,
            EnvironmentFromMachine = taken,
            WorkingDirectory = parse.GetValue(cwd),
            MaxParallel = parse.GetValue(maxParallel),
            StopAfterFailures = parse.GetValue(stopAfter),
            TimeoutSeconds = parse.GetValue(timeout),
            QueueTimeoutSeconds = parse.GetValue(queueTimeout),
            LeaseGraceSeconds = parse.GetValue(grace),
            OnWorkerLost = parse.GetValue(onWorkerLost) switch { "requeue" => OnWorkerLost.Requeue, "fail" => OnWorkerLost.Fail, _ => null },
            Resources = (parse.GetValue(cpu), parse.GetValue(memory), parse.GetValue(gpus)) is var (c, m, g) && (c, m, g) != (null, null, null)
                ? new ResourceSpec { Cpu = c, MemoryMb = m, GpuCount = g } : null,
            Intent = parse.GetValue(intent),
            InvestigationId = parse.GetValue(investigation),
            Priority = parse.GetValue(priority),
            ApprovalClass = Words.ApprovalClass(parse.GetValue(approvalClass)),
            Retry = JobSpec.Retry(parse.GetValue(retries), parse.GetValue(retryBackoff), parse.GetValue(retryExponential), parse.GetValue(retryOn)!),
        };
    }
}
