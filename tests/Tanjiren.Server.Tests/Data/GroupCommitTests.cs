using Microsoft.Data.Sqlite;
using Tanjiren.Server.Data;
using Tanjiren.Server.Data.Sqlite;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Data;

/// <summary>Transactions that share one commit on SQLite. A first one is held open, so that the others are in the queue when it ends.</summary>
public sealed class GroupCommitTests : IAsyncDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly SqliteProvider _provider;
    private readonly Database _database;

    public GroupCommitTests()
    {
        _provider = new SqliteProvider(Path.Combine(_directory.Path, "group.db"), TimeProvider.System);
        _database = new Database(_provider);
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_member_that_fails_takes_nothing_of_the_others_along()
    {
        await CreateTableAsync();
        var (first, release) = await HoldAsync(1);
        var second = WriteAsync(2);
        var broken = _database.WriteAsync(async tx =>
        {
            await tx.ExecuteAsync("INSERT INTO t VALUES (3)");
            await tx.ExecuteAsync("INSERT INTO t VALUES (2)"); // taken by the one before
        }, Token);
        var last = WriteAsync(4);
        release.SetResult();

        await Task.WhenAll(first, second, last);
        (await Should.ThrowAsync<SqliteException>(broken)).SqliteErrorCode.ShouldBe(SQLitePCL.raw.SQLITE_CONSTRAINT);
        (await ValuesAsync()).ShouldBe([1, 2, 4]);
    }

    [Fact]
    public async Task Nobody_is_told_and_nobody_sees_before_the_group_is_committed()
    {
        await CreateTableAsync();
        var (first, releaseFirst) = await HoldAsync(1);
        var releaseSecond = new TaskCompletionSource();
        var secondRuns = new TaskCompletionSource();
        var second = _database.WriteAsync(async tx =>
        {
            (await tx.ListAsync<long>("SELECT n FROM t")).ShouldBe([1L]);
            secondRuns.SetResult();
            await releaseSecond.Task;
        }, Token);
        releaseFirst.SetResult();
        await secondRuns.Task.WaitAsync(Token);

        first.IsCompleted.ShouldBeFalse();
        (await ValuesAsync()).ShouldBeEmpty();

        releaseSecond.SetResult();
        await Task.WhenAll(first, second);
        (await ValuesAsync()).ShouldBe([1]);
    }

    [Fact]
    public async Task A_first_member_that_fails_leaves_a_fresh_transaction_to_the_next()
    {
        await CreateTableAsync();
        var hold = new TaskCompletionSource();
        var runs = new TaskCompletionSource();
        var broken = _database.WriteAsync(async tx =>
        {
            await tx.ExecuteAsync("INSERT INTO t VALUES (1)");
            runs.SetResult();
            await hold.Task;
            throw new InvalidOperationException("refused");
        }, Token);
        await runs.Task.WaitAsync(Token);
        var next = WriteAsync(2);
        hold.SetResult();

        await Should.ThrowAsync<InvalidOperationException>(broken);
        await next;
        (await ValuesAsync()).ShouldBe([2]);
    }

    [Fact]
    public async Task A_waiting_member_that_is_cancelled_does_not_hold_the_group_open()
    {
        await CreateTableAsync();
        var (first, release) = await HoldAsync(1);
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Token);
        var cancelled = _database.WriteAsync(tx => tx.ExecuteAsync("INSERT INTO t VALUES (2)"), cancel.Token);
        await cancel.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(cancelled);
        release.SetResult();

        await first.WaitAsync(Token);
        await WriteAsync(3);
        (await ValuesAsync()).ShouldBe([1, 3]);
    }

    [Fact]
    public async Task When_the_commit_is_undone_by_sqlite_every_member_runs_again()
    {
        await CreateTableAsync();
        var (first, release) = await HoldAsync(1);
        var attempts = 0;
        var second = _database.WriteAsync(async tx =>
        {
            await tx.ExecuteAsync("INSERT INTO t VALUES (2)");
            // What a full disk does in the middle of a statement: the whole transaction is gone, the first member's part included.
            if (++attempts == 1) await tx.ExecuteAsync("ROLLBACK");
        }, Token);
        release.SetResult();

        await Task.WhenAll(first, second);
        attempts.ShouldBe(2);
        (await ValuesAsync()).ShouldBe([1, 2]);
    }

    [Fact]
    public async Task Many_writers_at_once_lose_nothing()
    {
        await CreateTableAsync();
        await Task.WhenAll(Enumerable.Range(0, 500).Select(n => Task.Run(() => WriteAsync(n), Token)));
        (await ValuesAsync()).ShouldBe(Enumerable.Range(0, 500).Select(n => (long)n));
    }

    public async ValueTask DisposeAsync()
    {
        await _database.DisposeAsync();
        _directory.Dispose();
    }

    private Task CreateTableAsync() => _database.WriteAsync(tx => tx.ExecuteAsync("CREATE TABLE t (n INTEGER PRIMARY KEY)"), Token);

    private Task WriteAsync(long n) => _database.WriteAsync(tx => tx.ExecuteAsync("INSERT INTO t VALUES (@n)", new { n }), Token);

    /// <summary>A transaction that has written and stays open until it is released; run again, it does not wait.</summary>
    private async Task<(Task Transaction, TaskCompletionSource Release)> HoldAsync(long n)
    {
        var (runs, release) = (new TaskCompletionSource(), new TaskCompletionSource());
        var transaction = _database.WriteAsync(async tx =>
        {
            await tx.ExecuteAsync("INSERT INTO t VALUES (@n)", new { n });
            runs.TrySetResult();
            await release.Task;
        }, Token);
        await runs.Task.WaitAsync(Token);
        return (transaction, release);
    }

    private Task<IReadOnlyList<long>> ValuesAsync() => _database.ReadAsync(sql => sql.ListAsync<long>("SELECT n FROM t ORDER BY n"), Token);
}
