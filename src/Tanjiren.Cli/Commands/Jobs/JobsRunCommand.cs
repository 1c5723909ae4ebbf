using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Hosting;
using Tanjiren.Cli.Jobs;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Jobs;

/// <summary><c>jobs run</c>.</summary>
internal static class JobsRunCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var command = new CliCommand("run", "Run a command on one or more workstations, or ask their coding agents")
        {
            Operands = "-- COMMAND [ARGS…] | --prompt TEXT | --questions FILE",
            Details = """
                The output of the job streams to standard output and standard error, byte for byte; with more than one step each line is led by the name of its workstation. Our own words go to standard error only. A lost connection is taken up again where it broke. The job belongs to the trace that TRACEPARENT names, or begins one. Ctrl-C cancels the job and waits for its end; a second Ctrl-C leaves at once. With --retries it stays for the last attempt: each attempt's output follows the one before, Ctrl-C in the pause between two drops the next.

                The exit code is the job's (its last attempt's); with several steps the highest. 124 timeout, 125 tanvrit-compute itself failed, 126 the job ended without a result (worker lost …), 127 the program could not be started, 128+N ended by signal N, 130 cancelled.

                With --prompt a coding agent on the workstation is asked: what it says streams to standard output, what it does in short lines to standard error. The exit code is 0 when it ended its turn by itself, 1 when it failed, refused or reached a limit.

                With --questions it answers the questions of a YAML file, in one session, and each answer becomes an artifact with its evidence: a list `questions`, each with a text and if you want a name, a form (text, list, yes_no, object) and, for an object, its fields; beside it `about`, for all of them. The exit code is 0 when all are answered, 1 when one is missing; what was answered stays.
                """,
            Examples =
            [
                "tanvrit-compute jobs run --workstation build-1 -- make test",
                "tanvrit-compute jobs run --tag gpu --all --max-parallel 0 -- nvidia-smi",
                "tanvrit-compute jobs run --tag linux --retries 3 --retry-backoff 10 --retry-exponential -- ./flaky",
                "DEPLOY_KEY=… tanvrit-compute jobs run --tag web --secret DEPLOY_KEY -- ./deploy",
                "tanvrit-compute jobs run --workstation build-1 --cwd /src/app --agent claude --prompt 'Why does make test fail?'",
                "tanvrit-compute jobs run --workstation build-1 --cwd /src/app --questions audit.yaml --investigation ivg_0123",
                "tanvrit-compute jobs run --label os=linux --label 'memoryMb>=16000' --shell 'df -h | sort'",
            ],
        };
        var job = new JobRequestOptions(command);
        var secret = Options.Repeated("--secret", "NAME[=V]", "Set a variable that is kept encrypted, never shown again, and masked in the output; without =V take the value that it has here, with =- standard input; repeatable");
        var key = Options.Text("--idempotency-key", "KEY", "The same key within 24 h finds the job instead of making another (default: random)");
        var detach = Options.Flag("--detach", "Print the job's id and leave it running", "-d");
        var prefix = Options.Flag("--prefix", "Lead each line with the workstation's name, also with one step");
        var raw = Options.Flag("--raw", "Never lead lines with a name");
        foreach (var option in (Option[])[secret, key, detach, prefix, raw]) command.Options.Add(option);
        var output = new OutputOptions(command, "Print the job as JSON when it ends (with --detach: when it is made) instead of its output");
        var server = new ServerOptions(command);
        var operand = new CommandOperand(command);

        command.SetAction(async (parse, _) =>
        {
            if (parse.GetValue(prefix) && parse.GetValue(raw)) throw new CliException("both --prefix and --raw are given", "give one of them");
            if (output.IsId(parse) && !parse.GetValue(detach)) throw new CliException("-o id is given, and the job is not detached", "add --detach, or use --json for the job as it ended");
            var input = new StandardInput(cli);
            var request = job.Of(parse, operand.Of(parse), input) with { Secrets = JobSpec.Secrets(parse.GetValue(secret)!, cli.Variable, input) };
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
