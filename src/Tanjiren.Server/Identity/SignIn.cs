using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Identity;

internal readonly record struct SignInOutcome(Problem? Refusal, Caller? Caller = null, CredentialSecret Secret = default, DateTimeOffset ExpiresAt = default);

/// <summary>Password sign-in. What goes wrong is told alike for unknown e-mails and wrong passwords, in the same time.</summary>
internal sealed class SignIn(
    Database database, CredentialStore credentials, Passwords passwords, AttemptLimiter limiter, AuditLog audit, Counters counters, IdentityOptions options)
{
    public async Task<SignInOutcome> WithPasswordAsync(
        string email, string password, string? organization, IPAddress? address, CancellationToken cancellationToken)
    {
        var (refusal, userId) = await ProveAsync(email, password, address, cancellationToken);
        if (refusal is not null) return new SignInOutcome(refusal);

        // The one that they have been in longest. Their own began in the same instant as the membership that the account was made for, which goes first.
        var membership = await database.ReadAsync(session => session.FirstAsync<MembershipRow>("""
            SELECT m.organization_id, o.name AS organization_name, m.role FROM memberships m JOIN organizations o ON o.id = m.organization_id
            WHERE m.user_id = @userId AND (@organization IS NULL OR o.id = @organization OR o.name = @organization)
            ORDER BY CASE WHEN o.id = @organization THEN 0 ELSE 1 END, m.created_at, CASE WHEN m.role = 'owner' THEN 1 ELSE 0 END, m.organization_id
            """, new { userId, organization }), cancellationToken);
        if (membership is null)
            return new SignInOutcome(organization is null
                ? Problem.Of(403, ErrorCode.Forbidden, "You are in no organization.", "Ask an admin to invite you.")
                : Problem.Of(404, ErrorCode.NotFound, $"There is no organization '{organization}' that you are in.", "Leave it out to sign in to the one that you have been in longest."));

        return await StartSessionAsync(
            new Caller(userId!, email, membership.OrganizationId, membership.OrganizationName, Enum.Parse<Role>(membership.Role, ignoreCase: true), "", address?.ToString()),
            cancellationToken);
    }

    /// <summary>Whose password this is. Everything that takes a password asks here, so that all of them together have one limit.</summary>
    public async Task<(Problem? Refusal, string? UserId)> ProveAsync(string email, string password, IPAddress? address, CancellationToken cancellationToken)
    {
        var window = TimeSpan.FromSeconds(options.LoginWindowSeconds);
        var accountKey = "login-account:" + email;
        // The address first: one address can then not use up the accounts' windows, nor the limiter's room.
        if ((limiter.Take("login-address:" + AttemptLimiter.KeyOf(address), options.LoginsPerAddress, window)
            ?? limiter.Take(accountKey, options.LoginsPerAccount, window)) is { } seconds)
        {
            counters.Add(Counted.LoginsLimited);
            return (TooMany("sign-ins", seconds), null);
        }

        var user = await database.ReadAsync(session => session.FirstAsync<UserRow>(
            "SELECT id, password_hash FROM users WHERE email = @email", new { email }), cancellationToken);
        if (!passwords.Verify(user?.PasswordHash, password) || user is null)
        {
            counters.Add(Counted.LoginsRefused);
            return (Problem.Of(401, ErrorCode.InvalidCredentials, "The e-mail or the password is wrong.",
                "Check both; an admin of your organization can tell whether you have an account."), null);
        }
        limiter.Clear(accountKey);
        return (null, user.Id);
    }

    /// <summary>A session of somebody whose password or invitation was just seen; refused when they were removed since.</summary>
    public async Task<SignInOutcome> StartSessionAsync(Caller caller, CancellationToken cancellationToken)
    {
        var issued = await database.WriteAsync(async tx =>
        {
            var made = await credentials.IssueToMemberAsync(tx, CredentialKind.Session, caller.UserId, caller.OrganizationId, "browser", TimeSpan.FromHours(options.SessionHours));
            if (made is { Token.Id: var id }) await audit.AppendAsync(tx, caller, "identity.signed_in", id);
            return made;
        }, cancellationToken);
        return issued is { } session
            ? new SignInOutcome(null, caller with { CredentialId = session.Token.Id }, session.Secret, session.Token.ExpiresAt)
            : new SignInOutcome(NoLongerMember());
    }

    public static IdentityBody Describe(Caller caller) => new()
    {
        UserId = caller.UserId,
        Email = caller.Email,
        Organization = new OrganizationBody { Id = caller.OrganizationId, Name = caller.OrganizationName },
        Role = caller.Role,
    };

    public static Problem NoLongerMember() =>
        Problem.Of(403, ErrorCode.Forbidden, "You are no longer a member of this organization.", "Ask an admin to invite you.");

    public static Problem TooMany(string what, int seconds) =>
        new(Problem.Of(429, ErrorCode.RateLimited, $"Too many {what}.", $"Try again in {seconds} s.").Value) { RetryAfterSeconds = seconds };

    private sealed record UserRow
    {
        public string Id { get; init; } = "";
        public string? PasswordHash { get; init; }
    }

    private sealed record MembershipRow
    {
        public string OrganizationId { get; init; } = "";
        public string OrganizationName { get; init; } = "";
        public string Role { get; init; } = "";
    }
}
