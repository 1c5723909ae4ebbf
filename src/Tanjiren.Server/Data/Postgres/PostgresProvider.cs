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
            return new Scope(connection, transaction);
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

    public ValueTask DisposeAsync() => _dataSource.DisposeAsync();

    private sealed class Scope(NpgsqlConnection connection, NpgsqlTransaction transaction) : WriteScope(connection, transaction)
    {
        public override Task CommitAsync(CancellationToken cancellationToken) => transaction.CommitAsync(cancellationToken);

        public override async ValueTask ReleaseAsync()
        {
            await transaction.DisposeAsync();
            await connection.DisposeAsync();
        }
    }
}
