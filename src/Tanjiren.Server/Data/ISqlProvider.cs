using System.Data.Common;

namespace Tanjiren.Server.Data;

/// <summary>
/// The seam between the two databases. Statements are portable (SQLite 3.35 and PostgreSQL 15 share RETURNING, ON CONFLICT, partial indexes
/// and CTEs) and written once; what differs is here. Both define the SQL function <c>tanjiren_now()</c>: the lease clock, in milliseconds.
/// </summary>
internal interface ISqlProvider : IAsyncDisposable
{
    /// <summary>For people: <c>sqlite</c> or <c>postgres</c>; also the infix of scripts that only this provider runs.</summary>
    string Name { get; }

    /// <summary>The type of a byte string column; stands for <c>{blob}</c> in migrations.</summary>
    string BlobType { get; }

    /// <summary>
    /// The clause that keeps a read row locked until the end of the transaction. Empty on SQLite, where a write transaction holds the only
    /// write lock from its first statement.
    /// </summary>
    string ForUpdate { get; }

    /// <summary>
    /// The same for who only wants the row to stay as it is, as many at once as like. A foreign key's check does not wait for it, as it does for <see cref="ForUpdate"/>;
    /// so it is the clause for a row that others refer to.
    /// </summary>
    string ForShare { get; }

    /// <summary>The same for who changes the row, and neither deletes it nor touches its key: a foreign key's check does not wait for it.</summary>
    string ForNoKeyUpdate { get; }

    /// <summary>
    /// The condition that a column is one of a list, which is passed as the text of a JSON array in <paramref name="argument"/> (without its <c>@</c>). One text for
    /// lists of every length is compiled once; Dapper's own expansion makes another text for each, and none that PostgreSQL understands.
    /// </summary>
    string IsOneOf(string column, string argument);

    /// <summary>A connection for reads outside a transaction; disposing it gives it back.</summary>
    ValueTask<DbConnection> OpenReadAsync(CancellationToken cancellationToken);

    /// <summary>A write transaction on a connection of its own.</summary>
    ValueTask<WriteScope> BeginWriteAsync(CancellationToken cancellationToken);

    /// <summary>Whether the whole transaction may simply be tried again: a deadlock or serialization failure, never a constraint.</summary>
    bool IsTransient(DbException exception);

    /// <summary>Whether the statement broke a unique constraint.</summary>
    bool IsUniqueViolation(DbException exception);

    /// <summary>Whether a connection on which a statement ended so must be mended before it is given back.</summary>
    bool Spoils(Exception failure) => false;

    /// <summary>Mends a connection that <see cref="OpenReadAsync"/> gave. Never throws: what can't be mended is not used again.</summary>
    void Mend(DbConnection connection)
    {
    }
}

/// <summary>A begun write transaction. It must be released, committed or not; what was not committed is undone then.</summary>
internal abstract class WriteScope(DbConnection connection, DbTransaction? transaction)
{
    public DbConnection Connection => connection;

    /// <summary>For the commands of <see cref="Connection"/>; null where the transaction is the connection's own affair.</summary>
    public DbTransaction? Transaction => transaction;

    /// <summary>Set when a statement failed in a way that <see cref="ISqlProvider.Spoils"/> the connection: the release mends it.</summary>
    public bool Spoilt { get; set; }

    /// <summary>When it returns, everything in the transaction is durable.</summary>
    public abstract Task CommitAsync(CancellationToken cancellationToken);

    public abstract ValueTask ReleaseAsync();
}
