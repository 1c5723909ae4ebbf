using System.Data.Common;
using Npgsql;
using Tanjiren.Server.Data.Sqlite;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Shared;

public sealed class TestDatabaseTests
{
    private static readonly Dictionary<DatabaseKind, int> Prepared = new() { [DatabaseKind.Sqlite] = 0, [DatabaseKind.Postgres] = 0 };

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Every_test_has_a_database_of_its_own(DatabaseKind kind)
    {
        await using var one = await TestDatabase.CreateAsync(kind);
        await using var two = await TestDatabase.CreateAsync(kind);
        one.Url.ShouldNotBe(two.Url);
        one.Url.ShouldStartWith(kind == DatabaseKind.Sqlite ? "sqlite:" : "postgres://");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_prepared_database_is_copied_and_the_copies_are_apart(DatabaseKind kind)
    {
        await using var one = await TestDatabase.CreateAsync(kind, PrepareAsync);
        await ScalarAsync(one.Url, "INSERT INTO probe VALUES (2) RETURNING id");
        await using var two = await TestDatabase.CreateAsync(kind, PrepareAsync);
        (await ScalarAsync(one.Url, "SELECT count(*) FROM probe")).ShouldBe(2L);
        (await ScalarAsync(two.Url, "SELECT count(*) FROM probe")).ShouldBe(1L);
        Prepared[kind].ShouldBe(1);
    }

    [Fact]
    public async Task The_server_is_durable()
    {
        await using var database = await TestDatabase.CreateAsync(DatabaseKind.Postgres);
        (await ScalarAsync(database.Url, "SELECT current_setting('fsync') || current_setting('synchronous_commit')")).ShouldBe("onon");
    }

    private static async Task PrepareAsync(string url)
    {
        Prepared[url.StartsWith("sqlite:", StringComparison.Ordinal) ? DatabaseKind.Sqlite : DatabaseKind.Postgres]++;
        await ScalarAsync(url, "CREATE TABLE probe (id int); INSERT INTO probe VALUES (1) RETURNING id");
    }

    private static async Task<object?> ScalarAsync(string url, string sql)
    {
        await using DbConnection connection = url.StartsWith("sqlite:", StringComparison.Ordinal)
            ? SqliteLibrary.Connect($"Data Source={url["sqlite:".Length..]};Pooling=False")
            : new NpgsqlConnection(TestDatabase.ConnectionString(url) + ";Pooling=false");
        await connection.OpenAsync(TestContext.Current.CancellationToken);
        await using var command = connection.CreateCommand();
        command.CommandText = sql;
        return await command.ExecuteScalarAsync(TestContext.Current.CancellationToken);
    }
}
