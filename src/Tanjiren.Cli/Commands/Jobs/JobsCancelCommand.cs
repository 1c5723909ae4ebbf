using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Jobs;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Jobs;

/// <summary><c>jobs cancel</c>.</summary>
internal static class JobsCancelCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var id = new Argument<string>("JOB") { Description = "Id of the job (task_…)" };
        var reason = Options.Text("--reason", "TEXT", "Why, for the record");
        var command = new CliCommand("cancel", "Cancel a job")
        {
            Arguments = { id },
            Options = { reason },
            Details = "Steps that have not started end at once; running ones are killed on their workstations with everything they started, which `jobs show` and `jobs logs --follow` tell. A step that ended before the signal keeps its own result.",
        };
        var output = new OutputOptions(command, "Print the job as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var job = await client.Tasks.CancelAsync(parse.GetValue(id)!, parse.GetValue(reason), cancellation);
            if (!output.TryWrite(cli, parse, job, w => w.TaskBody, job.Id))
                cli.Say(JobExit.IsTerminal(job.State) ? $"{job.Id} is {Words.Of(job.State)}" : $"{job.Id} is being cancelled");
            return ExitCode.Ok;
        });
        return command;
    }
}
