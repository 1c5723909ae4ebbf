using Tanjiren.Cli.Client;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Schedules;

/// <summary><c>schedules pause</c>.</summary>
internal static class SchedulesPauseCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var which = ScheduleArguments.Which();
        var reason = Options.Text("--reason", "TEXT", "Why, for whoever looks");
        var command = new CliCommand("pause", "Run nothing until the schedule is resumed")
        {
            Arguments = { which },
            Options = { reason },
            Details = "What runs runs on; a tick that waits is dropped.",
        };
        var output = new OutputOptions(command, "Print the schedule as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var schedule = await client.Schedules.GetAsync(parse.GetValue(which)!, cancellation);
            schedule = await client.Schedules.PauseAsync(schedule.Id, parse.GetValue(reason), cancellation);
            if (!output.TryWrite(cli, parse, schedule, w => w.ScheduleBody, schedule.Id)) cli.Say(ScheduleArguments.Describe(schedule, cli.Clock));
            return ExitCode.Ok;
        });
        return command;
    }
}
