using System.Data.Common;
using Microsoft.Data.Sqlite;

namespace Tanjiren.Server.Data.Sqlite;

/// <summary>
/// The one connection that writes, and the queue for it. Transactions run one after another; those that wait at the moment when one ends join its group, and
/// the group is committed by one sync of the disk. Each but the first stands in a savepoint, so one that fails takes nothing of the others along.
/// None is told how it ended, and nobody else sees any of it, before the whole group is durable.
/// </summary>
/// <remarks>
/// A lone transaction is a group of one, without a savepoint and without a wait: grouping costs latency nothing. A timer that waits for company was
/// rejected for that reason.
/// </remarks>
internal sealed class SqliteWriter(Func<CachingConnection> open) : IAsyncDisposable
{
    /// <summary>Bounds how long the first of a group waits for the last: a transaction takes well under a millisecond.</summary>
    private const int MaxGroup = 32;

    private readonly Lock _queueing = new();
    private readonly Queue<TaskCompletionSource> _waiting = new();
    private bool _busy;

    // The rest belongs to whoever has the turn.
    private CachingConnection? _connection;
    private Group? _group;

    public async ValueTask<WriteScope> BeginAsync(CancellationToken cancellationToken)
    {
        await TakeTurnAsync(cancellationToken);
        try
        {
            _connection ??= open();
            if (_group is null)
            {
                // IMMEDIATE: the write lock is taken at the start, so a transaction never fails half-way because it read before it wrote.
                _connection.Execute("BEGIN IMMEDIATE");
                _group = new Group();
                return new Member(this, _group, _connection, isFirst: true);
            }
            _connection.Execute("SAVEPOINT member");
            _group.Members++;
            return new Member(this, _group, _connection, isFirst: false);
        }
        catch
        {
            if (_group is { } others) EndTurn(others);
            else PassTurn();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await TakeTurnAsync(CancellationToken.None);
        _connection?.Dispose();
        _connection = null;
        PassTurn();
    }

    private Task TakeTurnAsync(CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested) return Task.FromCanceled(cancellationToken);
        var mine = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_queueing)
        {
            if (!_busy)
            {
                _busy = true;
                return Task.CompletedTask;
            }
            _waiting.Enqueue(mine);
        }
        return WaitAsync(mine, cancellationToken);
    }

    private static async Task WaitAsync(TaskCompletionSource mine, CancellationToken cancellationToken)
    {
        // Either the turn or the cancellation sets the result, never both: a turn that is given is always taken and ended.
        await using var registration = cancellationToken.UnsafeRegister(static (state, token) => ((TaskCompletionSource)state!).TrySetCanceled(token), mine);
        await mine.Task;
    }

    /// <summary>Gives the turn to the next that still waits. False: there is none, and the turn stays here.</summary>
    private bool TryHandOver()
    {
        while (true)
        {
            TaskCompletionSource? next;
            lock (_queueing)
            {
                if (!_waiting.TryDequeue(out next)) return false;
            }
            if (next.TrySetResult()) return true;
        }
    }

    private void PassTurn()
    {
        while (!TryHandOver())
        {
            lock (_queueing)
            {
                if (_waiting.Count > 0) continue;
                _busy = false;
                return;
            }
        }
    }

    /// <summary>Somebody waits: they join. Nobody does, or the group is full: it is committed now.</summary>
    private void EndTurn(Group group)
    {
        if (group.Members < MaxGroup && TryHandOver()) return;
        _group = null;
        try
        {
            _connection!.Execute("COMMIT");
            group.Settled.SetResult();
        }
        catch (Exception e)
        {
            Undo("ROLLBACK");
            group.Settled.SetException(e);
        }
        PassTurn();
    }

    /// <summary>Ends a transaction that did not commit.</summary>
    private void Abandon(Group group, bool isFirst)
    {
        if (!isFirst && Undo("ROLLBACK TO member") && Undo("RELEASE member"))
        {
            EndTurn(group);
            return;
        }
        // Alone in its group, or SQLite has ended the whole transaction: then the others run again, each for itself.
        _group = null;
        Undo("ROLLBACK");
        if (isFirst) group.Settled.SetResult();
        else group.Settled.SetException(Undone());
        PassTurn();
    }

    private bool Undo(string sql)
    {
        if (_connection is not { InTransaction: true }) return false;
        try
        {
            _connection.Execute(sql);
            return true;
        }
        catch (DbException)
        {
            // The error that made us undo is on its way to the caller already. A connection in an unknown state is not used again.
            _connection.Dispose();
            _connection = null;
            return false;
        }
    }

    /// <summary>Transient: run again, each finds out for itself whether the disk takes it.</summary>
    private static SqliteException Undone() => new("SQLite undid the transaction, or the group that it was part of, because of an error of the disk.", SQLitePCL.raw.SQLITE_BUSY);

    private sealed class Group
    {
        public int Members { get; set; } = 1;

        public TaskCompletionSource Settled { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    private sealed class Member(SqliteWriter writer, Group group, CachingConnection connection, bool isFirst) : WriteScope(connection.Lend(), transaction: null)
    {
        private bool _ended;

        public override async Task CommitAsync(CancellationToken cancellationToken)
        {
            // SQLite may have undone everything for an error that the work did not let through; the next one's savepoint would then be its own transaction.
            if (!connection.InTransaction) throw Undone();
            if (!isFirst) connection.Execute("RELEASE member");
            _ended = true;
            writer.EndTurn(group);
            // Without the token: from here on it may be durable, whatever the caller wishes.
            await group.Settled.Task;
        }

        public override async ValueTask ReleaseAsync()
        {
            if (_ended) return;
            _ended = true;
            writer.Abandon(group, isFirst);
            // What it has seen, and may tell in its exception, must be durable too. How the others end is theirs to hear.
            await group.Settled.Task.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }
}
