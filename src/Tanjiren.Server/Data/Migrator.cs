using System.Reflection;
using System.Security.Cryptography;
using System.Text;

namespace Tanjiren.Server.Data;

/// <summary>
/// Brings a database to this version: the embedded scripts <c>Migrations/NNNN_name.sql</c> (both databases) and <c>NNNN_name.PROVIDER.sql</c> (one of
/// them, after it), in order, all in one transaction under a lock. A script that has been released is never edited; a changed one is refused.
/// </summary>
internal sealed partial class Migrator(Database database, TimeProvider clock, ILogger<Migrator> logger)
{
    private const string Folder = "Tanjiren.Server.Data.Migrations.";

    public Task MigrateAsync(CancellationToken cancellationToken) => MigrateToAsync(null, cancellationToken);

    /// <summary>Whether a script is one of this version.</summary>
    public static bool Knows(string script, string provider) => Scripts(provider).Any(known => known.Name == script);

    /// <summary>Only as far as <paramref name="level"/>, the number that a script's name begins with: the database as the version of that level left it. Null: all.</summary>
    internal Task MigrateToAsync(string? level, CancellationToken cancellationToken) => database.WriteAsync(async tx =>
    {
        // Several servers may start at once; without the lock both would run the same script. SQLite's write transaction is lock enough.
        if (database.Provider.Name == "postgres") await tx.ExecuteAsync("SELECT pg_advisory_xact_lock(7433)");
        await tx.ExecuteAsync(
            "CREATE TABLE IF NOT EXISTS schema_migrations (script TEXT PRIMARY KEY, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL)");
        var applied = (await tx.ListAsync<Applied>("SELECT script, checksum FROM schema_migrations")).ToDictionary(a => a.Script, a => a.Checksum);

        var scripts = Scripts(database.Provider.Name);
        var unknown = applied.Keys.Except(scripts.Select(s => s.Name)).Order(StringComparer.Ordinal).FirstOrDefault();
        if (unknown is not null)
            throw new InvalidOperationException($"The database was migrated by a newer version (it has {unknown}). Run that version, or restore a backup.");

        foreach (var (name, text) in scripts.TakeWhile(s => level is null || string.CompareOrdinal(s.Name[..level.Length], level) <= 0))
        {
            var checksum = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));
            if (applied.TryGetValue(name, out var known))
            {
                if (known != checksum)
                    throw new InvalidOperationException($"Migration {name} differs from the one that was applied. Released scripts are never edited; add a new one.");
                continue;
            }
            await tx.ExecuteAsync(text.Replace("{blob}", database.Provider.BlobType, StringComparison.Ordinal));
            await tx.ExecuteAsync("INSERT INTO schema_migrations (script, checksum, applied_at) VALUES (@name, @checksum, @at)",
                new { name, checksum, at = clock.GetUtcNow().ToUnixTimeMilliseconds() });
            LogApplied(logger, name);
        }
    }, cancellationToken);

    private static List<(string Name, string Text)> Scripts(string provider)
    {
        var assembly = Assembly.GetExecutingAssembly();
        return [.. assembly.GetManifestResourceNames()
            .Where(n => n.StartsWith(Folder, StringComparison.Ordinal))
            .Select(n => (Name: n[Folder.Length..], Resource: n))
            .Where(s => s.Name.Split('.') is [_, "sql"] || s.Name.EndsWith($".{provider}.sql", StringComparison.Ordinal))
            .OrderBy(s => s.Name.Split('.')[0], StringComparer.Ordinal).ThenBy(s => s.Name.Length)
            .Select(s => (s.Name, Read(assembly, s.Resource)))];
    }

    private static string Read(Assembly assembly, string resource)
    {
        using var reader = new StreamReader(assembly.GetManifestResourceStream(resource)!);
        return reader.ReadToEnd();
    }

    private sealed record Applied
    {
        public string Script { get; init; } = "";
        public string Checksum { get; init; } = "";
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "Applied migration {Script}")]
    private static partial void LogApplied(ILogger logger, string script);
}
