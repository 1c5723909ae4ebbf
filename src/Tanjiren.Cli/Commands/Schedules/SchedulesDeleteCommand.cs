using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Schedules;

/// <summary><c>schedules delete</c>.</summary>
internal static class SchedulesDeleteCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var which = ScheduleArguments.Which();
        var yes = Options.Flag("--yes", "Do not ask", "-y");
        var command = new CliCommand("delete", "Delete a schedule")
        {
            Arguments = { which },
            Options = { yes },
            Details = "Its jobs stay, and what runs runs on.",
        };
        var output = new OutputOptions(command, "Print the deleted schedule as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var schedule = await client.Schedules.GetAsync(parse.GetValue(which)!, cancellation);
            if (!parse.GetValue(yes) && !cli.Confirm($"Delete the schedule {Text.Safe(schedule.Name)}?", $"deleting {Text.Safe(schedule.Name)}"))
            {
                cli.Say("nothing deleted");
                return ExitCode.Cancelled;
            }
            await client.Schedules.DeleteAsync(schedule.Id, cancellation);
            if (!output.TryWrite(cli, parse, schedule, w => w.ScheduleBody, schedule.Id)) cli.Say($"the schedule {Text.Safe(schedule.Name)} is deleted");
            return ExitCode.Ok;
        });
        return command;
    }
}
