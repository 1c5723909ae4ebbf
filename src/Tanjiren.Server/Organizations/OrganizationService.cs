using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Governance;
using Tanjiren.Server.Identity;

namespace Tanjiren.Server.Organizations;

internal sealed record OrganizationRow
{
    public string Id { get; init; } = "";
    public string Name { get; init; } = "";
}

/// <summary>Makes and lists organizations.</summary>
internal sealed class OrganizationService(Database database, DoctrineStore doctrines, AuditLog audit, TimeProvider clock)
{
    /// <summary>Null when the name is taken.</summary>
    public async Task<OrganizationBody?> CreateAsync(Caller caller, string name, CancellationToken cancellationToken) => await database.WriteAsync(async tx =>
    {
        var now = clock.GetUtcNow();
        var row = new { id = Ids.New(Ids.Organization, now), name, createdAt = now.ToUnixTimeMilliseconds(), caller.UserId };
        var made = await tx.ExecuteAsync("INSERT INTO organizations (id, name, created_at) VALUES (@id, @name, @createdAt) ON CONFLICT (name) DO NOTHING", row);
        if (made == 0) return null;
        await tx.ExecuteAsync("INSERT INTO memberships (organization_id, user_id, role, created_at) VALUES (@id, @UserId, 'owner', @createdAt)", row);
        await doctrines.BeginAsync(tx, row.id, StartDoctrine.Shared);
        await audit.AppendAsync(tx, caller with { OrganizationId = row.id }, "organization.created", row.id, name);
        return new OrganizationBody { Id = row.id, Name = name };
    }, cancellationToken);

    public Task<IReadOnlyList<OrganizationRow>> ListAsync(Caller caller, string after, int limit, CancellationToken cancellationToken) =>
        database.ReadAsync(session => session.ListAsync<OrganizationRow>("""
            SELECT o.id, o.name FROM organizations o JOIN memberships m ON m.organization_id = o.id
            WHERE m.user_id = @UserId AND o.id > @after ORDER BY o.id LIMIT @limit
            """, new { caller.UserId, after, limit }), cancellationToken);
}
