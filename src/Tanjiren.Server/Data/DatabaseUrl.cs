using Npgsql;
using Tanjiren.Server.Data.Postgres;
using Tanjiren.Server.Data.Sqlite;

namespace Tanjiren.Server.Data;

/// <summary>Turns the <c>--database</c> setting into a provider: <c>sqlite:PATH</c> or <c>postgres://user:password@host:port/name?option=…</c>.</summary>
internal static class DatabaseUrl
{
    /// <exception cref="FormatException">The text is neither form; the message says which forms there are.</exception>
    public static ISqlProvider Open(string url, TimeProvider clock)
    {
        if (url.StartsWith("sqlite:", StringComparison.Ordinal) && url.Length > "sqlite:".Length)
            return new SqliteProvider(url["sqlite:".Length..], clock);
        if (url.StartsWith("postgres://", StringComparison.Ordinal) || url.StartsWith("postgresql://", StringComparison.Ordinal))
            return new PostgresProvider(PostgresConnectionString(url));
        throw NotUnderstood(url);
    }

    internal static FormatException NotUnderstood(string url) => new($"The database '{url}' is neither sqlite:PATH nor postgres://USER:PASSWORD@HOST:PORT/NAME.");

    /// <summary>The libpq URL form in Npgsql's own words; query parameters pass through (<c>?Maximum Pool Size=50</c>); <c>host</c> may be a socket directory.</summary>
    internal static string PostgresConnectionString(string url)
    {
        var uri = new Uri(url);
        var builder = new NpgsqlConnectionStringBuilder
        {
            Database = Uri.UnescapeDataString(uri.AbsolutePath.TrimStart('/')),
            // A claim's transaction is a handful of short statements: preparing them once a connection saves their planning.
            MaxAutoPrepare = 100,
            AutoPrepareMinUsages = 2,
            // Nothing here leaves settings or locks on a session, so the six statements that clean one up before its next use clean nothing.
            NoResetOnClose = true,
        };
        if (uri.Host.Length > 0) builder.Host = uri.Host;
        if (uri.Port > 0) builder.Port = uri.Port;
        var user = uri.UserInfo.Split(':', 2);
        if (user[0].Length > 0) builder.Username = Uri.UnescapeDataString(user[0]);
        if (user.Length > 1) builder.Password = Uri.UnescapeDataString(user[1]);
        foreach (var pair in uri.Query.TrimStart('?').Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            var parts = pair.Split('=', 2);
            builder[Uri.UnescapeDataString(parts[0])] = parts.Length > 1 ? Uri.UnescapeDataString(parts[1]) : "";
        }
        return builder.ConnectionString;
    }
}
