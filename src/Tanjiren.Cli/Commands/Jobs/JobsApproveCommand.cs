using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Jobs;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Jobs;

/// <summary><c>jobs approve</c>.</summary>
internal static class JobsApproveCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var id = new Argument<string>("JOB") { Description = "Id of the job (task_…)" };
        var reason = Options.Text("--reason", "TEXT", "Why, for the record");
        var approval = Options.Text("--approval", "ID", "The approval that you looked at (apr_…); if the job was changed since, nothing is approved");
        var yes = Options.Flag("--yes", "Do not ask: approve what is pending, whatever it is by now", "-y");
        var command = new CliCommand("approve", "Approve a job that waits for it")
        {
            Arguments = { id },
            Options = { reason, approval, yes },
            Details = "Shows what would run, where and why it waits, and asks; without a terminal, name the approval that you looked at (`approvals list` shows its id) or say --yes. Admins and the owner may. It must start within 15 minutes, then it asks again; so does every change of the job. Nobody approves a production_mutation of their own, unless they are alone in the organization: then with --reason.",
        };
        var output = new OutputOptions(command, "Print the job as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var job = await client.Tasks.GetAsync(parse.GetValue(id)!, cancellation);
            var meant = parse.GetValue(approval);
            if (meant is null)
            {
                // What is approved is what is shown here, not what somebody makes of it in between.
                if (ApprovalNotice.PendingOf(job) is not { } pending)
                    throw new CliException($"nothing of {job.Id} waits for an approval: it is {Words.Of(job.State)}, its approval {Words.Of(job.ApprovalStatus)}", $"look at it with `tanvrit-compute jobs show {job.Id}`");
                Show(cli, job, pending);
                if (!parse.GetValue(yes) && !cli.Confirm($"Approve {pending.Id}?", $"approving {job.Id}", $"add --approval {pending.Id} if you have looked at it, or --yes"))
                {
                    cli.Say("nothing approved");
                    return ExitCode.Cancelled;
                }
                meant = pending.Id;
            }
            var approved = await client.Approvals.ApproveAsync(job.Id, meant, parse.GetValue(reason), cancellation);
            if (!output.TryWrite(cli, parse, approved, w => w.TaskBody, approved.Id)) cli.Say($"{approved.Id} is approved and {Words.Of(approved.State)}");
            return ExitCode.Ok;
        });
        return command;
    }

    /// <summary>On standard error: what an answer would let start.</summary>
    private static void Show(CliContext cli, TaskBody job, ApprovalBody pending) => new FieldList()
        .Add("job", job.Id)
        .Add("intent", job.Intent)
        .Add("command", job.Command is null ? null : Words.Command(job.Command))
        .Add("prompt", job.PromptText)
        .Add("questions", job.Questions is null ? null : string.Join(" · ", job.Questions.Select(q => $"{q.Name}: {q.Text}")))
        .Add("coding agent", job.CodingAgent)
        .Add("directory", job.WorkingDirectory)
        .Add("environment", string.Join(", ", (job.Environment ?? new Dictionary<string, string>()).Select(v => $"{v.Key}={v.Value}").Concat((job.EnvironmentFromMachine ?? []).Select(n => $"{n} (the workstation's)"))))
        .Add("secrets", job.SecretNames is null ? null : string.Join(", ", job.SecretNames))
        .Add("targets", WaitingNotice.For(job.Targets))
        .Add("approval", $"{pending.Id} ({Words.Of(pending.Class)})")
        .Add("because", ApprovalNotice.Because(pending))
        .Write(cli.Err);
}
