using System.Data;
using System.Data.Common;
using System.Diagnostics.CodeAnalysis;
using Microsoft.Data.Sqlite;

namespace Tanjiren.Server.Data.Sqlite;

/// <summary>
/// A command over a compiled statement of its connection's cache. A command that failed is not given back: whatever state its statement is in ends
/// with it.
/// </summary>
internal sealed class CachedCommand(CachingConnection cache, DbConnection connection) : DbCommand
{
    private SqliteCommand? _inner;
    private bool _failed;
    private bool _disposed;

    [AllowNull]
    public override string CommandText
    {
        get => _inner?.CommandText ?? "";
        set
        {
            // Dapper rewrites the text when it expands a list, after it has taken hold of the parameters of the old one: lists go by ISqlProvider.IsOneOf.
            if (_inner is not null) throw new NotSupportedException("The text of a command is set once: pass a list by IsOneOf.");
            _inner = cache.Take(value ?? "");
        }
    }

    private SqliteCommand Inner => _inner ??= cache.Take("");

    public override int CommandTimeout { get => Inner.CommandTimeout; set => Inner.CommandTimeout = value; }
    public override CommandType CommandType { get => Inner.CommandType; set => Inner.CommandType = value; }
    public override bool DesignTimeVisible { get => false; set { } }
    public override UpdateRowSource UpdatedRowSource { get; set; }
    protected override DbConnection? DbConnection { get => connection; set => throw new NotSupportedException("The command belongs to its connection."); }
    protected override DbParameterCollection DbParameterCollection => Inner.Parameters;

    /// <summary>None: the writer's transaction is the connection's, begun in SQL (see <see cref="SqliteWriter"/>).</summary>
    protected override DbTransaction? DbTransaction { get; set; }

    public override int ExecuteNonQuery() => Guard(() => Inner.ExecuteNonQuery());
    public override object? ExecuteScalar() => Guard(() => Inner.ExecuteScalar());
    protected override DbDataReader ExecuteDbDataReader(CommandBehavior behavior) => Guard(() => Inner.ExecuteReader(behavior));
    public override void Prepare() => Inner.Prepare();

    /// <summary>Statements are short; a cancelled token is seen before the next one.</summary>
    public override void Cancel() { }

    protected override DbParameter CreateDbParameter() => new NamedParameter();

    protected override void Dispose(bool disposing)
    {
        if (disposing && !_disposed)
        {
            _disposed = true;
            if (_failed) _inner?.Dispose();
            else if (_inner is not null) cache.Give(_inner);
        }
        base.Dispose(disposing);
    }

    /// <summary>
    /// Dapper names its parameters as in C#, and for a name that a statement does not have as it stands the library tries three others, at each
    /// execution.
    /// </summary>
    private sealed class NamedParameter : SqliteParameter
    {
        [AllowNull]
        public override string ParameterName { get => base.ParameterName; set => base.ParameterName = "@" + value; }
    }

    private T Guard<T>(Func<T> execute)
    {
        try
        {
            return execute();
        }
        catch
        {
            _failed = true;
            throw;
        }
    }
}
