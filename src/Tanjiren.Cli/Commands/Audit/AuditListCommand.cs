using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Audit;

/// <summary><c>audit list</c>.</summary>
internal static class AuditListCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var actor = Options.Text("--actor", "ID", "Only what this user or workstation did (`members list` shows ids)");
        var action = Options.Text("--action", "ACTION", "Only this action, for example task.created");
        var subject = Options.Text("--subject", "ID", "Only what was done to this");
        var from = Options.Text("--from", "INSTANT", "Not before, for example 2026-11-20T08:00:00Z");
        var to = Options.Text("--to", "INSTANT", "Before this instant");
        var limit = Options.Number("--limit", "N", "How many, newest first (default 50)", 1, 10_000);
        var command = new CliCommand("list", "List who did what, newest first")
        {
            Options = { actor, action, subject, from, to, limit },
            Details = "For admins. All given conditions must hold.",
            Examples = ["tanvrit-compute audit list --action member.removed --from 2026-11-01T00:00:00Z"],
        };
        var output = new OutputOptions(command, "Print { items: [...] } as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            (string, string?)[] filter =
            [
                ("actor", parse.GetValue(actor)), ("action", parse.GetValue(action)), ("subject", parse.GetValue(subject)), ("from", parse.GetValue(from)), ("to", parse.GetValue(to)),
            ];
            var wanted = parse.GetValue(limit) ?? WireLimits.DefaultPageSize;
            var rows = new List<AuditEventBody>();
            string? cursor = null;
            do
            {
                var page = await client.Audit.ListAsync(filter, Math.Min(wanted - rows.Count, WireLimits.MaxPageSize), cursor, cancellation);
                rows.AddRange(page.Items);
                cursor = page.NextCursor;
            }
            while (cursor is not null && rows.Count < wanted);

            if (output.TryWrite(cli, parse, new Page<AuditEventBody> { Items = rows, NextCursor = cursor }, w => w.PageAuditEventBody, r => r.Id)) return ExitCode.Ok;
            var table = new TableView(cli).Columns("AT", "ACTOR", "ACTION", "SUBJECT", "FROM", "DETAIL");
            foreach (var row in rows) table.Row(Text.Instant(row.At, cli.Clock), row.Actor, row.Action, row.Subject, row.Address ?? "-", Text.Shorten(Text.Safe(row.Detail), 60));
            if (rows.Count == 0) cli.Say("nothing");
            else table.Write();
            if (cursor is not null) cli.Say($"there is more; --limit {wanted * 2} shows more of it");
            return ExitCode.Ok;
        });
        return command;
    }
}
