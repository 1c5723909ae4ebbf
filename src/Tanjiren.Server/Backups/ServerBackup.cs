using System.Reflection;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Schedules;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Backups;

/// <summary>What a restore did.</summary>
/// <param name="Manifest">Of the backup.</param>
/// <param name="HeldTasks">Open tasks that wait for <c>jobs resume</c>.</param>
/// <param name="PausedSchedules">Schedules that wait for <c>schedules resume</c>.</param>
public sealed record RestoreReport(BackupManifest Manifest, int HeldTasks, int PausedSchedules);

/// <summary>Takes a whole control plane into one file while it runs, and brings it back so that nothing runs twice.</summary>
public static class ServerBackup
{
    /// <summary>Writes a backup of <paramref name="database"/> (as <c>--database</c> takes it) to <paramref name="file"/>, which must not exist.</summary>
    /// <exception cref="BackupException">It can't be; the words are for the operator.</exception>
    /// <exception cref="FormatException">The database's name can't be understood.</exception>
    public static async Task<BackupManifest> BackupAsync(string database, string file, TimeProvider clock, CancellationToken cancellationToken)
    {
        file = Path.GetFullPath(file);
        if (File.Exists(file)) throw new BackupException($"'{file}' exists", "name another file, or remove that one");
        var source = DumpOf(database, clock);
        // Beside the backup: there must be room for both, and it is as private.
        using var work = new WorkDirectory(file);
        var takenAt = clock.GetUtcNow();
        var level = await source.DumpAsync(work.Database, cancellationToken);
        return await BackupArchive.WriteAsync(file, work.Database, new BackupManifest
        {
            Format = BackupManifest.CurrentFormat, Version = Version, Database = source.Kind, MigrationLevel = level, TakenAt = takenAt, Sha256 = "", Bytes = 0,
        }, cancellationToken);
    }

    /// <summary>
    /// Puts a backup into <paramref name="database"/>, an empty place unless <paramref name="force"/>: migrated to this version, its leases ended, its generations far
    /// above all that were given out since, its unused approvals void, its open tasks held, its schedules paused.
    /// </summary>
    /// <exception cref="BackupException">It can't be; the words are for the operator.</exception>
    /// <exception cref="FormatException">The database's name can't be understood.</exception>
    public static async Task<RestoreReport> RestoreAsync(string database, string file, bool force, TimeProvider clock, CancellationToken cancellationToken)
    {
        if (!File.Exists(file)) throw new BackupException($"there is no file '{file}'", "name the file that `server backup` made");
        var manifest = await BackupArchive.ReadManifestAsync(file, cancellationToken);
        var target = DumpOf(database, clock);
        if (manifest.Format > BackupManifest.CurrentFormat || !Migrator.Knows(manifest.MigrationLevel, manifest.Database))
            throw new BackupException($"the backup was taken by version {manifest.Version}, which is newer than this one ({Version})", "restore it with that version or a newer one");
        if (manifest.Database != target.Kind)
            throw new BackupException($"the backup is of a {manifest.Database} database and can't be restored into {target.Kind}", $"name a {manifest.Database} database with --database");
        using var work = new WorkDirectory(database.StartsWith("sqlite:", StringComparison.Ordinal) ? Path.GetFullPath(database["sqlite:".Length..]) : Path.GetFullPath(file));
        await BackupArchive.ExtractAsync(file, manifest, work.Database, cancellationToken);
        var report = new RestoreReport(manifest, 0, 0);
        await target.LoadAsync(work.Database, force, async url => report = await FinishAsync(url, manifest, clock, cancellationToken), cancellationToken);
        return report;
    }

    private static async Task<RestoreReport> FinishAsync(string url, BackupManifest manifest, TimeProvider clock, CancellationToken cancellationToken)
    {
        await using var app = ControlPlane.Build(new ControlPlaneOptions { Urls = ["http://127.0.0.1:0"], Database = url, OfferSetup = false, Clock = clock, ConfigureLogging = _ => { } });
        await using var database = app.Services.GetRequiredService<Database>();
        await app.Services.GetRequiredService<Migrator>().MigrateAsync(cancellationToken);
        var held = await app.Services.GetRequiredService<HeldTasks>().HoldAllAsync(cancellationToken);
        var paused = await app.Services.GetRequiredService<ScheduleFiring>().PauseAllAsync(
            $"The server was restored from a backup of {manifest.TakenAt:u}. Resume it if it is still wanted as it stands here.", cancellationToken);
        var audit = app.Services.GetRequiredService<AuditLog>();
        await database.WriteAsync(async tx =>
        {
            foreach (var organizationId in await tx.ListAsync<string>("SELECT id FROM organizations ORDER BY id"))
                await audit.AppendAsync(tx, organizationId, "server", "server.restored", organizationId, $"from a backup of {manifest.TakenAt:u}; open tasks are held, schedules paused", address: null);
        }, cancellationToken);
        return new RestoreReport(manifest, held, paused);
    }

    private static IDatabaseDump DumpOf(string database, TimeProvider clock) =>
        database.StartsWith("sqlite:", StringComparison.Ordinal) && database.Length > "sqlite:".Length ? new SqliteDump(database["sqlite:".Length..], clock)
        : database.StartsWith("postgres://", StringComparison.Ordinal) || database.StartsWith("postgresql://", StringComparison.Ordinal) ? new PostgresDump(database)
        : throw DatabaseUrl.NotUnderstood(database);

    private static string Version { get; } = typeof(ServerBackup).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";

    /// <summary>A private directory for the dump, beside a file; gone at the end.</summary>
    private sealed class WorkDirectory : IDisposable
    {
        private readonly string _path;

        public WorkDirectory(string beside)
        {
            var parent = Path.GetDirectoryName(beside)!;
            Directory.CreateDirectory(parent);
            _path = Path.Combine(parent, $".{Path.GetFileName(beside)}.{Guid.NewGuid():n}");
            if (OperatingSystem.IsWindows()) Directory.CreateDirectory(_path);
            else Directory.CreateDirectory(_path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }

        public string Database => Path.Combine(_path, "database");

        public void Dispose() => Directory.Delete(_path, recursive: true);
    }
}
