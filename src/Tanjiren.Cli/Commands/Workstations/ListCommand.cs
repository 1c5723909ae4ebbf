using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Workstations;

/// <summary><c>workstations list</c>.</summary>
internal static class ListCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var command = new CliCommand("list", "List the workstations of the organization");
        var output = new OutputOptions(command, "Print { items: [...] } as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var all = new List<InstanceBody>();
            string? cursor = null;
            do
            {
                var page = await client.Instances.ListAsync(WireLimits.MaxPageSize, cursor, cancellation);
                all.AddRange(page.Items);
                cursor = page.NextCursor;
            }
            while (cursor is not null);

            if (output.TryWrite(cli, parse, new Page<InstanceBody> { Items = all }, w => w.PageInstanceBody, i => i.Id)) return ExitCode.Ok;
            if (all.Count == 0) cli.Say("no workstations yet; register one with `tanvrit-compute workstations create NAME`, or this machine with `agent run`");
            else Table(cli, all);
            return ExitCode.Ok;
        });
        return command;
    }

    private static void Table(CliContext cli, IReadOnlyList<InstanceBody> all)
    {
        var now = cli.Clock.GetUtcNow();
        var table = new TableView(cli).Columns("NAME", "STATUS", "RUNNING", "SYSTEM", "TAGS", "LAST SEEN", "ID");
        foreach (var one in all)
            table.Row(one.Name, Words.Cell(one), one.MaxConcurrent is { } max ? $"{one.ActiveSteps}/{max}" : "-", System(one),
                one.Tags.Count == 0 ? "-" : string.Join(",", one.Tags), Text.Ago(one.LastHeartbeatAt, now), one.Id);
        table.Write();
    }

    private static string System(InstanceBody one) =>
        one.Labels.TryGetValue("os", out var os) ? $"{os}/{one.Labels.GetValueOrDefault("arch", "?")}" : "-";
}
