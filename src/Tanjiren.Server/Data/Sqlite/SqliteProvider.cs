using System.Collections.Concurrent;
using System.Data.Common;
using Microsoft.Data.Sqlite;

namespace Tanjiren.Server.Data.Sqlite;

/// <summary>
/// SQLite in WAL mode, <c>synchronous=FULL</c>: a commit is on the disk when it returns. One connection writes, behind one queue, because SQLite has
/// one write lock and waiting for it in our own queue is fair, cheap, and lets those who wait share a commit; reads run beside it on pooled connections.
/// </summary>
internal sealed class SqliteProvider : ISqlProvider
{
    private const int MaxIdleReaders = 16;

    private readonly string _path;
    private readonly string _connectionString;
    private readonly SqliteLeaseClock _leaseClock;
    private readonly ConcurrentBag<CachingConnection> _readers = [];
    private readonly SqliteWriter _writer;

    public SqliteProvider(string path, TimeProvider clock)
    {
        var directory = System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(path));
        if (directory is not null) Directory.CreateDirectory(directory);
        _path = path;
        _connectionString = new SqliteConnectionStringBuilder { DataSource = path, Pooling = false }.ConnectionString;
        _leaseClock = new SqliteLeaseClock(clock);
        _writer = new SqliteWriter(OpenWriter);
    }

    /// <summary>
    /// Keeps a second control plane off this file for as long as the result lives; the operating system lets go of it when the process dies. Each would have
    /// a lease clock, replay memory and wake-ups of its own, and one would release what the other renews.
    /// </summary>
    /// <exception cref="FormatException">Another control plane has it.</exception>
    public IDisposable LockForServing()
    {
        try
        {
            return new FileStream(_path + ".lock", FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException e)
        {
            throw new FormatException($"The database '{_path}' is in use by another control plane. Stop that one, or use PostgreSQL for more than one.", e);
        }
    }

    /// <summary>The database file, absolute.</summary>
    public string Path => System.IO.Path.GetFullPath(_path);

    public string Name => "sqlite";
    public string BlobType => "BLOB";
    public string ForUpdate => "";
    public string ForShare => "";
    public string ForNoKeyUpdate => "";

    public string IsOneOf(string column, string argument) => $"{column} IN (SELECT value FROM json_each(@{argument}))";

    public ValueTask<DbConnection> OpenReadAsync(CancellationToken cancellationToken)
    {
        if (!_readers.TryTake(out var connection)) connection = new CachingConnection(Open());
        return new ValueTask<DbConnection>(connection.Lend(GiveBack));
    }

    public ValueTask<WriteScope> BeginWriteAsync(CancellationToken cancellationToken) => _writer.BeginAsync(cancellationToken);

    public bool IsTransient(DbException exception) => exception is SqliteException { SqliteErrorCode: SQLitePCL.raw.SQLITE_BUSY };

    public bool IsUniqueViolation(DbException exception) => exception is SqliteException
    {
        SqliteExtendedErrorCode: SQLitePCL.raw.SQLITE_CONSTRAINT_UNIQUE or SQLitePCL.raw.SQLITE_CONSTRAINT_PRIMARYKEY,
    };

    public async ValueTask DisposeAsync()
    {
        await _writer.DisposeAsync();
        while (_readers.TryTake(out var reader)) reader.Dispose();
    }

    private CachingConnection OpenWriter()
    {
        var connection = Open();
        // The clock must not run backwards over a restart, whatever happened to the wall clock meanwhile (see SqliteLeaseClock).
        using var command = connection.CreateCommand();
        command.CommandText = "SELECT count(*) FROM sqlite_master WHERE name = 'lease_clock'";
        if ((long)command.ExecuteScalar()! > 0)
        {
            command.CommandText = "SELECT now FROM lease_clock";
            if (command.ExecuteScalar() is long last) _leaseClock.AdvanceTo(last);
        }
        // Savepoints keep the pages that they may have to restore in memory. A checkpoint syncs two files and copies every page that changed: every 16 MiB
        // instead of every 4, at the price of that much more to read after a crash.
        command.CommandText = "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-16000; PRAGMA wal_autocheckpoint=4000;";
        command.ExecuteNonQuery();
        return new CachingConnection(connection);
    }

    private SqliteConnection Open()
    {
        var connection = SqliteLibrary.Connect(_connectionString);
        connection.Open();
        using (var command = connection.CreateCommand())
        {
            command.CommandText = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA busy_timeout=5000;";
            command.ExecuteNonQuery();
        }
        connection.CreateFunction("tanjiren_now", () => _leaseClock.NowMs);
        return connection;
    }

    private void GiveBack(CachingConnection connection)
    {
        if (_readers.Count < MaxIdleReaders) _readers.Add(connection);
        else connection.Dispose();
    }
}
