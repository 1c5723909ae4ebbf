using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Schedules;

/// <summary><c>schedules show</c>.</summary>
internal static class SchedulesShowCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var which = ScheduleArguments.Which();
        var command = new CliCommand("show", "Show a schedule, what it runs and what came of its ticks") { Arguments = { which } };
        var output = new OutputOptions(command, "Print the schedule as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var schedule = await client.Schedules.GetAsync(parse.GetValue(which)!, cancellation);
            if (!output.TryWrite(cli, parse, schedule, w => w.ScheduleBody, schedule.Id)) Show(cli, schedule);
            return ExitCode.Ok;
        });
        return command;
    }

    private static void Show(CliContext cli, ScheduleBody schedule)
    {
        var task = schedule.Task;
        var command = task.Command is null ? null : Words.Command(task.Command);
        new FieldList()
            .Add("id", schedule.Id)
            .Add("name", schedule.Name)
            .Add("cron", $"{schedule.Cron} ({schedule.TimeZone})")
            .Add("next run", schedule.NextRunAt is null ? null : Text.Instant(schedule.NextRunAt, cli.Clock))
            .Add("paused", schedule.PausedAt is null ? null : $"since {Text.Instant(schedule.PausedAt, cli.Clock)}{(schedule.PauseReason is null ? "" : ": " + schedule.PauseReason)}")
            .Add("intent", task.Intent)
            .Add("runbook", task.RunbookId is null ? null : $"{task.RunbookId} (version {schedule.RunbookVersion})")
            .Add("parameters", string.Join(", ", (task.Parameters ?? new Dictionary<string, string>()).Select(p => $"{p.Key}={p.Value}")))
            .Add("command", command == task.Intent ? null : command)
            .Add("prompt", task.PromptText == task.Intent ? null : task.PromptText)
            .Add("questions", task.Questions is null ? null : string.Join(", ", task.Questions.Select(q => q.Name)))
            .Add("coding agent", task.CodingAgent)
            .Add("overlap", Words.Of(schedule.Overlap))
            .Add("missed runs", Words.Of(schedule.MissedRuns))
            .Add("owner", schedule.OwnerId)
            .Add("waiting", schedule.WaitingTickAt is null ? null : $"the tick of {Text.Instant(schedule.WaitingTickAt, cli.Clock)}")
            .Add("last tick", schedule.LastTickAt is null ? null : Text.Instant(schedule.LastTickAt, cli.Clock))
            .Add("last job", schedule.LastTaskId)
            .Add("last error", schedule.LastError is null ? null : $"{schedule.LastError} (tick of {Text.Instant(schedule.LastErrorTickAt, cli.Clock)})")
            .Add("counts", $"{schedule.Runs} run, {schedule.Skipped} skipped, {schedule.Missed} missed, {schedule.Failed} failed")
            .Write(cli.Out);
    }
}
