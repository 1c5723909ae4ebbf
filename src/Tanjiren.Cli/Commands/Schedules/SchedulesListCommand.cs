using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Schedules;

/// <summary><c>schedules list</c>.</summary>
internal static class SchedulesListCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var command = new CliCommand("list", "List the schedules of the organization");
        var output = new OutputOptions(command, "Print { items: [...] } as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var all = await client.Schedules.ListAsync(cancellation);
            if (output.TryWrite(cli, parse, new Page<ScheduleBody> { Items = all }, w => w.PageScheduleBody, s => s.Id)) return ExitCode.Ok;
            if (all.Count == 0) cli.Say("no schedules; make one with `tanvrit-compute schedules create`");
            else
            {
                var table = new TableView(cli).Columns("NAME", "CRON", "ZONE", "NEXT RUN", "STATE", "RUNS", "INTENT", "ID");
                foreach (var one in all)
                    table.Row(one.Name, one.Cron, one.TimeZone, Text.Instant(one.NextRunAt, cli.Clock), State(one), one.Runs.ToString(),
                        Text.Shorten(Text.Safe(one.Task.Intent ?? $"runbook {one.Task.RunbookId}"), 40), one.Id);
                table.Write();
            }
            return ExitCode.Ok;
        });
        return command;
    }

    private static Cell State(ScheduleBody schedule) => schedule switch
    {
        { PausedAt: not null } => Cell.Warn("paused"),
        { LastErrorTickAt: { } failed } when failed == schedule.LastTickAt => Cell.Bad("failing"),
        { WaitingTickAt: not null } => Cell.Warn("waiting"),
        _ => Cell.Good("active"),
    };
}
