using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Runbooks;

/// <summary><c>runbooks list</c>.</summary>
internal static class RunbooksListCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var status = Options.Choice("--status", "Only those in this state", [.. Enum.GetValues<RunbookStatus>().Select(s => Words.Of(s))]);
        var command = new CliCommand("list", "List the runbooks") { Options = { status } };
        var output = new OutputOptions(command, "Print { items: [...] } as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var all = await client.Runbooks.ListAsync(parse.GetValue(status), cancellation);
            if (output.TryWrite(cli, parse, all, w => w.PageRunbookBody, r => r.Id)) return ExitCode.Ok;
            if (all.Items.Count == 0) cli.Say("no runbooks; make one with `tanvrit-compute runbooks create --file FILE`");
            else
            {
                var table = new TableView(cli).Columns("NAME", "STATUS", "PARAMETERS", "ID", "INTENT");
                foreach (var one in all.Items)
                    table.Row(one.Name, State(one.Status), Names(one), one.Id, Text.Shorten(Text.Safe(one.IntentTemplate), 60));
                table.Write();
            }
            return ExitCode.Ok;
        });
        return command;
    }

    /// <summary>Those that must be given as they are, those with a default in brackets.</summary>
    public static string Names(RunbookBody runbook) =>
        runbook.Parameters is { Count: > 0 } some ? string.Join(", ", some.Select(p => p.Default is null ? p.Name : $"[{p.Name}]")) : "-";

    private static Cell State(RunbookStatus? status) => status == RunbookStatus.Active ? Cell.Good(Words.Of(status.Value)) : Words.Of(status ?? RunbookStatus.Draft);
}
