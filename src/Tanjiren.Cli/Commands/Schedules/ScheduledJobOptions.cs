using System.CommandLine;

using Tanjiren.Cli.Commands.Jobs;
using Tanjiren.Cli.Jobs;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Schedules;

/// <summary>What each tick runs: a command, a prompt, or a runbook with its parameters; either with the options of <c>jobs run</c>.</summary>
internal sealed class ScheduledJobOptions
{
    private readonly Option<string?> runbook = Options.Text("--runbook", "RUNBOOK", "Run this runbook, by name or id, instead of a command; what the job's options leave out is as it says");
    private readonly Option<string[]> parameters = Options.Repeated("--param", "NAME=V", "Value of a parameter of the runbook; repeatable", "-p");
    private readonly CliContext cli;
    private readonly JobRequestOptions job;
    private readonly CommandOperand operand;

    public ScheduledJobOptions(CliContext cli, Command command)
    {
        command.Options.Add(runbook);
        command.Options.Add(parameters);
        this.cli = cli;
        job = new JobRequestOptions(command);
        operand = new CommandOperand(command);
    }

    public CreateTaskRequest Of(ParseResult parse)
    {
        var argv = operand.Of(parse);
        var values = JobSpec.Parameters(parse.GetValue(parameters)!);
        if (parse.GetValue(runbook) is not { } named)
            return values is null ? job.Of(parse, argv, new StandardInput(cli)) : throw new CliException("--param is given without --runbook", "name the runbook whose parameters these are");
        if (argv.Count > 0 || job.Given(parse).Any(SaysWhat)) throw new CliException("both --runbook and a command, a prompt or questions are given", "give one of them");
        return job.OfRunbook(parse, named, values);
    }

    /// <summary>Null: the job stays as it is. It is replaced as a whole, so an option of it alone is refused.</summary>
    public CreateTaskRequest? OfChange(ParseResult parse)
    {
        List<string> given = [.. new Option[] { runbook, parameters }.Where(o => parse.GetResult(o) is { Implicit: false }).Select(o => o.Name), .. job.Given(parse)];
        if (operand.Of(parse).Count > 0 || given.Any(SaysWhat) || given.Contains("--runbook")) return Of(parse);
        return given.Count == 0 ? null
            : throw new CliException($"{string.Join(", ", given)}: of the job, and it is replaced only as a whole", "add `-- COMMAND ARGS…`, --shell TEXT, --prompt TEXT, --questions FILE or --runbook RUNBOOK, and all options of the job");
    }

    private static bool SaysWhat(string option) => option == "--shell" || PromptOptions.SaysWhat(option);
}
