using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Prompts;

/// <summary><c>prompts update</c>.</summary>
internal static class PromptsUpdateCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var name = new Argument<string>("PROMPT") { Description = "Name or id" };
        var rename = Options.Text("--name", "NAME", "Another name");
        var text = Options.Text("--text", "TEXT", "Another text; - reads it from standard input");
        var tags = Options.Repeated("--tag", "TAG", "Instead of the tags that it has; repeatable");
        var version = Options.Number("--if-version", "N", "Only if nobody has changed it since this version (default: as it is now)", 1, int.MaxValue);
        var command = new CliCommand("update", "Change a prompt") { Arguments = { name }, Options = { rename, text, tags, version } };
        var output = new OutputOptions(command, "Print the prompt as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            var change = new UpdatePromptRequest
            {
                Name = parse.GetValue(rename), Text = new StandardInput(cli).Text(parse.GetValue(text)), Tags = parse.GetValue(tags) is { Length: > 0 } some ? some : null,
            };
            if (change == new UpdatePromptRequest()) throw new CliException("there is nothing to change", "give --name, --text or --tag");
            using var client = ClientSession.Open(cli, server.Of(parse));
            var id = parse.GetValue(name)!;
            var read = parse.GetValue(version) ?? (await client.Prompts.GetAsync(id, cancellation)).Version;
            var one = await client.Prompts.UpdateAsync(id, change with { Version = read }, cancellation);
            if (!output.TryWrite(cli, parse, one, w => w.PromptBody, one.Id)) cli.Say($"{Text.Safe(one.Name)} is version {one.Version} now");
            return ExitCode.Ok;
        });
        return command;
    }
}
