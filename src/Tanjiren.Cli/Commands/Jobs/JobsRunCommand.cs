using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Hosting;
using Tanjiren.Cli.Jobs;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Jobs;

/// <summary><c>jobs run</c>.</summary>
internal static class JobsRunCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var command = new CliCommand("run", "Run a command on one or more workstations")
        {
            Operands = "-- COMMAND [ARGS…]",
            Details = """
                The output of the job streams to standard output and standard error, byte for byte; with more than one step each line is led by the name of its workstation. Our own words go to standard error only. A lost connection is taken up again where it broke. The job belongs to the trace that TRACEPARENT names, or begins one. Ctrl-C cancels the job and waits for its end; a second Ctrl-C leaves at once.

                The exit code is the job's; with several steps the highest. 124 timeout, 125 tanvrit-compute itself failed, 126 the job ended without a result (worker lost …), 127 the program could not be started, 128+N ended by signal N, 130 cancelled.
                """,
            Examples =
            [
                "tanvrit-compute jobs run --workstation build-1 -- make test",
                "tanvrit-compute jobs run --tag gpu --all --max-parallel 0 -- nvidia-smi",
                "tanvrit-compute jobs run --label os=linux --label 'memoryMb>=16000' --shell 'df -h | sort'",
            ],
        };
        var workstations = Options.Repeated("--workstation", "NAME", "Workstation by name or id; repeatable", "-w");
        var tags = Options.Repeated("--tag", "TAG", "Only workstations with this tag; repeatable, all must be set");
        var labels = Options.Repeated("--label", "K=V", "Only workstations with this label, for example os=linux or 'memoryMb>=16000'; repeatable");
        var all = Options.Flag("--all", "One step on each workstation that matches (default with --workstation)");
        var any = Options.Flag("--any", "One step on any one that matches (default otherwise)");
        var maxParallel = Options.Number("--max-parallel", "N", "Steps that run at once; 0: all (default 1)", 0, 1000);
        var stopAfter = Options.Number("--stop-after-failures", "N", "After N failed steps cancel those that have not started (default: never)", 1, 1000);
        var timeout = Options.Seconds("--timeout", "Kill a step this long after its start: 90, 90s, 15m, 2h, 1d (default 24h)", 1, 604_800);
        var queueTimeout = Options.Seconds("--queue-timeout", "Give up when nothing has started by then (default 7d)", 1, 2_592_000);
        var onWorkerLost = Options.Choice("--on-worker-lost", "When a workstation vanishes: fail the step, or requeue it once its processes are dead (default fail)",
            "fail", "requeue");
        var grace = Options.Seconds("--lease-grace", "How long a silent workstation may come back before its step counts as lost (default 120)", 1, 3_600);
        var env = Options.Repeated("--env", "NAME[=V]", "Set a variable; without =V take the workstation's own value; repeatable", "-e");
        var cwd = Options.Text("--cwd", "DIR", "Absolute directory on the workstation (default: the home of the agent's user)");
        var shell = Options.Text("--shell", "TEXT", "Run TEXT with the workstation's shell instead of a command (/bin/sh -c, cmd.exe /d /s /c)");
        var cpu = Options.Amount("--cpu", "N", "Cores that each step needs");
        var memory = Options.Number("--memory-mb", "N", "Memory that each step needs, in MiB", 1, int.MaxValue);
        var gpus = Options.Number("--gpu-count", "N", "Graphics processors that each step needs", 0, 1000);
        var intent = Options.Text("--intent", "TEXT", "What it is for, in your words (default: the command line)");
        var investigation = Options.Text("--investigation", "ID", "Open investigation that the job belongs to");
        var priority = Options.Number("--priority", "N", "From -100 to 100, higher first (default 0)", -100, 100);
        var key = Options.Text("--idempotency-key", "KEY", "The same key within 24 h finds the job instead of making another (default: random)");
        var detach = Options.Flag("--detach", "Print the job's id and leave it running", "-d");
        var prefix = Options.Flag("--prefix", "Lead each line with the workstation's name, also with one step");
        var raw = Options.Flag("--raw", "Never lead lines with a name");
        foreach (var option in (Option[])[workstations, tags, labels, all, any, maxParallel, stopAfter, timeout, queueTimeout, onWorkerLost, grace, env, cwd, shell,
            cpu, memory, gpus, intent, investigation, priority, key, detach, prefix, raw])
            command.Options.Add(option);
        var output = new OutputOptions(command, "Print the job as JSON when it ends (with --detach: when it is made) instead of its output");
        var server = new ServerOptions(command);
        var operand = new CommandOperand(command);

        command.SetAction(async (parse, _) =>
        {
            var (set, taken) = JobSpec.Environment(parse.GetValue(env)!);
            if (parse.GetValue(prefix) && parse.GetValue(raw)) throw new CliException("both --prefix and --raw are given", "give one of them");
            if (output.IsId(parse) && !parse.GetValue(detach)) throw new CliException("-o id is given, and the job is not detached", "add --detach, or use --json for the job as it ended");
            var request = new CreateTaskRequest
            {
                Command = JobSpec.Command(operand.Of(parse), parse.GetValue(shell)),
                Targets = JobSpec.Targets(parse.GetValue(workstations)!, parse.GetValue(tags)!, parse.GetValue(labels)!, parse.GetValue(all), parse.GetValue(any)),
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
            };
            using var telemetry = Telemetry.Start(cli, TelemetryRole.Command);
            using var client = ClientSession.Open(cli, server.Of(parse));
            using var interrupts = cli.ListenForInterrupts();
            return await new JobRunner(cli, client).RunAsync(request, new JobRunOptions
            {
                IdempotencyKey = parse.GetValue(key) ?? Guid.NewGuid().ToString("N"),
                Detach = parse.GetValue(detach),
                Json = output.IsJson(parse),
                Prefix = parse.GetValue(prefix) ? PrefixMode.Always : parse.GetValue(raw) ? PrefixMode.Never : PrefixMode.Auto,
            }, interrupts);
        });
        return command;
    }
}
