using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Identity;

namespace Tanjiren.Server.Organizations;

internal enum MemberChange
{
    Applied,
    NotFound,
    /// <summary>A role rule forbids it.</summary>
    Forbidden,
    /// <summary>The e-mail belongs to a user of this server already.</summary>
    EmailTaken,
}

internal sealed record OrganizationRow
{
    public string Id { get; init; } = "";
    public string Name { get; init; } = "";
}

internal sealed record MemberRow
{
    public string UserId { get; init; } = "";
    public string Email { get; init; } = "";
    public string Role { get; init; } = "";

    public Role ParsedRole => Enum.Parse<Role>(Role, ignoreCase: true);

    public MemberBody ToBody() => new() { UserId = UserId, Email = Email, Role = ParsedRole };
}

/// <summary>Makes organizations and changes memberships; each one transaction with its audit row.</summary>
internal sealed class OrganizationService(Database database, AuditLog audit, CredentialStore credentials, Passwords passwords, TimeProvider clock)
{
    private const string SelectMember = """
        SELECT m.user_id, u.email, m.role FROM memberships m JOIN users u ON u.id = m.user_id WHERE m.organization_id = @OrganizationId
        """;

    /// <summary>Null when the name is taken.</summary>
    public async Task<OrganizationBody?> CreateAsync(Caller caller, string name, CancellationToken cancellationToken) => await database.WriteAsync(async tx =>
    {
        var now = clock.GetUtcNow();
        var row = new { id = Ids.New(Ids.Organization, now), name, createdAt = now.ToUnixTimeMilliseconds(), caller.UserId };
        var made = await tx.ExecuteAsync("INSERT INTO organizations (id, name, created_at) VALUES (@id, @name, @createdAt) ON CONFLICT (name) DO NOTHING", row);
        if (made == 0) return null;
        await tx.ExecuteAsync("INSERT INTO memberships (organization_id, user_id, role, created_at) VALUES (@id, @UserId, 'owner', @createdAt)", row);
        await audit.AppendAsync(tx, caller with { OrganizationId = row.id }, "organization.created", row.id, name);
        return new OrganizationBody { Id = row.id, Name = name };
    }, cancellationToken);

    public Task<IReadOnlyList<OrganizationRow>> ListAsync(Caller caller, string after, int limit, CancellationToken cancellationToken) =>
        database.ReadAsync(session => session.ListAsync<OrganizationRow>("""
            SELECT o.id, o.name FROM organizations o JOIN memberships m ON m.organization_id = o.id
            WHERE m.user_id = @UserId AND o.id > @after ORDER BY o.id LIMIT @limit
            """, new { caller.UserId, after, limit }), cancellationToken);

    public Task<IReadOnlyList<MemberRow>> ListMembersAsync(Caller caller, string after, int limit, CancellationToken cancellationToken) =>
        database.ReadAsync(session => session.ListAsync<MemberRow>(SelectMember + " AND m.user_id > @after ORDER BY m.user_id LIMIT @limit",
            new { caller.OrganizationId, after, limit }), cancellationToken);

    /// <summary>
    /// Makes a user with a first password and adds them. A user who exists is not added: whoever made that account, perhaps in another organization, may
    /// know its password, and would get into this one by it. They come in by invitation, which they accept themselves.
    /// </summary>
    public async Task<(MemberChange Change, MemberRow? Member)> AddAsync(
        Caller caller, string email, string password, Role role, CancellationToken cancellationToken)
    {
        var hash = passwords.Hash(password); // outside of the transaction: it takes tens of milliseconds
        return await database.WriteAsync<(MemberChange, MemberRow?)>(async tx =>
        {
            var now = clock.GetUtcNow();
            var row = new { id = Ids.New(Ids.User, now), email, hash, createdAt = now.ToUnixTimeMilliseconds(), caller.OrganizationId, role = Name(role) };
            var made = await tx.ExecuteAsync("INSERT INTO users (id, email, password_hash, created_at) VALUES (@id, @email, @hash, @createdAt) ON CONFLICT (email) DO NOTHING", row);
            if (made == 0) return (MemberChange.EmailTaken, null);
            await tx.ExecuteAsync("INSERT INTO memberships (organization_id, user_id, role, created_at) VALUES (@OrganizationId, @id, @role, @createdAt)", row);
            await audit.AppendAsync(tx, caller, "member.added", row.id, $"{email} as {row.role}");
            return (MemberChange.Applied, new MemberRow { UserId = row.id, Email = email, Role = row.role });
        }, cancellationToken);
    }

    public Task<(MemberChange Change, string? Why, MemberRow? Member)> ChangeRoleAsync(Caller caller, string userId, Role role, CancellationToken cancellationToken) =>
        database.WriteAsync<(MemberChange, string?, MemberRow?)>(async tx =>
        {
            if (await LockAsync(tx, caller, userId) is not { } member) return (MemberChange.NotFound, null, null);
            if ((MembershipRules.Touch(caller.Role, member.ParsedRole) ?? MembershipRules.Grant(caller.Role, role)) is { } why) return (MemberChange.Forbidden, why, null);
            await tx.ExecuteAsync("UPDATE memberships SET role = @role WHERE organization_id = @OrganizationId AND user_id = @userId",
                new { role = Name(role), caller.OrganizationId, userId });
            await audit.AppendAsync(tx, caller, "member.role_changed", userId, $"{member.Role} to {Name(role)}");
            return (MemberChange.Applied, null, member with { Role = Name(role) });
        }, cancellationToken);

    public Task<(MemberChange Change, string? Why)> RemoveAsync(Caller caller, string userId, CancellationToken cancellationToken) =>
        database.WriteAsync<(MemberChange, string?)>(async tx =>
        {
            if (await LockAsync(tx, caller, userId) is not { } member) return (MemberChange.NotFound, null);
            if (MembershipRules.Touch(caller.Role, member.ParsedRole) is { } why) return (MemberChange.Forbidden, why);
            await tx.ExecuteAsync("DELETE FROM memberships WHERE organization_id = @OrganizationId AND user_id = @userId", new { caller.OrganizationId, userId });
            await credentials.RevokeAllAsync(tx, caller.OrganizationId, userId);
            await audit.AppendAsync(tx, caller, "member.removed", userId, $"{member.Email}, was {member.Role}");
            return (MemberChange.Applied, null);
        }, cancellationToken);

    /// <summary>The membership, held until the end of the transaction, so that the role that the rules see is the role that is changed.</summary>
    private static Task<MemberRow?> LockAsync(WriteTransaction tx, Caller caller, string userId) =>
        tx.FirstAsync<MemberRow>("""
            SELECT m.user_id, (SELECT u.email FROM users u WHERE u.id = m.user_id) AS email, m.role FROM memberships m
            WHERE m.organization_id = @OrganizationId AND m.user_id = @userId
            """ + tx.ForUpdate, new { caller.OrganizationId, userId });

    private static string Name(Role role) => role.ToString().ToLowerInvariant();
}
