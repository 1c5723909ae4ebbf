using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Jobs;

/// <summary><c>jobs retry</c>.</summary>
internal static class JobsRetryCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var id = new Argument<string>("JOB") { Description = "Id of a job that failed or was cancelled (task_…)" };
        var reason = Options.Text("--reason", "TEXT", "Why, for the record");
        var command = new CliCommand("retry", "Run a job again that failed or was cancelled")
        {
            Arguments = { id },
            Options = { reason },
            Details = "The attempt is a new job, in your name; an attempt that was planned already is made at once instead. A job has one attempt after it: retry the newest.",
        };
        var output = new OutputOptions(command, "Print the new job as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var job = await client.Tasks.RetryAsync(parse.GetValue(id)!, parse.GetValue(reason), cancellation);
            if (!output.TryWrite(cli, parse, job, w => w.TaskBody, job.Id))
            {
                cli.Out.WriteLine(job.Id);
                cli.Say($"attempt {job.Attempt} of {job.RootTaskId}; follow it with `tanvrit-compute jobs logs --follow {job.Id}`");
            }
            return ExitCode.Ok;
        });
        return command;
    }
}
