using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Investigations;

/// <summary><c>investigations delete</c>.</summary>
internal static class InvestigationsDeleteCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var id = new Argument<string>("INVESTIGATION") { Description = "Id of the investigation (ivg_…)" };
        var yes = Options.Flag("--yes", "Do not ask", "-y");
        var command = new CliCommand("delete", "Delete an investigation: your own, or as an admin anybody's")
        {
            Arguments = { id },
            Options = { yes },
            Details = "Only one that nothing belongs to, so that no finding loses its question: one with jobs is closed instead. The audit log keeps who deleted it, and its title.",
        };
        var output = new OutputOptions(command, "Print the deleted investigation as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var one = await client.Investigations.GetAsync(parse.GetValue(id)!, cancellation);
            if (!parse.GetValue(yes) && !cli.Confirm($"Delete the investigation {Text.Safe(one.Title)}?", $"deleting {one.Id}"))
            {
                cli.Say("nothing deleted");
                return ExitCode.Cancelled;
            }
            await client.Investigations.DeleteAsync(one.Id, cancellation);
            if (!output.TryWrite(cli, parse, one, w => w.InvestigationBody, one.Id)) cli.Say($"{one.Id} is deleted");
            return ExitCode.Ok;
        });
        return command;
    }
}
