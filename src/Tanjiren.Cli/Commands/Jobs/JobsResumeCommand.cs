using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Jobs;

/// <summary><c>jobs resume</c>.</summary>
internal static class JobsResumeCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var json = Options.Json("Print { resumed } as JSON");
        var command = new CliCommand("resume", "After a restore: let the jobs go on that were open in the backup")
        {
            Options = { json },
            Details = "For the owner. The restored server can't know which of these jobs ran between the backup and the restore, so none starts by itself. Cancel those that did with `jobs cancel`; this lets all others of the organization go on, each with its whole queue timeout before it. Refused, with how long, while an agent that is cut off may still run one of them: until TTL and grace of its lease after the restore.",
        };
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var answer = await client.Tasks.ResumeAsync(cancellation);
            if (parse.GetValue(json)) Json.Write(cli, answer, w => w.ResumedTasks);
            else cli.Say(answer.Resumed == 0 ? "no job was held" : answer.Resumed == 1 ? "1 job goes on" : $"{answer.Resumed} jobs go on");
            return ExitCode.Ok;
        });
        return command;
    }
}
