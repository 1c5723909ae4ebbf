using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Workers;

/// <summary><c>workers list</c>.</summary>
internal static class WorkersListCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var tag = Options.Text("--tag", "TAG", "Only workers of workstations with this tag");
        var command = new CliCommand("list", "List what each workstation can do right now") { Options = { tag } };
        var output = new OutputOptions(command, "Print { items: [...] } as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var all = new List<WorkerBody>();
            string? cursor = null;
            do
            {
                var page = await client.Workers.ListAsync(parse.GetValue(tag), WireLimits.MaxPageSize, cursor, cancellation);
                all.AddRange(page.Items);
                cursor = page.NextCursor;
            }
            while (cursor is not null);

            if (output.TryWrite(cli, parse, new Page<WorkerBody> { Items = all }, w => w.PageWorkerBody, w => w.Id)) return ExitCode.Ok;
            if (all.Count == 0) cli.Say("no workers; each workstation is one: `tanvrit-compute workstations list`");
            else Table(cli, all);
            return ExitCode.Ok;
        });
        return command;
    }

    private static void Table(CliContext cli, IReadOnlyList<WorkerBody> all)
    {
        var now = cli.Clock.GetUtcNow();
        var table = new TableView(cli).Columns("NAME", "STATUS", "HEALTH", "RUNNING", "NOT READY", "LAST SEEN", "ID");
        foreach (var one in all)
            table.Row(one.DisplayName, Words.Cell(one), one.HealthScore.ToString(), $"{one.Capacity.Active}/{one.Capacity.MaxConcurrent}",
                one.Readiness.Ready ? "-" : string.Join(",", one.Readiness.Reasons), Text.Ago(one.LastHeartbeatAt, now), one.Id);
        table.Write();
    }
}
