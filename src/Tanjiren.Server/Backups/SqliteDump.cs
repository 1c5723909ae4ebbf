using Microsoft.Data.Sqlite;
using Tanjiren.Server.Data.Sqlite;

namespace Tanjiren.Server.Backups;

/// <summary>
/// Copies of a SQLite file: <c>VACUUM INTO</c> over a connection of its own reads one snapshot while the server writes on. A restore is finished under another
/// name and then renamed, so that no server ever sees it half done.
/// </summary>
internal sealed class SqliteDump(string path, TimeProvider clock) : IDatabaseDump
{
    /// <summary>
    /// What stands beside a database and belongs to it. The old head file too: heads of rows that a backup does not have would accuse the restored chain for ever. The log is there
    /// when the database can't be opened any more, and must not be read into another one.
    /// </summary>
    private static readonly string[] Beside = [".audit-heads", "-wal", "-shm"];

    private readonly string _path = Path.GetFullPath(path);

    public string Kind => "sqlite";

    public async Task<string> DumpAsync(string to, CancellationToken cancellationToken)
    {
        if (!File.Exists(_path)) throw new BackupException($"there is no database '{_path}'", "name the one that the server uses with --database");
        File.Delete(to); // of an attempt that was killed
        await using var connection = await OpenAsync(_path, cancellationToken);
        await using var command = connection.CreateCommand();
        try
        {
            command.CommandText = "SELECT max(script) FROM schema_migrations";
            if (await command.ExecuteScalarAsync(cancellationToken) is not string) throw NotOurs(null);
            command.CommandText = "VACUUM INTO @to";
            command.Parameters.AddWithValue("@to", to);
            await command.ExecuteNonQueryAsync(cancellationToken);
        }
        catch (SqliteException e)
        {
            throw NotOurs(e);
        }
        // Of the copy itself: a server that migrates beside us does it before or after the snapshot.
        await using var copy = await OpenAsync(to, cancellationToken);
        await using var level = copy.CreateCommand();
        level.CommandText = "SELECT max(script) FROM schema_migrations";
        return (string)(await level.ExecuteScalarAsync(cancellationToken))!;
    }

    public async Task LoadAsync(string dump, bool force, Func<string, Task> finish, CancellationToken cancellationToken)
    {
        await using var place = new SqliteProvider(_path, clock);
        using var ours = Lock(place);
        if (!force && File.Exists(_path)) throw new BackupException($"'{_path}' exists", "restore to another place, or give up what is there with --force (it is kept under another name)");
        await finish("sqlite:" + dump);
        await FoldLogAsync(dump, cancellationToken);
        var aside = $".before-restore-{clock.GetUtcNow():yyyyMMddHHmmss}";
        if (File.Exists(_path)) await FoldOldLogAsync(cancellationToken);
        foreach (var old in Beside.Select(suffix => _path + suffix).Where(File.Exists)) File.Move(old, old + aside);
        // The old one is linked aside and the new one renamed over it: at no moment is there none, for a server would make an empty one then.
        if (File.Exists(_path)) File.Replace(dump, _path, _path + aside);
        else File.Move(dump, _path);
    }

    /// <summary>The old database, as one file. What is no database any more is kept with its log as it is.</summary>
    private async Task FoldOldLogAsync(CancellationToken cancellationToken)
    {
        try
        {
            await FoldLogAsync(_path, cancellationToken);
        }
        catch (Exception e) when (e is SqliteException or InvalidOperationException)
        {
            // Given up with --force, perhaps for just that.
        }
    }

    /// <summary>One file, whatever its write-ahead log still held: only that one is renamed.</summary>
    private static async Task FoldLogAsync(string dump, CancellationToken cancellationToken)
    {
        await using var connection = await OpenAsync(dump, cancellationToken);
        await using var command = connection.CreateCommand();
        command.CommandText = "PRAGMA journal_mode=DELETE";
        if (await command.ExecuteScalarAsync(cancellationToken) is not "delete") throw new InvalidOperationException("The restored database is still in use.");
    }

    private static IDisposable Lock(SqliteProvider place)
    {
        try
        {
            return place.LockForServing();
        }
        catch (FormatException e)
        {
            throw new BackupException("a control plane runs on this database", "stop it first", e);
        }
    }

    private static async Task<SqliteConnection> OpenAsync(string path, CancellationToken cancellationToken)
    {
        var connection = SqliteLibrary.Connect(new SqliteConnectionStringBuilder { DataSource = path, Mode = SqliteOpenMode.ReadWrite, Pooling = false }.ConnectionString);
        await connection.OpenAsync(cancellationToken);
        return connection;
    }

    private BackupException NotOurs(Exception? inner) => new($"'{_path}' can't be copied as the database of a control plane{(inner is null ? "" : ": " + inner.Message)}",
        "name the one that the server uses with --database, and a place for the backup with room for all of it", inner);
}
