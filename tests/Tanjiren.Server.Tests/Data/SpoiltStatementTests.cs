using Tanjiren.Server.Data;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Data;

/// <summary>PostgreSQL's statements are prepared when they run for the second time. What fails in just that run must not spoil the next one on its connection.</summary>
public sealed class SpoiltStatementTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_value_that_can_not_be_bound_spoils_nothing(bool writes)
    {
        await using var test = await TestDatabase.CreateAsync(DatabaseKind.Postgres);
        await using var database = OneConnection(test);
        Task<int> Quotient(int by) => RunAsync(database, writes, sql => sql.FirstAsync<int>("SELECT 12 / @by", new { by }), Token);

        (await Quotient(3)).ShouldBe(4);
        // A constant for the planner, which works it out before it knows the columns.
        (await Should.ThrowAsync<Npgsql.PostgresException>(() => Quotient(0))).SqlState.ShouldBe("22012");
        (await Quotient(4)).ShouldBe(3);
        (await Quotient(6)).ShouldBe(2);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_reader_who_leaves_spoils_nothing(bool writes)
    {
        await using var test = await TestDatabase.CreateAsync(DatabaseKind.Postgres);
        await using var database = OneConnection(test);
        await database.WriteAsync(sql => sql.ExecuteAsync("""
            CREATE FUNCTION slow(seconds integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM pg_sleep(seconds); RETURN seconds; END'
            """), Token);
        Task<int> Slow(int seconds, CancellationToken token) => RunAsync(database, writes, sql => sql.FirstAsync<int>("SELECT slow(@seconds)", new { seconds }), token);

        (await Slow(0, Token)).ShouldBe(0);
        using var leaving = new CancellationTokenSource();
        var left = Slow(60, leaving.Token);
        await Eventually.TrueAsync(() => SleepsAsync(test), () => "the statement never began", TimeSpan.FromSeconds(30));
        await leaving.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(() => left);
        (await Slow(0, Token)).ShouldBe(0);
        (await Slow(0, Token)).ShouldBe(0);
    }

    private static Task<T> RunAsync<T>(Database database, bool writes, Func<SqlSession, Task<T>> work, CancellationToken token) =>
        writes ? database.WriteAsync(tx => work(tx), token) : database.ReadAsync(work, token);

    /// <summary>So that each statement runs where the one before it did.</summary>
    private static Database OneConnection(TestDatabase test) => new(DatabaseUrl.Open(test.Url + "?Maximum Pool Size=1", TimeProvider.System));

    private static async Task<bool> SleepsAsync(TestDatabase test)
    {
        await using var other = new Database(DatabaseUrl.Open(test.Url, TimeProvider.System));
        return await other.ReadAsync(sql => sql.FirstAsync<bool>("SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep')"), Token);
    }
}
