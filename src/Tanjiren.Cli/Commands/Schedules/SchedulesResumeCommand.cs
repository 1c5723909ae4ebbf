using Tanjiren.Cli.Client;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Schedules;

/// <summary><c>schedules resume</c>.</summary>
internal static class SchedulesResumeCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var which = ScheduleArguments.Which();
        var command = new CliCommand("resume", "Go on with a paused schedule")
        {
            Arguments = { which },
            Details = "It goes on with the next tick; those of the pause are not made up for. It is yours from then on, and runs its runbook as that is now.",
        };
        var output = new OutputOptions(command, "Print the schedule as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var schedule = await client.Schedules.GetAsync(parse.GetValue(which)!, cancellation);
            schedule = await client.Schedules.ResumeAsync(schedule.Id, cancellation);
            if (!output.TryWrite(cli, parse, schedule, w => w.ScheduleBody, schedule.Id)) cli.Say(ScheduleArguments.Describe(schedule, cli.Clock));
            return ExitCode.Ok;
        });
        return command;
    }
}
