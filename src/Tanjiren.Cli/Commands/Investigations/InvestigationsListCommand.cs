using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Investigations;

/// <summary><c>investigations list</c>.</summary>
internal static class InvestigationsListCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var status = Options.Choice("--status", "Only the open or the closed ones", "open", "closed");
        var limit = Options.Number("--limit", "N", "How many, newest first (default 50)", 1, 10_000);
        var command = new CliCommand("list", "List investigations, newest first") { Options = { status, limit } };
        var output = new OutputOptions(command, "Print { items: [...] } as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var wanted = parse.GetValue(limit) ?? WireLimits.DefaultPageSize;
            var page = await client.Investigations.ListAsync(parse.GetValue(status), wanted, cancellation);
            if (output.TryWrite(cli, parse, page, w => w.PageInvestigationBody, i => i.Id)) return ExitCode.Ok;
            if (page.Items.Count == 0) cli.Say("no investigations; open one with `tanvrit-compute investigations create TITLE`");
            else
            {
                var now = cli.Clock.GetUtcNow();
                var table = new TableView(cli).Columns("ID", "STATUS", "CHANGED", "TITLE");
                foreach (var one in page.Items) table.Row(one.Id, Words.Of(one.Status), Text.Ago(one.UpdatedAt, now), Text.Shorten(Text.Safe(one.Title), 60));
                table.Write();
                if (page.NextCursor is not null) cli.Say($"there are more; --limit {wanted * 2} shows more of them");
            }
            return ExitCode.Ok;
        });
        return command;
    }
}
