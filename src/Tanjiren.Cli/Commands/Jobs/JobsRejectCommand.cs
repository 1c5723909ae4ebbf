using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Jobs;

/// <summary><c>jobs reject</c>.</summary>
internal static class JobsRejectCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var id = new Argument<string>("JOB") { Description = "Id of the job (task_…)" };
        var reason = Options.Text("--reason", "TEXT", "Why, for the record and for whoever made the job");
        reason.Required = true;
        var command = new CliCommand("reject", "Refuse a job that waits for an approval")
        {
            Arguments = { id },
            Options = { reason },
            Details = "Admins and the owner may. A planned job fails; of one that executes already, the steps that waited for the approval fail.",
        };
        var output = new OutputOptions(command, "Print the job as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var job = await client.Approvals.RejectAsync(parse.GetValue(id)!, null, parse.GetValue(reason), cancellation);
            if (!output.TryWrite(cli, parse, job, w => w.TaskBody, job.Id)) cli.Say($"{job.Id} is rejected and {Words.Of(job.State)}");
            return ExitCode.Ok;
        });
        return command;
    }
}
