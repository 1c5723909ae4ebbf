using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Organizations;

namespace Tanjiren.Server.Governance;

internal sealed record DoctrineRow
{
    public string OrganizationId { get; init; } = "";
    public long Version { get; init; }
    public string Document { get; init; } = "";
    public string? CreatedBy { get; init; }
    public string? CreatedByEmail { get; init; }
    public long CreatedAt { get; init; }

    public DoctrineBody ToBody() => new()
    {
        Version = (int)Version, Document = Document, CreatedAt = DateTimeOffset.FromUnixTimeMilliseconds(CreatedAt), CreatedBy = CreatedBy, CreatedByEmail = CreatedByEmail,
    };

    public DoctrineVersionBody ToVersionBody() => new()
    {
        Version = (int)Version, CreatedAt = DateTimeOffset.FromUnixTimeMilliseconds(CreatedAt), CreatedBy = CreatedBy, CreatedByEmail = CreatedByEmail,
    };
}

internal enum DoctrineChange
{
    /// <summary>It is in force; also for a request that is repeated because its answer was lost, and for one that changes nothing.</summary>
    Applied,
    /// <summary>There is a newer version than the one that it was made from.</summary>
    Outdated,
    /// <summary>They are no admin, or none any more.</summary>
    Forbidden,
}

/// <summary><see cref="Row"/>: the version that is there now. <see cref="Why"/>: set when it is forbidden.</summary>
internal readonly record struct DoctrineOutcome(DoctrineChange Change, DoctrineRow Row, string? Why = null);

/// <summary>The versions of the doctrines. They are only ever added.</summary>
internal sealed class DoctrineStore(AuditLog audit, TimeProvider clock)
{
    private const string Select = """
        SELECT d.organization_id, d.version, d.document, d.created_by, u.email AS created_by_email, d.created_at
        FROM doctrine_versions d LEFT JOIN users u ON u.id = d.created_by
        WHERE d.organization_id = @organizationId
        """;

    /// <summary>0: it has none.</summary>
    public async Task<int> NewestVersionAsync(SqlSession sql, string organizationId) =>
        (int)await sql.FirstAsync<long>("SELECT version FROM doctrine_versions WHERE organization_id = @organizationId ORDER BY version DESC LIMIT 1", new { organizationId });

    public Task<DoctrineRow?> FindAsync(SqlSession sql, string organizationId, int version) =>
        sql.FirstAsync<DoctrineRow>(Select + " AND d.version = @version", new { organizationId, version });

    public Task<DoctrineRow?> NewestAsync(SqlSession sql, string organizationId) =>
        sql.FirstAsync<DoctrineRow>(Select + " ORDER BY d.version DESC LIMIT 1", new { organizationId });

    /// <summary>Newest first, those before a version.</summary>
    public Task<IReadOnlyList<DoctrineRow>> PageAsync(SqlSession sql, string organizationId, long before, int limit) =>
        sql.ListAsync<DoctrineRow>(Select + " AND d.version < @before ORDER BY d.version DESC LIMIT @limit", new { organizationId, before, limit });

    /// <summary>The first version of an organization that is made in this transaction.</summary>
    public Task BeginAsync(WriteTransaction tx, string organizationId, string document) =>
        InsertAsync(tx, organizationId, 1, document, createdBy: null);

    /// <summary>
    /// The next version after <paramref name="basedOn"/>. <paramref name="document"/> has been read without faults. By the role of this moment: what the request was
    /// admitted with may have been taken away while the document was compiled.
    /// </summary>
    public async Task<DoctrineOutcome> SetAsync(WriteTransaction tx, Caller caller, string document, int basedOn)
    {
        var (actor, _) = await MemberRow.LockAsync(tx, caller.OrganizationId, caller.UserId, caller.UserId);
        if (MembershipRules.Manage(actor?.ParsedRole) is { } why) return new DoctrineOutcome(DoctrineChange.Forbidden, new DoctrineRow(), why);
        var newest = await NewestAsync(tx, caller.OrganizationId) ?? new DoctrineRow();
        if (newest.Version == basedOn && newest.Document == document) return new DoctrineOutcome(DoctrineChange.Applied, newest);
        // Of two at once on PostgreSQL the second waits here for the first, and then finds the version taken.
        if (newest.Version == basedOn && await InsertAsync(tx, caller.OrganizationId, basedOn + 1, document, caller.UserId) == 1)
        {
            await audit.AppendAsync(tx, caller, "doctrine.changed", caller.OrganizationId, $"version {basedOn + 1}, based on {basedOn}");
            return new DoctrineOutcome(DoctrineChange.Applied, (await FindAsync(tx, caller.OrganizationId, basedOn + 1))!);
        }
        var now = await NewestAsync(tx, caller.OrganizationId) ?? newest;
        var repeated = now.Version == basedOn + 1 && now.Document == document && now.CreatedBy == caller.UserId;
        return new DoctrineOutcome(repeated ? DoctrineChange.Applied : DoctrineChange.Outdated, now);
    }

    private Task<int> InsertAsync(WriteTransaction tx, string organizationId, int version, string document, string? createdBy) => tx.ExecuteAsync("""
        INSERT INTO doctrine_versions (organization_id, version, document, created_by, created_at) VALUES (@organizationId, @version, @document, @createdBy, @createdAt)
        ON CONFLICT DO NOTHING
        """, new { organizationId, version, document, createdBy, createdAt = clock.GetUtcNow().ToUnixTimeMilliseconds() });
}
