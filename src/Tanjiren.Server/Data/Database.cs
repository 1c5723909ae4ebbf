using System.Data.Common;
using Dapper;

namespace Tanjiren.Server.Data;

/// <summary>
/// Opens connections and hands out write transactions. Everything that changes the database goes through <see cref="WriteAsync{T}"/>, so every
/// change is atomic, and what must be told to others is told after the commit only.
/// </summary>
internal sealed class Database(ISqlProvider provider, StatementObserver? observer = null) : IAsyncDisposable
{
    private const int MaxAttempts = 5;

    public ISqlProvider Provider => provider;

    public async Task<T> ReadAsync<T>(Func<SqlSession, Task<T>> work, CancellationToken cancellationToken)
    {
        await using var connection = await provider.OpenReadAsync(cancellationToken);
        try
        {
            return await work(new SqlSession(provider, connection, transaction: null, observer: null, cancellationToken));
        }
        catch (Exception e) when (provider.Spoils(e))
        {
            provider.Mend(connection);
            throw;
        }
    }

    /// <summary>
    /// Runs <paramref name="work"/> in one transaction and commits. A deadlock or serialization failure runs it again from the start, so the work
    /// must not have effects of its own; those belong in <see cref="WriteTransaction.OnCommit"/>. So does what the work lacks (<see cref="NotPreparedException"/>), once it
    /// has been made with no transaction open.
    /// </summary>
    public async Task<T> WriteAsync<T>(Func<WriteTransaction, Task<T>> work, CancellationToken cancellationToken)
    {
        Dictionary<object, object>? made = null;
        for (var attempt = 1; ; attempt++)
        {
            var scope = await provider.BeginWriteAsync(cancellationToken);
            var transaction = new WriteTransaction(provider, scope, observer, cancellationToken) { MayBeginAnew = attempt < MaxAttempts, Made = made };
            NotPreparedException? lacking = null;
            var result = default(T)!;
            try
            {
                result = await work(transaction);
                await transaction.CommitAsync();
            }
            catch (NotPreparedException e) when (attempt < MaxAttempts)
            {
                lacking = e;
            }
            catch (DbException e) when (provider.IsTransient(e) && attempt < MaxAttempts)
            {
                // Two transactions waited for each other and the database chose this one to yield; the other goes on at once.
                continue;
            }
            catch (Exception e) when (provider.Spoils(e))
            {
                scope.Spoilt = true;
                throw;
            }
            finally
            {
                await scope.ReleaseAsync();
            }
            if (lacking is not null)
            {
                await lacking.MakeAsync(made ??= []);
                continue;
            }
            transaction.RunCommitActions();
            return result;
        }
    }

    public Task WriteAsync(Func<WriteTransaction, Task> work, CancellationToken cancellationToken) =>
        WriteAsync(async transaction =>
        {
            await work(transaction);
            return true;
        }, cancellationToken);

    public ValueTask DisposeAsync() => provider.DisposeAsync();
}

/// <summary>
/// A transaction needs what takes long to make and depends on nothing but what it has read. Others wait for a transaction, on SQLite all of them: it is undone, this is
/// made, and it begins anew, with whatever is true then. Thrown only while <see cref="WriteTransaction.MayBeginAnew"/>.
/// </summary>
/// <param name="make">Makes it. What is of use to this work alone goes into <see cref="WriteTransaction.Made"/>, which is its argument.</param>
internal sealed class NotPreparedException(Func<IDictionary<object, object>, Task> make) : Exception("A transaction needs something that is made outside of it, and begins anew then.")
{
    public NotPreparedException(Func<Task> make) : this(_ => make())
    {
    }

    public Task MakeAsync(IDictionary<object, object> made) => make(made);
}

/// <summary>Called before every statement of a write transaction; the interleaving suite pauses transactions there.</summary>
internal delegate Task StatementObserver(string sql);

/// <summary>Statements on one connection. Arguments are anonymous objects; names in SQL are <c>@camelCase</c>.</summary>
internal class SqlSession(
    ISqlProvider provider, DbConnection connection, DbTransaction? transaction, StatementObserver? observer, CancellationToken cancellationToken)
{
    static SqlSession() => DefaultTypeMap.MatchNamesWithUnderscores = true;

    public CancellationToken CancellationToken => cancellationToken;

    /// <inheritdoc cref="ISqlProvider.ForUpdate"/>
    public string ForUpdate => provider.ForUpdate;

    /// <inheritdoc cref="ISqlProvider.ForShare"/>
    public string ForShare => provider.ForShare;

    /// <inheritdoc cref="ISqlProvider.ForNoKeyUpdate"/>
    public string ForNoKeyUpdate => provider.ForNoKeyUpdate;

    /// <inheritdoc cref="ISqlProvider.IsOneOf"/>
    public string IsOneOf(string column, string argument) => provider.IsOneOf(column, argument);

    public async Task<IReadOnlyList<T>> ListAsync<T>(string sql, object? arguments = null)
    {
        await ObserveAsync(sql);
        return (await connection.QueryAsync<T>(Command(sql, arguments))).AsList();
    }

    /// <summary>The first row, or the default when there is none.</summary>
    public async Task<T?> FirstAsync<T>(string sql, object? arguments = null)
    {
        await ObserveAsync(sql);
        return await connection.QueryFirstOrDefaultAsync<T>(Command(sql, arguments));
    }

    /// <summary>The number of rows that the statement changed.</summary>
    public async Task<int> ExecuteAsync(string sql, object? arguments = null)
    {
        await ObserveAsync(sql);
        return await connection.ExecuteAsync(Command(sql, arguments));
    }

    /// <summary>The lease clock of the database, in milliseconds. Comparable only with itself.</summary>
    public Task<long> LeaseNowAsync() => FirstAsync<long>("SELECT tanjiren_now()");

    private CommandDefinition Command(string sql, object? arguments) =>
        new(sql, arguments, transaction, cancellationToken: cancellationToken);

    private Task ObserveAsync(string sql) => observer is null ? Task.CompletedTask : observer(sql);
}

/// <summary>One write transaction. It ends with the work that it was given to; nobody else sees any of it before.</summary>
internal sealed class WriteTransaction(ISqlProvider provider, WriteScope scope, StatementObserver? observer, CancellationToken cancellationToken)
    : SqlSession(provider, scope.Connection, scope.Transaction, observer, cancellationToken)
{
    private readonly List<Action> _commitActions = [];

    /// <summary>False at the last attempt: then what is lacking has to be made in it.</summary>
    public bool MayBeginAnew { get; init; }

    /// <summary>What was made for this work when it lacked it, and for no other; null before the first time.</summary>
    public IReadOnlyDictionary<object, object>? Made { get; init; }

    /// <summary>Adds something to do once the transaction is durable: wake-ups, counters. It must not throw and must not block.</summary>
    public void OnCommit(Action action) => _commitActions.Add(action);

    internal Task CommitAsync() => scope.CommitAsync(CancellationToken);

    internal void RunCommitActions()
    {
        foreach (var action in _commitActions) action();
    }
}
