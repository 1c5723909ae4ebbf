using System.ComponentModel;
using System.Diagnostics;
using Npgsql;
using Tanjiren.Server.Data;
using Tanjiren.Server.Data.Postgres;

namespace Tanjiren.Server.Backups;

/// <summary>
/// Copies of a PostgreSQL database by its own programs, <c>pg_dump</c> and <c>pg_restore</c>, in the custom format. While a restore works, a lock keeps servers off
/// (<see cref="PostgresProvider.ServingLock"/>); after one that broke off, a table does (<see cref="UnfinishedTable"/>).
/// </summary>
internal sealed class PostgresDump(string url) : IDatabaseDump
{
    /// <summary>While it exists, the leases and tasks of a restored database have not been made safe: no server may serve it.</summary>
    public const string UnfinishedTable = "restore_unfinished";

    private readonly NpgsqlConnectionStringBuilder _connection = new(DatabaseUrl.PostgresConnectionString(url)) { Pooling = false };

    public string Kind => "postgres";

    public async Task<string> DumpAsync(string to, CancellationToken cancellationToken)
    {
        string? level;
        try
        {
            level = await ScalarAsync<string>("SELECT max(script) FROM schema_migrations", cancellationToken);
        }
        catch (PostgresException e) when (e.SqlState == PostgresErrorCodes.UndefinedTable)
        {
            level = null;
        }
        if (level is null) throw new BackupException($"'{_connection.Database}' is not the database of a control plane", "name the one that the server uses with --database");
        await RunAsync("pg_dump", ["--format=custom", "--no-owner", "--no-privileges", "--file", to], cancellationToken);
        return level;
    }

    public async Task LoadAsync(string dump, bool force, Func<string, Task> finish, CancellationToken cancellationToken)
    {
        // Its lock keeps servers off for the whole time; closed with the process, whatever becomes of that.
        await using var alone = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(_connection.ConnectionString) { KeepAlive = 15 }.ConnectionString);
        await alone.OpenAsync(cancellationToken);
        await using (var command = new NpgsqlCommand($"SELECT pg_try_advisory_lock({PostgresProvider.ServingLock})", alone))
            if (await command.ExecuteScalarAsync(cancellationToken) is not true) throw new BackupException("a control plane runs on this database, or another restore", "stop all of them first");
        await RequireNoServerAsync(cancellationToken);
        var tables = await ScalarAsync<string>("SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables WHERE schemaname = current_schema()", cancellationToken);
        if (tables is not null && !force)
            throw new BackupException($"'{_connection.Database}' is not empty", "restore into a new database (createdb), or give up every table in it with --force");
        // In one transaction: at no moment is the place empty, for a server would make a new database of it.
        await ExecuteAsync($"{(tables is null ? "" : $"DROP TABLE {tables} CASCADE; ")}DROP FUNCTION IF EXISTS tanjiren_now(); CREATE TABLE {UnfinishedTable} (since TIMESTAMPTZ NOT NULL DEFAULT now())", cancellationToken);
        await RequireNoServerAsync(cancellationToken);
        await RunAsync("pg_restore", ["--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction", "--dbname", _connection.Database!, dump], cancellationToken);
        await finish(url);
        // By the connection that has the lock: had it been lost, this would fail, and the place stay unfit to be served.
        await using var finished = new NpgsqlCommand($"DROP TABLE {UnfinishedTable}", alone);
        await finished.ExecuteNonQueryAsync(cancellationToken);
    }

    /// <summary>A server whose connection with the lock is lost for a moment shows by its others.</summary>
    private async Task RequireNoServerAsync(CancellationToken cancellationToken)
    {
        if (await ScalarAsync<long>($"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = '{PostgresProvider.LastingName}'", cancellationToken) > 0)
            throw new BackupException("a control plane runs on this database", "stop all of them first");
    }

    /// <summary>Refuses to serve a database whose restore has not come to its end.</summary>
    /// <exception cref="FormatException">It has not.</exception>
    public static async Task RequireFinishedAsync(Database database, CancellationToken cancellationToken)
    {
        if (await database.ReadAsync(sql => sql.FirstAsync<bool>($"SELECT to_regclass('{UnfinishedTable}') IS NOT NULL"), cancellationToken))
            throw new FormatException("A restore into this database did not come to its end. Run `tanvrit-compute server restore --force` again.");
    }

    private async Task<T?> ScalarAsync<T>(string sql, CancellationToken cancellationToken)
    {
        await using var connection = new NpgsqlConnection(_connection.ConnectionString);
        await connection.OpenAsync(cancellationToken);
        await using var command = new NpgsqlCommand(sql, connection);
        return await command.ExecuteScalarAsync(cancellationToken) is T value ? value : default;
    }

    private async Task ExecuteAsync(string sql, CancellationToken cancellationToken)
    {
        await using var connection = new NpgsqlConnection(_connection.ConnectionString);
        await connection.OpenAsync(cancellationToken);
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(cancellationToken);
    }

    private async Task RunAsync(string program, IEnumerable<string> arguments, CancellationToken cancellationToken)
    {
        var start = new ProcessStartInfo(program, arguments) { UseShellExecute = false, RedirectStandardError = true, RedirectStandardInput = true };
        // By the environment: arguments are for everybody to read.
        void Set(string variable, string? value)
        {
            if (!string.IsNullOrEmpty(value)) start.Environment[variable] = value;
        }
        Set("PGHOST", _connection.Host);
        Set("PGPORT", _connection.Port.ToString(System.Globalization.CultureInfo.InvariantCulture));
        Set("PGUSER", _connection.Username);
        Set("PGPASSWORD", _connection.Password);
        Set("PGDATABASE", _connection.Database);
        if (_connection.SslMode != SslMode.Prefer)
            Set("PGSSLMODE", _connection.SslMode switch { SslMode.VerifyCA => "verify-ca", SslMode.VerifyFull => "verify-full", var mode => mode.ToString().ToLowerInvariant() });
        Process process;
        try
        {
            process = Process.Start(start)!;
        }
        catch (Win32Exception e)
        {
            throw new BackupException($"{program} is not installed", $"install PostgreSQL's client programs (Debian: postgresql-client), of the database server's version or newer, or put {program} on the PATH", e);
        }
        using (process)
        {
            process.StandardInput.Close();
            try
            {
                var said = await process.StandardError.ReadToEndAsync(cancellationToken);
                await process.WaitForExitAsync(cancellationToken);
                if (process.ExitCode != 0) throw new BackupException($"{program} failed: {said.Trim()}", $"see what {program} says; its version must be the database server's or newer");
            }
            catch (OperationCanceledException)
            {
                process.Kill();
                throw;
            }
        }
    }
}
