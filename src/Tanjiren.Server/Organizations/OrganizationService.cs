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

/// <summary>Makes and lists organizations. Each begins with one member, its owner, and a doctrine.</summary>
internal sealed class OrganizationService(Database database, DoctrineStore doctrines, AuditLog audit, TimeProvider clock)
{
    /// <summary>One for sharing. Null when the name is taken.</summary>
    public Task<OrganizationBody?> CreateAsync(Caller caller, string name, CancellationToken cancellationToken) =>
        database.WriteAsync(tx => FoundAsync(tx, caller.UserId, name, StartDoctrine.Shared, caller.Address), cancellationToken);

    /// <summary>
    /// The one that a person gets with their account: theirs alone, so it begins without rules. What it is called without a name tells nothing of the person:
    /// names are unique on a server, so anybody can find out which are taken.
    /// </summary>
    /// <param name="tx">In which the account is made.</param>
    /// <param name="userId">Its owner.</param>
    /// <param name="name">Null, or taken: one is made up.</param>
    /// <param name="address">Of that person, for the audit log; null when somebody else makes their account.</param>
    public async Task<OrganizationBody> CreatePersonalAsync(WriteTransaction tx, string userId, string? name, string? address)
    {
        for (var tried = name ?? MadeUp(); ; tried = MadeUp())
        {
            if (await FoundAsync(tx, userId, tried, StartDoctrine.Personal, address) is { } made) return made;
        }
        static string MadeUp() => "personal-" + Ids.Secret(bits: 40);
    }

    public Task<IReadOnlyList<OrganizationRow>> ListAsync(Caller caller, string after, int limit, CancellationToken cancellationToken) =>
        database.ReadAsync(session => session.ListAsync<OrganizationRow>("""
            SELECT o.id, o.name FROM organizations o JOIN memberships m ON m.organization_id = o.id
            WHERE m.user_id = @UserId AND o.id > @after ORDER BY o.id LIMIT @limit
            """, new { caller.UserId, after, limit }), cancellationToken);

    private async Task<OrganizationBody?> FoundAsync(WriteTransaction tx, string userId, string name, string doctrine, string? address)
    {
        var now = clock.GetUtcNow();
        var row = new { id = Ids.New(Ids.Organization, now), name, createdAt = now.ToUnixTimeMilliseconds(), userId };
        var made = await tx.ExecuteAsync("INSERT INTO organizations (id, name, created_at) VALUES (@id, @name, @createdAt) ON CONFLICT (name) DO NOTHING", row);
        if (made == 0) return null;
        await tx.ExecuteAsync("INSERT INTO memberships (organization_id, user_id, role, created_at) VALUES (@id, @userId, 'owner', @createdAt)", row);
        await doctrines.BeginAsync(tx, row.id, doctrine);
        await audit.AppendAsync(tx, row.id, userId, "organization.created", row.id, name, address);
        return new OrganizationBody { Id = row.id, Name = name };
    }
}
