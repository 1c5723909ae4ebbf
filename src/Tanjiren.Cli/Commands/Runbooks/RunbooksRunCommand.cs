using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Hosting;
using Tanjiren.Cli.Jobs;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Runbooks;

/// <summary><c>runbooks run</c>: a job made from a runbook, followed as <c>jobs run</c> follows one.</summary>
internal static class RunbooksRunCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var name = new Argument<string>("RUNBOOK") { Description = "Name or id" };
        var parameters = Options.Repeated("--param", "NAME=V", "Value of a parameter; repeatable", "-p");
        var workstations = Options.Repeated("--workstation", "NAME", "Workstation by name or id, instead of the runbook's targets; repeatable", "-w");
        var tags = Options.Repeated("--tag", "TAG", "Only workstations with this tag, instead of the runbook's targets; repeatable, all must be set");
        var labels = Options.Repeated("--label", "K=V", "Only workstations with this label, instead of the runbook's targets; repeatable");
        var all = Options.Flag("--all", "One step on each workstation that matches (default with --workstation)");
        var any = Options.Flag("--any", "One step on any one that matches (default otherwise)");
        var env = Options.Repeated("--env", "NAME[=V]", "Set a variable; without =V take the workstation's own value; repeatable", "-e");
        var agent = Options.Text("--agent", "NAME", "The coding agent to ask, of a runbook in mode prompt (default: the workstation's first)");
        var intent = Options.Text("--intent", "TEXT", "What it is for (default: what the runbook says)");
        var investigation = Options.Text("--investigation", "ID", "Open investigation that the job belongs to");
        var key = Options.Text("--idempotency-key", "KEY", "The same key within 24 h finds the job instead of making another (default: random)");
        var detach = Options.Flag("--detach", "Print the job's id and leave it running", "-d");
        var prefix = Options.Flag("--prefix", "Lead each line with the workstation's name, also with one step");
        var raw = Options.Flag("--raw", "Never lead lines with a name");
        var command = new CliCommand("run", "Run a job from a runbook")
        {
            Arguments = { name },
            Options = { parameters, workstations, tags, labels, all, any, env, agent, intent, investigation, key, detach, prefix, raw },
            Details = "Output, Ctrl-C and exit code are those of `jobs run`. What is not given here is as the runbook says.",
            Examples = ["tanvrit-compute runbooks run restart --param service=nginx --tag web --all"],
        };
        var output = new OutputOptions(command, "Print the job as JSON when it ends (with --detach: when it is made) instead of its output");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, _) =>
        {
            if (parse.GetValue(prefix) && parse.GetValue(raw)) throw new CliException("both --prefix and --raw are given", "give one of them");
            if (output.IsId(parse) && !parse.GetValue(detach)) throw new CliException("-o id is given, and the job is not detached", "add --detach, or use --json for the job as it ended");
            var (set, taken) = JobSpec.Environment(parse.GetValue(env)!);
            var request = new CreateTaskRequest
            {
                RunbookId = parse.GetValue(name),
                Parameters = JobSpec.Parameters(parse.GetValue(parameters)!),
                Targets = JobSpec.RunbookTargets(parse.GetValue(workstations)!, parse.GetValue(tags)!, parse.GetValue(labels)!, parse.GetValue(all), parse.GetValue(any)),
                CodingAgent = parse.GetValue(agent),
                Environment = set,
                EnvironmentFromMachine = taken,
                Intent = parse.GetValue(intent),
                InvestigationId = parse.GetValue(investigation),
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
