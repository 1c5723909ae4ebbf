using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Prompts;

/// <summary><c>prompts list</c>.</summary>
internal static class PromptsListCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var tag = Options.Text("--tag", "TAG", "Only those with this tag");
        var command = new CliCommand("list", "List the saved prompts") { Options = { tag } };
        var output = new OutputOptions(command, "Print { items: [...] } as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var all = await client.Prompts.ListAsync(parse.GetValue(tag), cancellation);
            if (output.TryWrite(cli, parse, all, w => w.PagePromptBody, p => p.Id)) return ExitCode.Ok;
            if (all.Items.Count == 0) cli.Say("no prompts; save one with `tanvrit-compute prompts create NAME --text TEXT`");
            else
            {
                var table = new TableView(cli).Columns("NAME", "TAGS", "CHANGED", "ID", "TEXT");
                foreach (var one in all.Items)
                    table.Row(one.Name, one.Tags.Count == 0 ? "-" : string.Join(",", one.Tags), Text.Ago(one.UpdatedAt, cli.Clock.GetUtcNow()), one.Id, Text.Shorten(Text.Safe(one.Text), 60));
                table.Write();
            }
            return ExitCode.Ok;
        });
        return command;
    }
}
