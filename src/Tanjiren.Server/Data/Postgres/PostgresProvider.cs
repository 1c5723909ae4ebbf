using System.Data;
using System.Data.Common;
using Npgsql;

namespace Tanjiren.Server.Data.Postgres;

/// <summary>
/// PostgreSQL at READ COMMITTED. Transactions that count (steps against maxParallel, leases against capacity) lock the row that they count under first,
/// because at this level two counting claims would otherwise both win.
/// </summary>
internal sealed class PostgresProvider(string connectionString) : ISqlProvider
{
    private readonly NpgsqlDataSource _dataSource = NpgsqlDataSource.Create(connectionString);

    public NpgsqlDataSource DataSource => _dataSource;

    /// <summary>Name under which the connections of <see cref="CreateLasting"/> show in <c>pg_stat_activity</c>.</summary>
    public const string LastingName = "tanjiren wake-ups";

    /// <summary>Advisory lock, by its number in each database: every server that serves it shares it, and a restore has it alone. 7433 is the migrations'.</summary>
    public const int ServingLock = 7434;

    /// <summary>For connections that are kept and mostly silent: without keepalives a peer that vanished would not be missed.</summary>
    public NpgsqlDataSource CreateLasting() =>
        NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(connectionString) { KeepAlive = 15, Pooling = false, ApplicationName = LastingName });

    public string Name => "postgres";
    public string BlobType => "BYTEA";
    public string ForUpdate => " FOR UPDATE";
    public string ForShare => " FOR SHARE";
    public string ForNoKeyUpdate => " FOR NO KEY UPDATE";

    public string IsOneOf(string column, string argument) => $"{column} IN (SELECT jsonb_array_elements_text(@{argument}::jsonb))";

    public async ValueTask<DbConnection> OpenReadAsync(CancellationToken cancellationToken) =>
        await _dataSource.OpenConnectionAsync(cancellationToken);

    public async ValueTask<WriteScope> BeginWriteAsync(CancellationToken cancellationToken)
    {
        var connection = await _dataSource.OpenConnectionAsync(cancellationToken);
        try
        {
            var transaction = await connection.BeginTransactionAsync(cancellationToken);
            return new Scope(this, connection, transaction);
        }
        catch
        {
            await connection.DisposeAsync();
            throw;
        }
    }

    public bool IsTransient(DbException exception) =>
        exception is PostgresException { SqlState: PostgresErrorCodes.DeadlockDetected or PostgresErrorCodes.SerializationFailure };

    public bool IsUniqueViolation(DbException exception) => exception is PostgresException { SqlState: PostgresErrorCodes.UniqueViolation };

    /// <summary>
    /// A statement that fails between its parsing and the description of its columns, in the very run that Npgsql prepares it in (a value that can't be bound, a
    /// cancel, a timeout), counts as prepared all the same, without columns: the next to run it on this connection gets "unexpected backend message DataRow", and its
    /// caller a 500 (npgsql issue 6391, open; so in 10.0.0). Broken constraints, deadlocks and serialization failures come later, in its execution.
    /// </summary>
    public bool Spoils(Exception failure) => failure switch
    {
        PostgresException e => !e.SqlState.StartsWith("23", StringComparison.Ordinal) && !e.SqlState.StartsWith("40", StringComparison.Ordinal),
        NpgsqlException or OperationCanceledException => true,
        _ => false,
    };

    /// <summary>Forgets every prepared statement, here and in the server.</summary>
    public void Mend(DbConnection connection)
    {
        try
        {
            if (connection.State == ConnectionState.Open) ((NpgsqlConnection)connection).UnprepareAll();
        }
        catch (Exception e) when (e is NpgsqlException or InvalidOperationException)
        {
            // The connection itself is broken, and the pool drops it.
        }
    }

    public ValueTask DisposeAsync() => _dataSource.DisposeAsync();

    private sealed class Scope(PostgresProvider provider, NpgsqlConnection connection, NpgsqlTransaction transaction) : WriteScope(connection, transaction)
    {
        public override Task CommitAsync(CancellationToken cancellationToken) => transaction.CommitAsync(cancellationToken);

        public override async ValueTask ReleaseAsync()
        {
            await transaction.DisposeAsync();
            // Not before: a transaction that has failed takes no statement.
            if (Spoilt) provider.Mend(connection);
            await connection.DisposeAsync();
        }
    }
}
