using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Server.Backups;

namespace Tanjiren.Cli.Commands.Backups;

/// <summary><c>server restore</c>.</summary>
internal static class RestoreCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var from = Options.Text("--from", "FILE", "A file that `server backup` made");
        from.Required = true;
        var database = Options.Text("--database", "DB", ServerCommand.DatabaseHelp);
        var force = Options.Flag("--force", "Give up what is in the place already: a SQLite file is kept under another name, tables of PostgreSQL are dropped");
        var command = new CliCommand("restore", "Bring a control plane back from a backup, so that nothing runs twice")
        {
            Options = { from, database, force },
            Details = "Into an empty place, which no control plane may be running on. Leases end and results that agents bring from before are refused; jobs that were open are held until the owner of their organization has looked at them and runs `jobs resume`; schedules are paused until each is resumed. On PostgreSQL it needs pg_restore.",
            Examples = ["tanvrit-compute server restore --from /backup/tanjiren-monday --database sqlite:/var/lib/tanjiren/tanjiren.db"],
        };
        command.SetAction(async (parse, cancellation) =>
        {
            var report = await BackupErrors.ExplainAsync(() => ServerBackup.RestoreAsync(
                ServerCommand.DatabaseOf(cli, parse.GetValue(database)), parse.GetValue(from)!, parse.GetValue(force), cli.Clock, cancellation));
            cli.Say($"restored the backup of {Text.Instant(report.Manifest.TakenAt, cli.Clock)}");
            if (report.HeldTasks > 0)
                cli.Say($"{(report.HeldTasks == 1 ? "1 open job is" : $"{report.HeldTasks} open jobs are")} held: start the server, cancel what has run since the backup, then `tanvrit-compute jobs resume` in each organization, which is refused while an agent may still run one");
            if (report.PausedSchedules > 0)
                cli.Say($"{(report.PausedSchedules == 1 ? "1 schedule is" : $"{report.PausedSchedules} schedules are")} paused: they may have been changed or deleted since the backup; look at each, then `tanvrit-compute schedules resume`");
            return ExitCode.Ok;
        });
        return command;
    }
}
