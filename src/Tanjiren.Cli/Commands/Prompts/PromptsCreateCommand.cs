using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Prompts;

/// <summary><c>prompts create</c>.</summary>
internal static class PromptsCreateCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var name = new Argument<string>("NAME") { Description = "Name, unique in the organization" };
        var text = Options.Text("--text", "TEXT", "The prompt, at most 64 KiB; - reads it from standard input");
        var tags = Options.Repeated("--tag", "TAG", "To find it by; repeatable");
        var command = new CliCommand("create", "Save a prompt")
        {
            Arguments = { name },
            Options = { text, tags },
            Examples = ["tanvrit-compute prompts create triage --tag oncall --text - < triage.md"],
        };
        var output = new OutputOptions(command, "Print the prompt as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            var words = new StandardInput(cli).Text(parse.GetValue(text)) ?? throw new CliException("there is no prompt to save", "give --text TEXT, or --text - and the text on standard input");
            using var client = ClientSession.Open(cli, server.Of(parse));
            var made = await client.Prompts.CreateAsync(new CreatePromptRequest { Name = parse.GetValue(name), Text = words, Tags = parse.GetValue(tags) }, cancellation);
            if (!output.TryWrite(cli, parse, made, w => w.PromptBody, made.Id)) cli.Out.WriteLine(made.Id);
            return ExitCode.Ok;
        });
        return command;
    }
}
