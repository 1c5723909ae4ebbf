using System.Collections.Concurrent;
using System.Data.Common;
using Microsoft.Data.Sqlite;

namespace Tanjiren.Server.Data.Sqlite;

/// <summary>
/// SQLite in WAL mode, <c>synchronous=FULL</c>: a commit is on the disk when it returns. One connection writes, behind one gate, because SQLite has
/// one write lock and waiting for it in our own queue is fair and cheap; reads run beside it on pooled connections.
/// </summary>
internal sealed class SqliteProvider : ISqlProvider
{
    private const int MaxIdleReaders = 16;

    private readonly string _connectionString;
    private readonly SqliteLeaseClock _leaseClock;
    private readonly SemaphoreSlim _writeGate = new(1, 1);
    private readonly ConcurrentBag<SqliteConnection> _readers = [];
    private SqliteConnection? _writer;

    static SqliteProvider() => SqliteLibrary.Initialize();

    public SqliteProvider(string path, TimeProvider clock)
    {
        var directory = Path.GetDirectoryName(Path.GetFullPath(path));
        if (directory is not null) Directory.CreateDirectory(directory);
        _connectionString = new SqliteConnectionStringBuilder { DataSource = path, Pooling = false }.ConnectionString;
        _leaseClock = new SqliteLeaseClock(clock);
    }

    public string Name => "sqlite";
    public string BlobType => "BLOB";
    public string ForUpdate => "";

    public string IsOneOf(string column, string argument) => $"{column} IN @{argument}";

    public ValueTask<DbConnection> OpenReadAsync(CancellationToken cancellationToken)
    {
        if (!_readers.TryTake(out var connection)) connection = Open();
        return new ValueTask<DbConnection>(new PooledConnection(connection, GiveBack));
    }

    public async ValueTask<WriteScope> BeginWriteAsync(CancellationToken cancellationToken)
    {
        await _writeGate.WaitAsync(cancellationToken);
        try
        {
            _writer ??= OpenWriter();
            // IMMEDIATE: the write lock is taken at the start, so a transaction never fails half-way because it read before it wrote.
            var transaction = _writer.BeginTransaction(deferred: false);
            return new WriteScope(_writer, transaction, () =>
            {
                transaction.Dispose();
                _writeGate.Release();
                return ValueTask.CompletedTask;
            });
        }
        catch
        {
            _writeGate.Release();
            throw;
        }
    }

    public bool IsTransient(DbException exception) => exception is SqliteException { SqliteErrorCode: SQLitePCL.raw.SQLITE_BUSY };

    public bool IsUniqueViolation(DbException exception) => exception is SqliteException
    {
        SqliteExtendedErrorCode: SQLitePCL.raw.SQLITE_CONSTRAINT_UNIQUE or SQLitePCL.raw.SQLITE_CONSTRAINT_PRIMARYKEY,
    };

    public async ValueTask DisposeAsync()
    {
        await _writeGate.WaitAsync();
        _writer?.Dispose();
        _writer = null;
        while (_readers.TryTake(out var reader)) reader.Dispose();
        _writeGate.Release();
    }

    private SqliteConnection OpenWriter()
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
        return connection;
    }

    private SqliteConnection Open()
    {
        var connection = new SqliteConnection(_connectionString);
        connection.Open();
        using (var command = connection.CreateCommand())
        {
            command.CommandText = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA busy_timeout=5000;";
            command.ExecuteNonQuery();
        }
        connection.CreateFunction("tanjiren_now", () => _leaseClock.NowMs);
        return connection;
    }

    private void GiveBack(SqliteConnection connection)
    {
        if (_readers.Count < MaxIdleReaders) _readers.Add(connection);
        else connection.Dispose();
    }
}
