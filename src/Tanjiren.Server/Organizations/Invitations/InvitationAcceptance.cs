using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Organizations.Invitations;

/// <summary>What an invitation offers, for the page that asks whether to accept it. Not the address that it is for: who found the link is not told.</summary>
internal sealed record InvitationOffer
{
    public string OrganizationName { get; init; } = "";
    public string Role { get; init; } = "";
}

/// <summary>A checked request to accept. <paramref name="Name"/> is set for a person who has no account.</summary>
internal sealed record Acceptance(string Code, string Email, string Password, string? Name)
{
    public string Hash { get; } = CredentialSecret.HashOf(Code);

    /// <summary>Redacted: secrets must not reach a log by way of a record.</summary>
    public override string ToString() => "invitation for " + Email;
}

/// <summary>Turns an invitation into a membership, once. It takes the code, and the password of the account that shall join.</summary>
internal sealed class InvitationAcceptance(
    Database database, SignIn signIn, Passwords passwords, InvitationService invitations, OrganizationService organizations, AuditLog audit, Counters counters, TimeProvider clock)
{
    private enum JoinResult
    {
        Joined,
        /// <summary>Unknown, used, expired, revoked or for another address: deliberately one and the same to the outside.</summary>
        Invalid,
        AlreadyMember,
        EmailTaken,
    }

    /// <summary>Null: the code does not work.</summary>
    public Task<InvitationOffer?> FindAsync(string code, CancellationToken cancellationToken) =>
        database.ReadAsync(session => session.FirstAsync<InvitationOffer>("""
            SELECT o.name AS organization_name, i.role FROM invitations i JOIN organizations o ON o.id = i.organization_id
            WHERE i.secret_hash = @hash AND i.accepted_at IS NULL AND i.revoked_at IS NULL AND i.expires_at > @now
            """, new { hash = CredentialSecret.HashOf(code), now = NowMs() }), cancellationToken);

    /// <summary>The new member, or a refusal. The code comes first: without one that works no password is looked at.</summary>
    public async Task<(Problem? Refusal, Caller? Member)> AcceptAsync(Acceptance acceptance, IPAddress? address, CancellationToken cancellationToken)
    {
        var use = await database.ReadAsync(session => session.FirstAsync<UseRow>("""
            SELECT accepted_by FROM invitations
            WHERE secret_hash = @Hash AND revoked_at IS NULL AND expires_at > @now AND (email IS NULL OR email = @Email)
            """, new { acceptance.Hash, acceptance.Email, now = NowMs() }), cancellationToken);
        if (use is null) return (Invalid(), null);

        if (acceptance.Name is not null && use.AcceptedBy is null)
        {
            var passwordHash = passwords.Hash(acceptance.Password); // outside of the transaction: it takes tens of milliseconds
            var (made, newcomer) = await JoinAsync(acceptance, Ids.New(Ids.User, clock), passwordHash, address, cancellationToken);
            // The address has an account after all: then this must be its password.
            if (made != JoinResult.EmailTaken) return Answer(made, newcomer);
        }
        var (refusal, userId) = await signIn.ProveAsync(acceptance.Email, acceptance.Password, address, cancellationToken);
        // Only the one who used a code learns that it was used.
        if (refusal is not null) return (use.AcceptedBy is not null && refusal.StatusCode == 401 ? Invalid() : refusal, null);
        var (result, member) = await JoinAsync(acceptance, userId!, null, address, cancellationToken);
        return Answer(result, member);
    }

    public static Problem Invalid() => Problem.Of(422, ErrorCode.InvalidInvitation,
        "The invitation does not work: it is wrong, used, expired or revoked, or it is for another e-mail address.",
        "Use the address that was invited, or ask the one who invited you for a new link.");

    private static (Problem? Refusal, Caller? Member) Answer(JoinResult result, Caller? member) => result switch
    {
        JoinResult.Joined => (null, member),
        JoinResult.AlreadyMember => (Problem.Conflict(ErrorCode.StateConflict, $"You are a member of '{member!.OrganizationName}' already.",
            "Sign in there; an admin can change your role. The invitation was not used up.", "member"), null),
        _ => (Invalid(), null),
    };

    /// <param name="acceptance">What was sent.</param>
    /// <param name="userId">Who joins.</param>
    /// <param name="passwordHash">For a new account, which is then made with that id; null: the account exists and its password was shown.</param>
    /// <param name="address">From where, for the audit log.</param>
    /// <param name="cancellationToken">Ends the wait, not a begun commit.</param>
    private Task<(JoinResult Result, Caller? Member)> JoinAsync(
        Acceptance acceptance, string userId, string? passwordHash, IPAddress? address, CancellationToken cancellationToken) =>
        database.WriteAsync<(JoinResult, Caller?)>(async tx =>
        {
            var now = NowMs();
            // One conditional UPDATE: of two who use one code, one joins. What follows may find that the code must not be used up; it gives it back unseen.
            var taken = await tx.FirstAsync<TakenRow>("""
                UPDATE invitations SET accepted_at = @now, accepted_by = @userId
                WHERE secret_hash = @Hash AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > @now AND (email IS NULL OR email = @Email)
                RETURNING id, organization_id, role
                """, new { acceptance.Hash, acceptance.Email, userId, now });
            if (taken is null) return await FindEarlierAsync(tx, acceptance, userId, now, address) is { } earlier ? (JoinResult.Joined, earlier) : (JoinResult.Invalid, null);

            if (passwordHash is not null && await tx.ExecuteAsync("""
                INSERT INTO users (id, email, password_hash, name, created_at) VALUES (@userId, @Email, @passwordHash, @Name, @now) ON CONFLICT (email) DO NOTHING
                """, new { userId, acceptance.Email, passwordHash, acceptance.Name, now }) == 0)
            {
                await GiveBackAsync(tx, taken);
                return (JoinResult.EmailTaken, null);
            }
            var joined = await tx.ExecuteAsync("""
                INSERT INTO memberships (organization_id, user_id, role, created_at) VALUES (@OrganizationId, @userId, @Role, @now)
                ON CONFLICT (organization_id, user_id) DO NOTHING
                """, new { taken.OrganizationId, userId, taken.Role, now });
            var member = await MemberAsync(tx, taken.OrganizationId, userId, acceptance.Email, address);
            if (joined == 0)
            {
                await GiveBackAsync(tx, taken);
                return (JoinResult.AlreadyMember, member);
            }
            tx.OnCommit(() => counters.Add(Counted.InvitationsAccepted));
            await audit.AppendAsync(tx, member!, "invitation.accepted", taken.Id, $"{acceptance.Email} as {taken.Role}{(passwordHash is null ? "" : ", a new account")}");
            await invitations.RevokeSparesAsync(tx, member!);
            if (passwordHash is not null) await organizations.CreatePersonalAsync(tx, userId, DateTimeOffset.FromUnixTimeMilliseconds(now), name: null, member!.Address);
            return (JoinResult.Joined, member);
        }, cancellationToken);

    /// <summary>The same person with the same code before: the answer was lost, here it is again.</summary>
    private static async Task<Caller?> FindEarlierAsync(WriteTransaction tx, Acceptance acceptance, string userId, long now, IPAddress? address)
    {
        var organizationId = await tx.FirstAsync<string>(
            "SELECT organization_id FROM invitations WHERE secret_hash = @Hash AND accepted_by = @userId AND expires_at > @now", new { acceptance.Hash, userId, now });
        return organizationId is null ? null : await MemberAsync(tx, organizationId, userId, acceptance.Email, address);
    }

    private static Task GiveBackAsync(WriteTransaction tx, TakenRow taken) =>
        tx.ExecuteAsync("UPDATE invitations SET accepted_at = NULL, accepted_by = NULL WHERE id = @Id", new { taken.Id });

    private static async Task<Caller?> MemberAsync(WriteTransaction tx, string organizationId, string userId, string email, IPAddress? address)
    {
        var row = await tx.FirstAsync<InvitationOffer>("""
            SELECT o.name AS organization_name, m.role FROM memberships m JOIN organizations o ON o.id = m.organization_id
            WHERE m.organization_id = @organizationId AND m.user_id = @userId
            """, new { organizationId, userId });
        return row is null ? null : new Caller(userId, email, organizationId, row.OrganizationName, Enum.Parse<Role>(row.Role, ignoreCase: true), "", address?.ToString());
    }

    private long NowMs() => clock.GetUtcNow().ToUnixTimeMilliseconds();

    private sealed record UseRow
    {
        public string? AcceptedBy { get; init; }
    }

    private sealed record TakenRow
    {
        public string Id { get; init; } = "";
        public string OrganizationId { get; init; } = "";
        public string Role { get; init; } = "";
    }
}
