using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Schedules;

/// <summary><c>schedules create</c>.</summary>
internal static class SchedulesCreateCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var name = new Argument<string>("NAME") { Description = "What to call it; unique in the organization" };
        var (cron, zone, overlap, missed) = (ScheduleArguments.Cron(), ScheduleArguments.TimeZone(), ScheduleArguments.Overlap(), ScheduleArguments.Missed());
        var command = new CliCommand("create", "Run a job at each tick of a cron expression")
        {
            Operands = "NAME [-- COMMAND [ARGS…]]",
            Arguments = { name },
            Options = { cron, zone, overlap, missed },
            Details = "Each tick makes a new job in your name, with the role that you have then; `jobs list` shows them. It runs a command, a prompt (--prompt), questions (--questions), or a runbook with --runbook; the job's own options are those of `jobs run`. When its runbook is changed, the schedule is paused until somebody has looked at it and resumes it.",
            Examples =
            [
                "tanvrit-compute schedules create nightly --cron '30 2 * * *' --time-zone Europe/Berlin -w build-1 -- make nightly",
                "tanvrit-compute schedules create sweep --cron '*/15 * * * *' --overlap queue --tag linux --shell 'find /tmp -mtime +7 -delete'",
                "tanvrit-compute schedules create restart-web --cron '0 4 * * 0' --runbook restart --param service=nginx",
            ],
        };
        var job = new ScheduledJobOptions(cli, command);
        var output = new OutputOptions(command, "Print the schedule as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            var request = new CreateScheduleRequest
            {
                Name = parse.GetValue(name),
                Cron = parse.GetValue(cron) ?? throw new CliException("it is not said when to run", "add --cron '*/5 * * * *' or, for example, --cron @daily"),
                TimeZone = parse.GetValue(zone),
                Overlap = ScheduleArguments.ParseOverlap(parse.GetValue(overlap)),
                MissedRuns = ScheduleArguments.ParseMissed(parse.GetValue(missed)),
                Task = job.Of(parse),
            };
            using var client = ClientSession.Open(cli, server.Of(parse));
            var made = await client.Schedules.CreateAsync(request, cancellation);
            if (!output.TryWrite(cli, parse, made, w => w.ScheduleBody, made.Id)) cli.Say(ScheduleArguments.Describe(made, cli.Clock));
            return ExitCode.Ok;
        });
        return command;
    }
}
