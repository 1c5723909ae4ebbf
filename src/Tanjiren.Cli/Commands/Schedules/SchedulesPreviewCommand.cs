using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Schedules;

/// <summary><c>schedules preview</c>.</summary>
internal static class SchedulesPreviewCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var which = ScheduleArguments.Which();
        var count = Options.Number("--count", "N", "How many (default 10)", 1, WireLimits.MaxPreviewTicks);
        var json = Options.Json("Print { timeZone, items: [...] } as JSON");
        var command = new CliCommand("preview", "Show the next ticks of a schedule, by its own clock and by yours")
        {
            Arguments = { which },
            Options = { count, json },
        };
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var schedule = await client.Schedules.GetAsync(parse.GetValue(which)!, cancellation);
            var preview = await client.Schedules.PreviewAsync(schedule.Id, parse.GetValue(count), cancellation);
            if (parse.GetValue(json))
            {
                Json.Write(cli, preview, w => w.SchedulePreviewBody);
                return ExitCode.Ok;
            }
            var table = new TableView(cli).Columns(preview.TimeZone, "HERE");
            foreach (var tick in preview.Items) table.Row(tick.Local.Replace('T', ' '), Text.Instant(tick.At, cli.Clock));
            table.Write();
            return ExitCode.Ok;
        });
        return command;
    }
}
