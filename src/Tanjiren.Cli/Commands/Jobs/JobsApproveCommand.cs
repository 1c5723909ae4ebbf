using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Jobs;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Jobs;

/// <summary><c>jobs approve</c>.</summary>
internal static class JobsApproveCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var id = new Argument<string>("JOB") { Description = "Id of the job (task_…)" };
        var reason = Options.Text("--reason", "TEXT", "Why, for the record");
        var approval = Options.Text("--approval", "ID", "The approval that you looked at (apr_…); if the job was changed since, nothing is approved");
        var command = new CliCommand("approve", "Approve a job that waits for it")
        {
            Arguments = { id },
            Options = { reason, approval },
            Details = "Admins and the owner may. It must start within 15 minutes, then it asks again; so does every change of the job. Nobody approves a production_mutation of their own, unless they are alone in the organization: then with --reason.",
        };
        var output = new OutputOptions(command, "Print the job as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            // What is approved is what was read just now, not what somebody makes of it in between.
            var job = await client.Tasks.GetAsync(parse.GetValue(id)!, cancellation);
            var meant = parse.GetValue(approval) ?? ApprovalNotice.PendingOf(job)?.Id;
            if (!output.IsJson(parse) && !output.IsId(parse)) cli.Say($"{job.Id}: {Text.Safe(job.Intent)} ({Text.Safe(Words.Command(job.Command))})");
            var approved = await client.Approvals.ApproveAsync(job.Id, meant, parse.GetValue(reason), cancellation);
            if (!output.TryWrite(cli, parse, approved, w => w.TaskBody, approved.Id)) cli.Say($"{approved.Id} is approved and {Words.Of(approved.State)}");
            return ExitCode.Ok;
        });
        return command;
    }
}
