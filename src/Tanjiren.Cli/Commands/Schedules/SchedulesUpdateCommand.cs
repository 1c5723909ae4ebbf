using Tanjiren.Cli.Client;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Schedules;

/// <summary><c>schedules update</c>.</summary>
internal static class SchedulesUpdateCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var which = ScheduleArguments.Which();
        var name = Options.Text("--name", "NAME", "Another name");
        var (cron, zone, overlap, missed) = (ScheduleArguments.Cron(), ScheduleArguments.TimeZone(), ScheduleArguments.Overlap(), ScheduleArguments.Missed());
        var command = new CliCommand("update", "Change a schedule")
        {
            Operands = "SCHEDULE [-- COMMAND ARGS…]",
            Arguments = { which },
            Options = { name, cron, zone, overlap, missed },
            Details = "What is not given stays. A command (or --shell, --prompt, --prompt-file, --questions, --runbook) replaces the job as a whole, so give all of its options with it. The schedule is yours from then on, unless you change nothing but its name.",
            Examples = ["tanvrit-compute schedules update nightly --cron '0 3 * * *'", "tanvrit-compute schedules update restart-web --runbook restart --param service=caddy"],
        };
        var job = new ScheduledJobOptions(cli, command);
        var output = new OutputOptions(command, "Print the schedule as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            var task = job.OfChange(parse);
            using var client = ClientSession.Open(cli, server.Of(parse));
            var schedule = await client.Schedules.GetAsync(parse.GetValue(which)!, cancellation);
            var changed = await client.Schedules.UpdateAsync(schedule.Id, new UpdateScheduleRequest
            {
                Name = parse.GetValue(name),
                Cron = parse.GetValue(cron),
                TimeZone = parse.GetValue(zone),
                Overlap = ScheduleArguments.ParseOverlap(parse.GetValue(overlap)),
                MissedRuns = ScheduleArguments.ParseMissed(parse.GetValue(missed)),
                Task = task,
            }, cancellation);
            if (!output.TryWrite(cli, parse, changed, w => w.ScheduleBody, changed.Id)) cli.Say(ScheduleArguments.Describe(changed, cli.Clock));
            return ExitCode.Ok;
        });
        return command;
    }
}
