using Tanjiren.Cli.Hosting;
using Tanjiren.Cli.Jobs;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands;

/// <summary><c>up</c>: everything on this machine, in one process.</summary>
internal static class UpCommand
{
    public const int DefaultPort = 7433;

    public static CliCommand Create(CliContext cli)
    {
        var data = Options.Text("--data", "DIR", "Where the control plane and its agent keep their data (default: local and agents/local under TANVRIT_HOME)");
        var port = Options.Number("--port", "N", $"Port on 127.0.0.1; 0: any free one (default {DefaultPort})", 0, 65_535);
        var maxConcurrent = Options.Number("--max-concurrent", "N", "Steps that run at once here (default: maxConcurrent of agent.yaml, else the number of processors)", 1, 1000);
        var verbose = Options.Flag("--verbose", "Log what the control plane and the agent do, on standard error", "-v");
        var command = new CliCommand("up", "Start a control plane and an agent on this machine, or run one command through them")
        {
            Operands = "[-- COMMAND [ARGS…]]",
            Options = { data, port, maxConcurrent, verbose },
            Details = """
                Without a command it stays until Ctrl-C or SIGTERM, which drains: what runs is finished. A second one aborts. On first start it makes the workspace `local`, signs you in to it, and registers this machine.

                With a command it runs that as a job through the whole path, prints only its output, stops everything, and exits with its exit code, as `jobs run` does. When `up` runs already for these data, the command is handed to that one.
                """,
            Examples = ["tanvrit-compute up", "tanvrit-compute up -- sh -c 'echo hello from $(hostname)'"],
        };
        var operand = new CommandOperand(command);
        command.SetAction(async (parse, _) =>
        {
            var words = operand.Of(parse);
            using var telemetry = Telemetry.Start(cli, TelemetryRole.Up);
            using var interrupts = cli.ListenForInterrupts();
            return await new UpSession(cli, new UpOptions
            {
                Data = parse.GetValue(data) is { } path ? Path.GetFullPath(path) : null,
                Port = parse.GetValue(port) ?? DefaultPort,
                MaxConcurrent = parse.GetValue(maxConcurrent),
                LogLevel = parse.GetValue(verbose) ? LogLevel.Debug : LogLevel.Warning,
                Command = words.Count == 0 ? null : JobSpec.Command(words, null),
            }, interrupts).RunAsync();
        });
        return command;
    }
}
