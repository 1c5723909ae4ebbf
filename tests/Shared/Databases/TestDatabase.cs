using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using Npgsql;
using Tanjiren.Server.Data.Sqlite;

namespace Tanjiren.Tests;

public enum DatabaseKind
{
    Sqlite,
    Postgres,
}

/// <summary>Theory data: <c>[MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]</c>.</summary>
public static class TestDatabases
{
    public static TheoryData<DatabaseKind> Both { get; } = [DatabaseKind.Sqlite, DatabaseKind.Postgres];
}

/// <summary>
/// One empty database for one test or one class: a file of its own on SQLite; on PostgreSQL a database of its own in the server that
/// <c>TANJIREN_TEST_POSTGRES</c> names. Missing server: skipped at home, failed in CI.
/// </summary>
public sealed class TestDatabase : IAsyncDisposable
{
    private static readonly ConcurrentDictionary<Delegate, Lazy<Task<string>>> Templates = new();
    private static readonly ConcurrentDictionary<Delegate, Lazy<Task<byte[]>>> Files = new();

    private readonly string? _name;
    private readonly TemporaryDirectory? _directory;

    private TestDatabase(DatabaseKind kind, string url, string? name, TemporaryDirectory? directory)
    {
        (Kind, Url) = (kind, url);
        (_name, _directory) = (name, directory);
    }

    public DatabaseKind Kind { get; }

    /// <summary>As <c>--database</c> takes it: <c>sqlite:PATH</c> or <c>postgres://…</c>.</summary>
    public string Url { get; }

    /// <param name="kind">Which of the two.</param>
    /// <param name="prepare">
    /// Brings an empty database, given by its URL, to the state that the test starts from: the migrations. It runs once for each distinct method and kind, and its
    /// result is copied, which takes a tenth of the time; so it must close its connections (or own a data source that it disposes) and must be a static method
    /// or one that is stored once, not a fresh lambda for each test.
    /// </param>
    public static async Task<TestDatabase> CreateAsync(DatabaseKind kind, Func<string, Task>? prepare = null)
    {
        if (kind == DatabaseKind.Sqlite)
        {
            var directory = new TemporaryDirectory();
            var file = directory.File("tanjiren.db");
            if (prepare is not null) await File.WriteAllBytesAsync(file, await Files.GetOrAdd(prepare, _ => new(() => MakeFileAsync(prepare))).Value);
            return new TestDatabase(kind, "sqlite:" + file, null, directory);
        }
        var name = NewName();
        var template = prepare is null ? "template0" : await Templates.GetOrAdd(prepare, _ => new(() => MakeTemplateAsync(prepare))).Value;
        await ExecuteAsync($"CREATE DATABASE {name} TEMPLATE {template}");
        return new TestDatabase(kind, UrlOf(name), name, null);
    }

    public async ValueTask DisposeAsync()
    {
        _directory?.Dispose();
        if (_name is null)
            return;
        // A drop waits for a checkpoint, about 0.4 s: on the server that eng/test throws away afterwards, freeing the connections is enough.
        await ExecuteAsync(Environment.GetEnvironmentVariable("TANJIREN_TEST_POSTGRES_DISPOSABLE") == "1"
            ? $"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{_name}'"
            : $"DROP DATABASE IF EXISTS {_name} WITH (FORCE)");
    }

    /// <summary>With what is in the log: the file is all of it then.</summary>
    private static async Task<byte[]> MakeFileAsync(Func<string, Task> prepare)
    {
        using var directory = new TemporaryDirectory();
        var file = directory.File("template.db");
        await prepare("sqlite:" + file);
        await using (var connection = SqliteLibrary.Connect($"Data Source={file};Pooling=False"))
        {
            await connection.OpenAsync();
            await using var command = connection.CreateCommand();
            command.CommandText = "PRAGMA wal_checkpoint(TRUNCATE)";
            await command.ExecuteNonQueryAsync();
        }
        return await File.ReadAllBytesAsync(file);
    }

    private static async Task<string> MakeTemplateAsync(Func<string, Task> prepare)
    {
        var name = NewName() + "_template";
        await ExecuteAsync($"CREATE DATABASE {name} TEMPLATE template0");
        await prepare(UrlOf(name));
        // A template can be copied only while nobody is connected to it: pooled connections of the preparation are cut, and none may follow.
        await ExecuteAsync($"ALTER DATABASE {name} ALLOW_CONNECTIONS false");
        await ExecuteAsync($"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'");
        return name;
    }

    private static async Task ExecuteAsync(string sql)
    {
        // Unpooled and on the maintenance database: an idle pooled connection would keep nothing but itself alive.
        var connectionString = new NpgsqlConnectionStringBuilder(ConnectionString(Prerequisite.Variable("TANJIREN_TEST_POSTGRES"))) { Pooling = false }.ConnectionString;
        await using var connection = new NpgsqlConnection(connectionString);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync();
    }

    /// <summary>The URL form as Npgsql reads it.</summary>
    public static string ConnectionString(string url)
    {
        var uri = new Uri(url);
        var user = uri.UserInfo.Split(':', 2);
        return new NpgsqlConnectionStringBuilder
        {
            Host = uri.Host,
            Port = uri.IsDefaultPort || uri.Port < 0 ? 5432 : uri.Port,
            Username = Uri.UnescapeDataString(user[0]),
            Password = user.Length > 1 ? Uri.UnescapeDataString(user[1]) : null,
            Database = uri.AbsolutePath.TrimStart('/'),
        }.ConnectionString;
    }

    private static string NewName() =>
        string.Create(CultureInfo.InvariantCulture, $"tanjiren_test_{Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(6))}");

    private static string UrlOf(string name) => new UriBuilder(Prerequisite.Variable("TANJIREN_TEST_POSTGRES")) { Path = name }.Uri.AbsoluteUri;
}
