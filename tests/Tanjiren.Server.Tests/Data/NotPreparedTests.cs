using Tanjiren.Server.Data;
using Tanjiren.Server.Tests.Tasks;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Data;

/// <summary>Transactions that lack something which is made with no transaction open.</summary>
public sealed class NotPreparedTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task It_is_undone_others_write_meanwhile_and_it_begins_anew(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.ExecuteAsync("CREATE TABLE t (n INTEGER PRIMARY KEY)");
        var (begun, told) = (0, new List<int>());
        await engine.Database.WriteAsync(async tx =>
        {
            var attempt = ++begun;
            tx.OnCommit(() => told.Add(attempt));
            await tx.ExecuteAsync("INSERT INTO t VALUES (@attempt)", new { attempt });
            // On SQLite it would wait for itself, were its transaction still open.
            if (attempt == 1) throw new NotPreparedException(() => engine.ExecuteAsync("INSERT INTO t VALUES (100)"));
        }, Token);
        (await engine.ListAsync<int>("SELECT n FROM t ORDER BY n")).ShouldBe([2, 100]);
        told.ShouldBe([2]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_is_lacking_again_and_again_has_to_be_made_in_the_last_attempt(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var (begun, made) = (0, 0);
        var result = await engine.Database.WriteAsync(tx =>
        {
            begun++;
            return tx.MayBeginAnew ? throw new NotPreparedException(() => Task.FromResult(made++)) : Task.FromResult("inside");
        }, Token);
        (result, begun, made).ShouldBe(("inside", 5, 4));
    }
}
