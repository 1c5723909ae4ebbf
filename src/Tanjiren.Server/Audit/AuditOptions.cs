namespace Tanjiren.Server.Audit;

/// <summary>Settings of the audit log: <c>Tanjiren:Audit</c>.</summary>
internal sealed class AuditOptions
{
    /// <summary>
    /// File that the signed heads of the audit chains are appended to, outside the database. Default: beside a SQLite file, as <c>FILE.audit-heads</c>; on PostgreSQL
    /// none is written. Each server process needs a file of its own.
    /// </summary>
    public string? HeadFile { get; init; }
}
