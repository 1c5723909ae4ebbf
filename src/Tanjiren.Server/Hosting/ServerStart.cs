using Tanjiren.Server.Backups;
using Tanjiren.Server.Data;
using Tanjiren.Server.Data.Postgres;
using Tanjiren.Server.Data.Sqlite;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Secrets;

namespace Tanjiren.Server.Hosting;

/// <summary>
/// What must stand before the first connection is accepted and the first loop runs: a migrated database and the shared secrets. A lifecycle
/// service's <c>StartingAsync</c> runs before the start of every other service, the listener's included, and its <c>StoppingAsync</c> before their stop:
/// polls and streams that hang are answered while the listener still waits for them.
/// </summary>
internal sealed class ServerStart(Database database, Migrator migrator, ServerSecrets secrets, SecretsKey secretsKey, WakeUps wakeUps, PostgresWakeUps? postgres = null) : IHostedLifecycleService, IDisposable
{
    private IDisposable? _lock;

    public async Task StartingAsync(CancellationToken cancellationToken)
    {
        secretsKey.Check();
        if (database.Provider is SqliteProvider sqlite) _lock = sqlite.LockForServing();
        if (postgres is not null)
        {
            await postgres.LockForServingAsync(cancellationToken);
            await PostgresDump.RequireFinishedAsync(database, cancellationToken);
        }
        await migrator.MigrateAsync(cancellationToken);
        await secrets.LoadAsync(cancellationToken);
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    public Task StoppingAsync(CancellationToken cancellationToken) => wakeUps.CloseAsync();
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken)
    {
        Dispose();
        return Task.CompletedTask;
    }

    public void Dispose()
    {
        _lock?.Dispose();
        _lock = null;
    }
}
