using System.Data;
using System.Data.Common;
using System.Diagnostics.CodeAnalysis;
using Microsoft.Data.Sqlite;

namespace Tanjiren.Server.Data.Sqlite;

/// <summary>
/// An open connection that keeps its compiled statements: compiling costs several times what most of ours cost to run. One user at a time.
/// A lease of it is given back by <see cref="Lease.Dispose(bool)"/>, the connection itself lives on.
/// </summary>
internal sealed class CachingConnection(SqliteConnection inner) : IDisposable
{
    // A text that Dapper expanded (IN @list) or a migration must not push the daily ones out: what does not fit is compiled each time, as without the cache.
    private const int MaxStatements = 300;
    private const int MaxTextLength = 4000;

    private readonly Dictionary<string, SqliteCommand> _idle = [];

    /// <summary>Whether a transaction is open. After some errors (a full disk) SQLite ends one by itself.</summary>
    public bool InTransaction => SQLitePCL.raw.sqlite3_get_autocommit(inner.Handle) == 0;

    public void Execute(string sql)
    {
        var command = Take(sql);
        try
        {
            command.ExecuteNonQuery();
        }
        catch
        {
            command.Dispose();
            throw;
        }
        Give(command);
    }

    /// <summary>For Dapper; <paramref name="giveBack"/> is called when it is disposed.</summary>
    public DbConnection Lend(Action<CachingConnection>? giveBack = null) => new Lease(this, inner, giveBack);

    public SqliteCommand Take(string sql)
    {
        if (_idle.Remove(sql, out var known)) return known;
        var command = inner.CreateCommand();
        command.CommandText = sql;
        return command;
    }

    public void Give(SqliteCommand command)
    {
        command.Parameters.Clear();
        if (_idle.Count >= MaxStatements || command.CommandText.Length is 0 or > MaxTextLength || !_idle.TryAdd(command.CommandText, command)) command.Dispose();
    }

    public void Dispose()
    {
        foreach (var command in _idle.Values) command.Dispose();
        _idle.Clear();
        inner.Dispose();
    }

    private sealed class Lease(CachingConnection owner, SqliteConnection inner, Action<CachingConnection>? giveBack) : DbConnection
    {
        private bool _returned;

        /// <summary>What Dapper compiles for a statement it keeps by this: one schema, one string.</summary>
        [AllowNull]
        public override string ConnectionString { get => "sqlite"; set => throw new NotSupportedException("The connection is open already."); }
        public override string Database => inner.Database;
        public override string DataSource => inner.DataSource;
        public override string ServerVersion => inner.ServerVersion;
        public override ConnectionState State => inner.State;

        public override void ChangeDatabase(string databaseName) => inner.ChangeDatabase(databaseName);
        public override void Open() => inner.Open();
        public override void Close() => Dispose();
        protected override DbTransaction BeginDbTransaction(IsolationLevel isolationLevel) => throw new NotSupportedException("Write transactions come from the provider.");
        protected override DbCommand CreateDbCommand() => new CachedCommand(owner, this);

        protected override void Dispose(bool disposing)
        {
            if (disposing && !_returned)
            {
                _returned = true;
                giveBack?.Invoke(owner);
            }
            base.Dispose(disposing);
        }
    }
}
