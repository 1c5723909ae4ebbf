using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Server.Backups;

namespace Tanjiren.Cli.Commands.Backups;

/// <summary><c>server backup</c>.</summary>
internal static class BackupCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var to = Options.Text("--to", "FILE", "The file to make; it must not exist");
        to.Required = true;
        var database = Options.Text("--database", "DB", ServerCommand.DatabaseHelp);
        var command = new CliCommand("backup", "Copy a control plane's database into one file, while it runs")
        {
            Options = { to, database },
            Details = "Consistent, whatever is written meanwhile. On PostgreSQL it needs pg_dump. The file holds everything that the server knows, and its keys but that of the secrets of jobs: keep it as you keep the database.",
            Examples = ["tanvrit-compute server backup --database sqlite:/var/lib/tanjiren/tanjiren.db --to /backup/tanjiren-monday"],
        };
        command.SetAction(async (parse, cancellation) =>
        {
            var path = parse.GetValue(to)!;
            var manifest = await BackupErrors.ExplainAsync(() => ServerBackup.BackupAsync(ServerCommand.DatabaseOf(cli, parse.GetValue(database)), path, cli.Clock, cancellation));
            cli.Say($"backed up to {Text.Safe(path)}: {Text.Bytes(manifest.Bytes)} of {manifest.Database}, at {manifest.MigrationLevel}, SHA-256 {manifest.Sha256}");
            return ExitCode.Ok;
        });
        return command;
    }
}

/// <summary>Failures that are the operator's to mend, in the words of this program.</summary>
internal static class BackupErrors
{
    public static async Task<T> ExplainAsync<T>(Func<Task<T>> work)
    {
        try
        {
            return await work();
        }
        catch (BackupException e)
        {
            throw new CliException(e.Message, e.Hint, e);
        }
        catch (FormatException e)
        {
            throw new CliException(e.Message, "see `tanvrit-compute server --help`", e);
        }
        catch (System.Data.Common.DbException e)
        {
            throw new CliException($"the database refused: {e.Message}", "check --database, and that it can be reached", e);
        }
    }
}
