using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Jobs;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Jobs;

/// <summary><c>jobs update</c>.</summary>
internal static class JobsUpdateCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var id = new Argument<string>("JOB") { Description = "Id of the job (task_…)" };
        var command = new CliCommand("update", "Change a job that no workstation has claimed")
        {
            Arguments = { id },
            Operands = "JOB [-- COMMAND [ARGS…]]",
            Details = "What is given replaces, what is absent stays; targets, environment, resources and retries are each replaced as a whole. An approval that was given or asked for ends, and the job is decided anew.",
            Examples =
            [
                "tanvrit-compute jobs update task_0123 --priority 10",
                "tanvrit-compute jobs update task_0123 --retries 3 --retry-backoff 1m",
                "tanvrit-compute jobs update task_0123 --intent 'only check' -- make --dry-run",
            ],
        };
        var workstations = Options.Repeated("--workstation", "NAME", "Run on this workstation instead; repeatable", "-w");
        var tags = Options.Repeated("--tag", "TAG", "Run on workstations with this tag instead; repeatable, all must be set");
        var labels = Options.Repeated("--label", "K=V", "Run on workstations with this label instead; repeatable");
        var all = Options.Flag("--all", "With new targets: one step on each that matches (default with --workstation)");
        var any = Options.Flag("--any", "With new targets: one step on any one that matches (default otherwise)");
        var maxParallel = Options.Number("--max-parallel", "N", "Steps that run at once; 0: all", 0, 1000);
        var stopAfter = Options.Number("--stop-after-failures", "N", "After N failed steps cancel those that have not started", 1, 1000);
        var timeout = Options.Seconds("--timeout", "Kill a step this long after its start: 90, 90s, 15m, 2h, 1d", 1, 604_800);
        var queueTimeout = Options.Seconds("--queue-timeout", "Give up when nothing has started by then", 1, 2_592_000);
        var onWorkerLost = Options.Choice("--on-worker-lost", "When a workstation vanishes: fail the step, or requeue it once its processes are dead", "fail", "requeue");
        var grace = Options.Seconds("--lease-grace", "How long a silent workstation may come back before its step counts as lost", 1, 3_600);
        var retries = Options.Number("--retries", "N", "After a failure try again, up to N times; 0: not any more", 0, WireLimits.MaxAttempts - 1);
        var retryBackoff = Options.Seconds("--retry-backoff", "Pause before the second attempt (default 30)", 0, 86_400);
        var retryExponential = Options.Flag("--retry-exponential", "Double the pause after each attempt, up to a day");
        var retryOn = Options.Repeated("--retry-on", "REASON", "Try again after this failure only: exitCode, timeout, workerLost …; repeatable (default exitCode and timeout)");
        var env = Options.Repeated("--env", "NAME[=V]", "Set these variables instead; without =V take the workstation's own value; repeatable", "-e");
        var cwd = Options.Text("--cwd", "DIR", "Absolute directory on the workstation");
        var shell = Options.Text("--shell", "TEXT", "Run TEXT with the workstation's shell instead");
        var prompt = Options.Text("--prompt", "TEXT", "Ask the coding agent this instead");
        var questions = Options.Text("--questions", "FILE", "Have the questions of this YAML file answered instead; - reads it from standard input");
        var agent = Options.Text("--agent", "NAME", "Ask this coding agent instead; empty: the workstation's first");
        var permissionTimeout = Options.Seconds("--permission-timeout", "How long its questions whether it may use a tool wait for an answer; then they are denied", 1, 86_400);
        var cpu = Options.Amount("--cpu", "N", "Cores that each step needs, and is held to");
        var memory = Options.Number("--memory-mb", "N", "Memory that each step needs, in MiB; one that takes more is killed", 1, int.MaxValue);
        var gpus = Options.Number("--gpu-count", "N", "Graphics processors that each step needs, and is given", 0, 1000);
        var intent = Options.Text("--intent", "TEXT", "What it is for, in your words");
        var priority = Options.Number("--priority", "N", "From -100 to 100, higher first", -100, 100);
        var approvalClass = Options.Choice("--approval-class", "Ask for an approval of this class; it can be raised, not lowered", [.. Enum.GetValues<ApprovalClass>().Select(c => Words.Of(c))]);
        foreach (var option in (Option[])[workstations, tags, labels, all, any, maxParallel, stopAfter, timeout, queueTimeout, onWorkerLost, grace,
            retries, retryBackoff, retryExponential, retryOn, env, cwd, shell, prompt, questions, agent, permissionTimeout, cpu, memory, gpus, intent, priority, approvalClass])
            command.Options.Add(option);
        var output = new OutputOptions(command, "Print the job as JSON");
        var server = new ServerOptions(command);
        var operand = new CommandOperand(command);

        command.SetAction(async (parse, cancellation) =>
        {
            var (set, taken) = JobSpec.Environment(parse.GetValue(env)!);
            var argv = operand.Of(parse);
            var (names, tagged, labelled) = (parse.GetValue(workstations)!, parse.GetValue(tags)!, parse.GetValue(labels)!);
            var asked = PromptOptions.QuestionsOf(new StandardInput(cli), parse, questions);
            if (parse.GetValue(prompt) is not null && asked?.About is not null) throw new CliException("both a prompt and `about` in the file of questions are given", "give one of them: it says what the questions are about");
            var targeted = names.Length + tagged.Length + labelled.Length > 0;
            if (!targeted && (parse.GetValue(all) || parse.GetValue(any))) throw new CliException("--all or --any is given without targets", "targets are replaced as a whole: name them all");
            var change = new UpdateTaskRequest
            {
                Command = argv.Count > 0 || parse.GetValue(shell) is not null ? JobSpec.Command(argv, parse.GetValue(shell)) : null,
                PromptText = parse.GetValue(prompt) ?? asked?.About,
                Questions = asked?.Questions,
                CodingAgent = parse.GetValue(agent),
                PermissionTimeoutSeconds = parse.GetValue(permissionTimeout),
                Targets = targeted ? JobSpec.Targets(names, tagged, labelled, parse.GetValue(all), parse.GetValue(any)) : null,
                // The two are one thing to whoever types them, and replaced as one.
                Environment = set is null && taken is not null ? new Dictionary<string, string>() : set,
                EnvironmentFromMachine = taken is null && set is not null ? [] : taken,
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
                Priority = parse.GetValue(priority),
                Retry = JobSpec.RetryChange(parse.GetValue(retries), parse.GetValue(retryBackoff), parse.GetValue(retryExponential), parse.GetValue(retryOn)!),
                ApprovalClass = Words.ApprovalClass(parse.GetValue(approvalClass)),
            };
            using var client = ClientSession.Open(cli, server.Of(parse));
            var job = await client.Tasks.UpdateAsync(parse.GetValue(id)!, change, cancellation);
            if (!output.TryWrite(cli, parse, job, w => w.TaskBody, job.Id))
                cli.Say(ApprovalNotice.PendingOf(job) is { } pending ? $"{job.Id} is changed, and waits for an approval ({Words.Of(pending.Class)})" : $"{job.Id} is changed, and {Words.Of(job.State)}");
            return ExitCode.Ok;
        });
        return command;
    }
}
