using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Prompts;

/// <summary><c>prompts delete</c>.</summary>
internal static class PromptsDeleteCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var name = new Argument<string>("PROMPT") { Description = "Name or id" };
        var command = new CliCommand("delete", "Delete a prompt: your own, or as an admin anybody's") { Arguments = { name } };
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            await client.Prompts.DeleteAsync(parse.GetValue(name)!, cancellation);
            cli.Say($"the prompt {Text.Safe(parse.GetValue(name))} is deleted");
            return ExitCode.Ok;
        });
        return command;
    }
}
