using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Organizations.Invitations;

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

/// <summary><see cref="Why"/> is set when it is forbidden, <see cref="Member"/> (as it is now) when it was applied.</summary>
internal readonly record struct MemberOutcome(MemberChange Change, MemberRow? Member = null, string? Why = null)
{
    public static MemberOutcome Forbidden(string why) => new(MemberChange.Forbidden, Why: why);
}

/// <summary>
/// Changes memberships; each one transaction with its audit row, judged by the roles of that moment. Whoever may do less afterwards is woken: their open
/// streams look again, and end.
/// </summary>
internal sealed class MembershipService(
    Database database, AuditLog audit, CredentialStore credentials, Passwords passwords, InvitationService invitations, OrganizationService organizations, PairingCodes pairingCodes,
    WakeUps wakeUps, TimeProvider clock)
{
    public Task<IReadOnlyList<MemberRow>> ListAsync(Caller caller, string after, int limit, CancellationToken cancellationToken) =>
        database.ReadAsync(session => session.ListAsync<MemberRow>("""
            SELECT m.user_id, u.email, u.name, m.role FROM memberships m JOIN users u ON u.id = m.user_id
            WHERE m.organization_id = @OrganizationId AND m.user_id > @after ORDER BY m.user_id LIMIT @limit
            """, new { caller.OrganizationId, after, limit }), cancellationToken);

    /// <summary>
    /// Makes a user with a first password, and an organization of their own, and adds them. A user who exists is not added: whoever made that account, perhaps in
    /// another organization, may know its password, and would get into this one by it. They come in by invitation, which they accept themselves.
    /// </summary>
    public async Task<MemberOutcome> AddAsync(Caller caller, string email, string password, Role role, CancellationToken cancellationToken)
    {
        var hash = passwords.Hash(password); // outside of the transaction: it takes tens of milliseconds
        return await database.WriteAsync<MemberOutcome>(async tx =>
        {
            var (actor, _) = await MemberRow.LockAsync(tx, caller.OrganizationId, caller.UserId, caller.UserId);
            if (MembershipRules.Invite(actor?.ParsedRole, role) is { } why) return MemberOutcome.Forbidden(why);
            var now = clock.GetUtcNow();
            var row = new { id = Ids.New(Ids.User, now), email, hash, createdAt = now.ToUnixTimeMilliseconds(), caller.OrganizationId, role = Name(role) };
            var made = await tx.ExecuteAsync("INSERT INTO users (id, email, password_hash, created_at) VALUES (@id, @email, @hash, @createdAt) ON CONFLICT (email) DO NOTHING", row);
            if (made == 0) return new MemberOutcome(MemberChange.EmailTaken);
            await tx.ExecuteAsync("INSERT INTO memberships (organization_id, user_id, role, created_at) VALUES (@OrganizationId, @id, @role, @createdAt)", row);
            await audit.AppendAsync(tx, caller, "member.added", row.id, $"{email} as {row.role}");
            await organizations.CreatePersonalAsync(tx, row.id, now, name: null, address: null, madeBy: caller.UserId);
            return new MemberOutcome(MemberChange.Applied, new MemberRow { UserId = row.id, Email = email, Role = row.role });
        }, cancellationToken);
    }

    public Task<MemberOutcome> ChangeRoleAsync(Caller caller, string userId, Role role, CancellationToken cancellationToken) =>
        database.WriteAsync<MemberOutcome>(async tx =>
        {
            var (actor, member) = await MemberRow.LockAsync(tx, caller.OrganizationId, caller.UserId, userId);
            if (MembershipRules.Manage(actor?.ParsedRole) is { } stranger) return MemberOutcome.Forbidden(stranger);
            if (member is null) return new MemberOutcome(MemberChange.NotFound);
            if ((MembershipRules.Touch(actor!.ParsedRole, member.ParsedRole) ?? MembershipRules.Grant(actor.ParsedRole, role)) is { } why) return MemberOutcome.Forbidden(why);
            if (member.ParsedRole == role) return new MemberOutcome(MemberChange.Applied, member); // the answer to the first try was lost
            await SetRoleAsync(tx, caller, userId, role);
            await invitations.RevokeBeyondAsync(tx, caller, member, role);
            if (MembershipRules.Manage(role) is not null) await pairingCodes.VoidAsync(tx, caller, userId);
            await audit.AppendAsync(tx, caller, "member.role_changed", userId, $"{member.Email} from {member.Role} to {Name(role)}");
            return new MemberOutcome(MemberChange.Applied, member with { Role = Name(role) });
        }, cancellationToken);

    /// <summary>Removes a member; who removes themselves leaves, which needs no role but not to be the owner.</summary>
    public Task<MemberOutcome> RemoveAsync(Caller caller, string userId, CancellationToken cancellationToken) =>
        database.WriteAsync<MemberOutcome>(async tx =>
        {
            var leaves = userId == caller.UserId;
            var (actor, member) = await MemberRow.LockAsync(tx, caller.OrganizationId, caller.UserId, userId);
            if (!leaves && MembershipRules.Manage(actor?.ParsedRole) is { } stranger) return MemberOutcome.Forbidden(stranger);
            if (member is null) return new MemberOutcome(MemberChange.NotFound);
            if ((leaves ? MembershipRules.Leave(member.ParsedRole) : MembershipRules.Touch(actor!.ParsedRole, member.ParsedRole)) is { } why) return MemberOutcome.Forbidden(why);
            await tx.ExecuteAsync("DELETE FROM memberships WHERE organization_id = @OrganizationId AND user_id = @userId", new { caller.OrganizationId, userId });
            await credentials.RevokeAllAsync(tx, caller, userId);
            await invitations.RevokeBeyondAsync(tx, caller, member, null);
            await pairingCodes.VoidAsync(tx, caller, userId);
            await audit.AppendAsync(tx, caller, leaves ? "member.left" : "member.removed", userId, $"{member.Email}, was {member.Role}");
            tx.OnCommit(() => wakeUps.Notify(WakeUps.Access(userId)));
            return new MemberOutcome(MemberChange.Applied, member);
        }, cancellationToken);

    /// <summary>Makes another member the owner and the owner an admin. Of two transfers at once the second finds that its caller owns nothing any more.</summary>
    public Task<MemberOutcome> TransferAsync(Caller caller, string userId, CancellationToken cancellationToken) =>
        database.WriteAsync<MemberOutcome>(async tx =>
        {
            var (owner, member) = await MemberRow.LockAsync(tx, caller.OrganizationId, caller.UserId, userId);
            if (owner is not { ParsedRole: Role.Owner }) return MemberOutcome.Forbidden("You are no longer the owner of this organization.");
            if (member is null) return new MemberOutcome(MemberChange.NotFound);
            // In this order: the unique index never sees two owners.
            await SetRoleAsync(tx, caller, caller.UserId, Role.Admin);
            await SetRoleAsync(tx, caller, userId, Role.Owner);
            await audit.AppendAsync(tx, caller, "organization.ownership_transferred", caller.OrganizationId, $"from {owner.Email} to {member.Email} ({userId}), was {member.Role}");
            return new MemberOutcome(MemberChange.Applied, member with { Role = Name(Role.Owner) });
        }, cancellationToken);

    private async Task SetRoleAsync(WriteTransaction tx, Caller caller, string userId, Role role)
    {
        await tx.ExecuteAsync("UPDATE memberships SET role = @role WHERE organization_id = @OrganizationId AND user_id = @userId",
            new { role = Name(role), caller.OrganizationId, userId });
        tx.OnCommit(() => wakeUps.Notify(WakeUps.Access(userId)));
    }

    private static string Name(Role role) => role.ToString().ToLowerInvariant();
}
