using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Doctrine;

/// <summary><c>doctrine history</c>.</summary>
internal static class DoctrineHistoryCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var limit = Options.Number("--limit", "N", "The newest N versions (default 50)", 1, 10_000);
        var command = new CliCommand("history", "List the versions of the doctrine: who wrote which, and when")
        {
            Options = { limit },
            Details = "Every version is kept; `doctrine get N` prints one.",
        };
        var output = new OutputOptions(command, "Print { items: [...] } as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var all = await client.Doctrine.VersionsAsync(parse.GetValue(limit) ?? WireLimits.DefaultPageSize, cancellation);
            if (output.TryWrite(cli, parse, new Page<DoctrineVersionBody> { Items = all }, w => w.PageDoctrineVersionBody, v => v.Version.ToString())) return ExitCode.Ok;
            var table = new TableView(cli).Columns("VERSION", "WRITTEN", "BY");
            foreach (var one in all) table.Row(one.Version.ToString(), Text.Instant(one.CreatedAt, cli.Clock), one.CreatedByEmail ?? one.CreatedBy ?? "-");
            table.Write();
            return ExitCode.Ok;
        });
        return command;
    }
}
