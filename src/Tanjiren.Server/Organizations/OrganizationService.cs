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
        database.WriteAsync(tx => FoundAsync(tx, caller.UserId, clock.GetUtcNow(), name, StartDoctrine.Shared, name, caller.Address), cancellationToken);

    /// <summary>
    /// The one that a person gets with their account: theirs alone, so it begins without rules. What it is called without a name tells nothing of the person:
    /// names are unique on a server, so anybody can find out which are taken.
    /// </summary>
    /// <param name="tx">In which the account is made.</param>
    /// <param name="userId">Its owner.</param>
    /// <param name="now">When the account is made, and whatever else it begins with: a clock that is stepped in between must not make one of them the older.</param>
    /// <param name="name">Null, or taken: one is made up.</param>
    /// <param name="address">Of the owner, for the audit log.</param>
    /// <param name="madeBy">Who makes the account, if not its owner: for the audit log too.</param>
    public async Task<OrganizationBody> CreatePersonalAsync(WriteTransaction tx, string userId, DateTimeOffset now, string? name, string? address, string? madeBy = null)
    {
        for (var tried = name ?? MadeUp(); ; tried = MadeUp())
        {
            var detail = madeBy is null ? tried : $"{tried}, with an account that {madeBy} made";
            if (await FoundAsync(tx, userId, now, tried, StartDoctrine.Personal, detail, address) is { } made) return made;
        }
        static string MadeUp() => "personal-" + Ids.Secret(bits: 40);
    }

    public Task<IReadOnlyList<OrganizationRow>> ListAsync(Caller caller, string after, int limit, CancellationToken cancellationToken) =>
        database.ReadAsync(session => session.ListAsync<OrganizationRow>("""
            SELECT o.id, o.name FROM organizations o JOIN memberships m ON m.organization_id = o.id
            WHERE m.user_id = @UserId AND o.id > @after ORDER BY o.id LIMIT @limit
            """, new { caller.UserId, after, limit }), cancellationToken);

    private async Task<OrganizationBody?> FoundAsync(
        WriteTransaction tx, string userId, DateTimeOffset now, string name, string doctrine, string detail, string? address)
    {
        var row = new { id = Ids.New(Ids.Organization, now), name, createdAt = now.ToUnixTimeMilliseconds(), userId };
        var made = await tx.ExecuteAsync("INSERT INTO organizations (id, name, created_at) VALUES (@id, @name, @createdAt) ON CONFLICT (name) DO NOTHING", row);
        if (made == 0) return null;
        await tx.ExecuteAsync("INSERT INTO memberships (organization_id, user_id, role, created_at) VALUES (@id, @userId, 'owner', @createdAt)", row);
        await doctrines.BeginAsync(tx, row.id, doctrine);
        await audit.AppendAsync(tx, row.id, userId, "organization.created", row.id, detail, address);
        return new OrganizationBody { Id = row.id, Name = name };
    }
}
