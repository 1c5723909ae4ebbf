using Tanjiren.Cli.Client;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Schedules;

/// <summary><c>schedules run</c>.</summary>
internal static class SchedulesRunCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var which = ScheduleArguments.Which();
        var command = new CliCommand("run", "Run the job of a schedule now, in your name")
        {
            Arguments = { which },
            Details = "It prints the job's id and leaves it running; its ticks stay as they are. Refused while its job runs, unless the schedule says --overlap allow.",
        };
        var output = new OutputOptions(command, "Print the job as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var schedule = await client.Schedules.GetAsync(parse.GetValue(which)!, cancellation);
            var job = await client.Schedules.RunAsync(schedule.Id, cancellation);
            if (!output.TryWrite(cli, parse, job, w => w.TaskBody, job.Id)) cli.Out.WriteLine(job.Id);
            return ExitCode.Ok;
        });
        return command;
    }
}
