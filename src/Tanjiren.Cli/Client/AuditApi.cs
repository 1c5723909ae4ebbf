using Tanjiren.Protocol;

namespace Tanjiren.Cli.Client;

/// <summary>The routes of the audit log.</summary>
internal sealed class AuditApi(ApiClient api)
{
    /// <summary>A page, newest first; <paramref name="filter"/>: parts of the query that have a value restrict.</summary>
    public Task<Page<AuditEventBody>> ListAsync((string Name, string? Value)[] filter, int limit, string? cursor, CancellationToken cancellation) =>
        api.GetAsync("/api/audit-events" + Query.Of([.. filter, ("limit", limit.ToString()), ("cursor", cursor)]), WireJson.Default.PageAuditEventBody, cancellation);

    /// <summary>The export as it comes, JSON Lines. One that breaks off has no head at its end.</summary>
    public Task<Stream> ExportAsync(CancellationToken cancellation) => api.OpenAsync("/api/audit-events/export", cancellation);
}
