using System.Threading.Channels;
using Npgsql;
using Tanjiren.Server.Hosting;

namespace Tanjiren.Server.Data.Postgres;

/// <summary>
/// Carries wake-ups between server processes by LISTEN/NOTIFY. Sent after the commit on a connection of its own, many in one statement: inside the
/// transaction every NOTIFY would serialise all commits on one lock. Only hints: when the queue is full the oldest are dropped, and after a lost
/// connection everybody waiting here is woken to look for themselves. The connection that listens also holds the lock that keeps a restore off.
/// </summary>
internal sealed partial class PostgresWakeUps(
    PostgresProvider provider, WakeUps wakeUps, IHostApplicationLifetime lifetime, TimeProvider clock, ILogger<PostgresWakeUps> logger)
    : BackgroundService, ILoop
{
    /// <summary>A pass is one batch that was sent; a failure is a lost connection, either way.</summary>
    public LoopRecord Record { get; } = new("wake-ups", clock);

    private const string ChannelName = "tanjiren_wake_ups";
    private const int MaxBatch = 500;
    private static readonly TimeSpan RetryDelay = TimeSpan.FromSeconds(1);

    private readonly string _origin = Guid.NewGuid().ToString("N");
    private readonly Channel<string> _outgoing = Channel.CreateBounded<string>(
        new BoundedChannelOptions(10_000) { FullMode = BoundedChannelFullMode.DropOldest, SingleReader = true });

    /// <summary>The batch under way; kept when the connection is lost, and sent on the next.</summary>
    private readonly HashSet<string> _unsent = [];

    private readonly NpgsqlDataSource _lasting = provider.CreateLasting();

    /// <summary>Opened at the start, until the loop takes it over.</summary>
    private NpgsqlConnection? _locked;

    /// <summary>Before anything of the database is looked at: from now on no restore begins here.</summary>
    /// <exception cref="FormatException">One is under way.</exception>
    public async Task LockForServingAsync(CancellationToken cancellationToken) => _locked = await OpenLockedAsync(cancellationToken)
        ?? throw new FormatException("A restore into this database is under way. Start when it has come to its end.");

    public override Task StartAsync(CancellationToken cancellationToken)
    {
        wakeUps.AttachBroadcast(key => _outgoing.Writer.TryWrite(key));
        return base.StartAsync(cancellationToken);
    }

    public override void Dispose()
    {
        _locked?.Dispose();
        _lasting.Dispose();
        base.Dispose();
    }

    protected override Task ExecuteAsync(CancellationToken stoppingToken) =>
        Task.WhenAll(RetryAsync(ListenAsync, stoppingToken), RetryAsync(SendAsync, stoppingToken));

    private async Task RetryAsync(Func<CancellationToken, Task> work, CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                await work(stoppingToken);
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                Record.Failed(e, next: clock.GetUtcNow() + RetryDelay);
                LogLost(logger, e);
                await Task.Delay(RetryDelay, clock, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private async Task ListenAsync(CancellationToken stoppingToken)
    {
        await using var connection = Interlocked.Exchange(ref _locked, null) ?? await OpenLockedAsync(stoppingToken);
        if (connection is null)
        {
            // Without the connection there was no lock, and a restore has begun: what this process knows is of a database that is going away.
            LogRestored(logger);
            lifetime.StopApplication();
            await Task.Delay(Timeout.InfiniteTimeSpan, clock, stoppingToken);
            return;
        }
        connection.Notification += (_, notification) =>
        {
            var separator = notification.Payload.IndexOf(' ');
            if (separator < 0 || notification.Payload.AsSpan(0, separator).SequenceEqual(_origin)) return;
            wakeUps.NotifyLocal(notification.Payload[(separator + 1)..]);
            Record.Count("received");
        };
        await using (var command = new NpgsqlCommand($"LISTEN {ChannelName}", connection)) await command.ExecuteNonQueryAsync(stoppingToken);
        wakeUps.NotifyAllLocal();
        Record.Waits();
        while (true) await connection.WaitAsync(stoppingToken);
    }

    /// <summary>Null: a restore has the lock.</summary>
    private async Task<NpgsqlConnection?> OpenLockedAsync(CancellationToken cancellationToken)
    {
        var connection = await _lasting.OpenConnectionAsync(cancellationToken);
        try
        {
            await using var command = new NpgsqlCommand($"SELECT pg_try_advisory_lock_shared({PostgresProvider.ServingLock})", connection);
            if (await command.ExecuteScalarAsync(cancellationToken) is true) return connection;
        }
        catch
        {
            await connection.DisposeAsync();
            throw;
        }
        await connection.DisposeAsync();
        return null;
    }

    private async Task SendAsync(CancellationToken stoppingToken)
    {
        await using var connection = await _lasting.OpenConnectionAsync(stoppingToken);
        await using var command = new NpgsqlCommand($"SELECT pg_notify('{ChannelName}', key) FROM unnest($1::text[]) AS key", connection);
        var parameter = new NpgsqlParameter<string[]> { TypedValue = [] };
        command.Parameters.Add(parameter);
        Record.Waits();
        while (_unsent.Count > 0 || await _outgoing.Reader.WaitToReadAsync(stoppingToken))
        {
            while (_unsent.Count < MaxBatch && _outgoing.Reader.TryRead(out var key)) _unsent.Add($"{_origin} {key}");
            parameter.TypedValue = [.. _unsent];
            var began = clock.GetTimestamp();
            await command.ExecuteNonQueryAsync(stoppingToken);
            Record.Ran(clock.GetElapsedTime(began));
            Record.Count("sent", _unsent.Count);
            _unsent.Clear();
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Lost the connection that carries wake-ups between server processes; polls go on, slower")]
    private static partial void LogLost(ILogger logger, Exception exception);

    [LoggerMessage(Level = LogLevel.Critical, Message = "A restore has begun on this database while the connection to it was lost; this server stops")]
    private static partial void LogRestored(ILogger logger);
}
