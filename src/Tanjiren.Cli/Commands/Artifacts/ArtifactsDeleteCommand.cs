using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Artifacts;

/// <summary><c>artifacts delete</c>.</summary>
internal static class ArtifactsDeleteCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var id = new Argument<string>("ARTIFACT") { Description = "Id of the artifact (art_…)" };
        var command = new CliCommand("delete", "Delete an artifact: your own, or as an admin anybody's")
        {
            Arguments = { id },
            Details = "The audit log keeps who deleted it, its title and its SHA-256; the content is gone.",
        };
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            await client.Artifacts.DeleteAsync(parse.GetValue(id)!, cancellation);
            cli.Say($"{Text.Safe(parse.GetValue(id))} is deleted");
            return ExitCode.Ok;
        });
        return command;
    }
}
