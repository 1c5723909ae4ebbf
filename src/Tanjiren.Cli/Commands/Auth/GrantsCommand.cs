using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Auth;

/// <summary><c>auth grants</c>: where one is signed in.</summary>
internal static class GrantsCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var command = new CliCommand("grants", "List the machines that you are signed in on")
        {
            Details = "One line for each sign-in by `auth login` in this organization. Personal access tokens are not among them (GET /api/auth/tokens).",
        };
        var output = new OutputOptions(command, "Print { items: [...] } as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var all = await client.Grants.ListAsync(cancellation);
            if (output.TryWrite(cli, parse, new Page<GrantBody> { Items = all }, w => w.PageGrantBody, g => g.Id)) return ExitCode.Ok;
            if (all.Count == 0) cli.Say("no sign-ins; this one is by a personal access token");
            else Table(cli, all);
            return ExitCode.Ok;
        });
        return command;
    }

    private static void Table(CliContext cli, IReadOnlyList<GrantBody> all)
    {
        var now = cli.Clock.GetUtcNow();
        var table = new TableView(cli).Columns("MACHINE", "PROGRAM", "SINCE", "LAST USED", "WORKSTATIONS", "ID");
        foreach (var one in all)
            table.Row(Text.Safe(one.MachineName ?? "-") + (one.Current ? " (this one)" : ""), Text.Safe(one.Client), Text.Ago(one.CreatedAt, now), Text.Ago(one.LastUsedAt, now),
                one.Workstations.Count == 0 ? "-" : Text.Safe(string.Join(",", one.Workstations)), one.Id);
        table.Write();
    }
}
