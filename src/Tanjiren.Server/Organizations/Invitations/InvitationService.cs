using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Identity;

namespace Tanjiren.Server.Organizations.Invitations;

internal enum InvitationChange
{
    Applied,
    /// <summary>It was revoked before.</summary>
    AlreadyDone,
    NotFound,
    /// <summary>A role rule forbids it.</summary>
    Forbidden,
    /// <summary>Somebody came in by it.</summary>
    Accepted,
    /// <summary>The invited address is a member's.</summary>
    AlreadyMember,
}

internal readonly record struct InvitationOutcome(InvitationChange Change, InvitationRow? Row = null, string? Code = null, string? Why = null);

/// <summary>
/// What admins do with invitations. An invitation ends with its maker's right to make it: it is revoked in the transaction that takes the right away, and
/// made under the lock of the maker's membership, so none is made behind that transaction's back.
/// </summary>
internal sealed class InvitationService(Database database, AuditLog audit, TimeProvider clock)
{
    /// <summary>Of a code. It is never typed, so it may be long: guessing is no way in.</summary>
    private const int Bits = 160;

    private const string Select = "SELECT id, email, role, created_by, created_at, expires_at, accepted_at, accepted_by, revoked_at FROM invitations";

    public Task<InvitationOutcome> CreateAsync(Caller caller, string? email, Role role, TimeSpan lifetime, CancellationToken cancellationToken) =>
        database.WriteAsync<InvitationOutcome>(async tx =>
        {
            var (actor, _) = await MemberRow.LockAsync(tx, caller.OrganizationId, caller.UserId, caller.UserId);
            if (MembershipRules.Invite(actor?.ParsedRole, role) is { } why) return new InvitationOutcome(InvitationChange.Forbidden, Why: why);
            if (email is not null && await tx.FirstAsync<string>("""
                SELECT m.user_id FROM memberships m JOIN users u ON u.id = m.user_id WHERE m.organization_id = @OrganizationId AND u.email = @email
                """, new { caller.OrganizationId, email }) is not null)
                return new InvitationOutcome(InvitationChange.AlreadyMember);

            var now = clock.GetUtcNow();
            var code = Ids.Secret(Bits);
            var row = new InvitationRow
            {
                Id = Ids.New(Ids.Invitation, now), Email = email, Role = Name(role), CreatedBy = caller.UserId,
                CreatedAt = now.ToUnixTimeMilliseconds(), ExpiresAt = (now + lifetime).ToUnixTimeMilliseconds(),
            };
            await tx.ExecuteAsync("""
                INSERT INTO invitations (id, organization_id, secret_hash, email, role, created_by, created_at, expires_at)
                VALUES (@Id, @OrganizationId, @hash, @Email, @Role, @CreatedBy, @CreatedAt, @ExpiresAt)
                """, new { row.Id, caller.OrganizationId, hash = CredentialSecret.HashOf(code), row.Email, row.Role, row.CreatedBy, row.CreatedAt, row.ExpiresAt });
            await audit.AppendAsync(tx, caller, "invitation.created", row.Id, Describe(row));
            return new InvitationOutcome(InvitationChange.Applied, row, code);
        }, cancellationToken);

    /// <summary>All of the organization that are not long over, oldest first.</summary>
    public Task<IReadOnlyList<InvitationRow>> ListAsync(Caller caller, string after, int limit, CancellationToken cancellationToken) =>
        database.ReadAsync(session => session.ListAsync<InvitationRow>(Select + " WHERE organization_id = @OrganizationId AND id > @after ORDER BY id LIMIT @limit",
            new { caller.OrganizationId, after, limit }), cancellationToken);

    public Task<InvitationOutcome> RevokeAsync(Caller caller, string id, CancellationToken cancellationToken) =>
        database.WriteAsync<InvitationOutcome>(async tx =>
        {
            var (actor, _) = await MemberRow.LockAsync(tx, caller.OrganizationId, caller.UserId, caller.UserId);
            if (MembershipRules.Manage(actor?.ParsedRole) is { } why) return new InvitationOutcome(InvitationChange.Forbidden, Why: why);
            var revoked = await RevokeAsync(tx, caller, id);
            var row = await tx.FirstAsync<InvitationRow>(Select + " WHERE id = @id AND organization_id = @OrganizationId", new { id, caller.OrganizationId });
            if (row is null) return new InvitationOutcome(InvitationChange.NotFound);
            if (row.AcceptedAt is not null) return new InvitationOutcome(InvitationChange.Accepted, row);
            if (!revoked) return new InvitationOutcome(InvitationChange.AlreadyDone, row);
            await audit.AppendAsync(tx, caller, "invitation.revoked", id, Describe(row));
            return new InvitationOutcome(InvitationChange.Applied, row);
        }, cancellationToken);

    /// <summary>
    /// Revokes the open invitations that a member made and may not make with the role <paramref name="now"/> (null: no member any more), and those to their own
    /// address above that role. Without it who is about to be removed would keep a way back in, and who is about to be lowered a way back up.
    /// </summary>
    public async Task RevokeBeyondAsync(WriteTransaction tx, Caller caller, MemberRow member, Role? now)
    {
        foreach (var row in await ListOpenAsync(tx, caller, "(created_by = @UserId OR email = @Email)", member.UserId, member.Email))
        {
            if (row.CreatedBy == member.UserId && MembershipRules.Invite(now, row.ParsedRole) is not null)
                await RevokeAsync(tx, caller, row, $"{member.UserId} may no longer invite with this role");
            else if (row.Email == member.Email && (now is null || row.ParsedRole > now))
                await RevokeAsync(tx, caller, row, $"{member.UserId} shall not come back with this role");
        }
    }

    /// <summary>
    /// Revokes what else is open to the address of somebody who has just joined: a spare would outlast their removal. Joining locks an invitation before the membership,
    /// a removal after it: the two may deadlock, and the database's victim is run again (<see cref="Database.WriteAsync"/>).
    /// </summary>
    public async Task RevokeSparesAsync(WriteTransaction tx, Caller joined)
    {
        foreach (var row in await ListOpenAsync(tx, joined, "email = @Email", joined.UserId, joined.Email)) await RevokeAsync(tx, joined, row, $"{joined.UserId} has come in by another");
    }

    private Task<IReadOnlyList<InvitationRow>> ListOpenAsync(WriteTransaction tx, Caller caller, string whose, string userId, string email) =>
        tx.ListAsync<InvitationRow>($"{Select} WHERE organization_id = @OrganizationId AND {whose} AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > @at ORDER BY id",
            new { caller.OrganizationId, UserId = userId, Email = email, at = NowMs() });

    private async Task RevokeAsync(WriteTransaction tx, Caller caller, InvitationRow row, string why)
    {
        if (!await RevokeAsync(tx, caller, row.Id)) return; // accepted at this very moment: that came first
        await audit.AppendAsync(tx, caller, "invitation.revoked", row.Id, $"{Describe(row)}; {why}");
    }

    private async Task<bool> RevokeAsync(WriteTransaction tx, Caller caller, string id) => await tx.ExecuteAsync("""
        UPDATE invitations SET revoked_at = @at WHERE id = @id AND organization_id = @OrganizationId AND accepted_at IS NULL AND revoked_at IS NULL
        """, new { at = NowMs(), id, caller.OrganizationId }) > 0;

    private long NowMs() => clock.GetUtcNow().ToUnixTimeMilliseconds();

    private static string Describe(InvitationRow row) => $"{row.Email ?? "whoever has the link"} as {row.Role}";

    private static string Name(Role role) => role.ToString().ToLowerInvariant();
}
