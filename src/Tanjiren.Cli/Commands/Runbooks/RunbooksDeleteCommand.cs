using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Runbooks;

/// <summary><c>runbooks delete</c>.</summary>
internal static class RunbooksDeleteCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var name = new Argument<string>("RUNBOOK") { Description = "Name or id" };
        var command = new CliCommand("delete", "Delete a runbook: your own, or as an admin anybody's")
        {
            Arguments = { name },
            Details = "Its jobs go on and keep its id; a schedule that runs it is paused at its next tick. `runbooks archive` takes it out of use and can be undone.",
        };
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            await client.Runbooks.DeleteAsync(parse.GetValue(name)!, cancellation);
            cli.Say($"the runbook {Text.Safe(parse.GetValue(name))} is deleted");
            return ExitCode.Ok;
        });
        return command;
    }
}
