using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Prompts;

/// <summary><c>prompts show</c>.</summary>
internal static class PromptsShowCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var name = new Argument<string>("PROMPT") { Description = "Name or id" };
        var command = new CliCommand("show", "Print a prompt") { Arguments = { name }, Details = "Its text alone goes to standard output, as it was saved; --json tells the rest." };
        var output = new OutputOptions(command, "Print the prompt as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var one = await client.Prompts.GetAsync(parse.GetValue(name)!, cancellation);
            if (output.TryWrite(cli, parse, one, w => w.PromptBody, one.Id)) return ExitCode.Ok;
            // A terminal gets it without what would move its cursor; a file or a pipe gets it as it is.
            cli.Out.Write(cli.OutputIsTerminal ? string.Join('\n', one.Text.Split('\n').Select(Output.Text.Safe)) : one.Text);
            if (!one.Text.EndsWith('\n')) cli.Out.WriteLine();
            return ExitCode.Ok;
        });
        return command;
    }
}
