using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Identity.OAuth;

namespace Tanjiren.Server.Identity;

internal enum CredentialKind
{
    /// <summary>The cookie of a browser.</summary>
    Session,
    /// <summary>A personal access token.</summary>
    Token,
    /// <summary>An access token of an OAuth grant.</summary>
    OAuth,
}

/// <summary>How a secret was shown. What is good for one way is not for the other.</summary>
internal enum CredentialUse
{
    Cookie,
    Bearer,
}

/// <summary>Sessions, personal access tokens and OAuth access tokens. Each belongs to one user in one organization.</summary>
internal sealed class CredentialStore(Database database, GrantStore grants, TimeProvider clock)
{
    private const long TouchIntervalMs = 60_000;

    /// <summary>
    /// Who shows this secret, with the membership of this moment: one statement, so there is no time in between in which a removed member or a
    /// revoked token or grant still passes. Null: unknown, expired, revoked, or no longer a member.
    /// </summary>
    public async Task<Caller?> AuthenticateAsync(CredentialSecret secret, CredentialUse use, string? address, CancellationToken cancellationToken)
    {
        var now = NowMs();
        var row = await database.ReadAsync(session => session.FirstAsync<CallerRow>("""
            SELECT c.id, c.user_id, u.email, c.organization_id, o.name AS organization_name, m.role, c.last_used_at, c.grant_id
            FROM credentials c
            JOIN users u ON u.id = c.user_id
            JOIN organizations o ON o.id = c.organization_id
            JOIN memberships m ON m.organization_id = c.organization_id AND m.user_id = c.user_id
            LEFT JOIN oauth_grants g ON g.id = c.grant_id
            WHERE c.secret_hash = @hash AND (c.kind = 'session') = @byCookie AND c.revoked_at IS NULL AND c.expires_at > @now AND g.revoked_at IS NULL
            """, new { hash = secret.Hash, byCookie = use == CredentialUse.Cookie, now }), cancellationToken);
        if (row is null) return null;
        if (row.LastUsedAt is null || row.LastUsedAt < now - TouchIntervalMs) await TouchAsync(row.Id, now, cancellationToken);
        return new Caller(row.UserId, row.Email, row.OrganizationId, row.OrganizationName, Enum.Parse<Role>(row.Role, ignoreCase: true), row.Id, address, row.GrantId);
    }

    /// <summary>Makes a credential; the secret exists nowhere else.</summary>
    public async Task<(TokenBody Token, CredentialSecret Secret)> IssueAsync(
        WriteTransaction tx, CredentialKind kind, string userId, string organizationId, string name, TimeSpan lifetime, string? grantId = null)
    {
        var secret = CredentialSecret.New();
        var now = clock.GetUtcNow();
        var token = new TokenBody { Id = Ids.New(Ids.Token, now), Name = name, CreatedAt = now, ExpiresAt = now + lifetime };
        await tx.ExecuteAsync("""
            INSERT INTO credentials (id, kind, user_id, organization_id, grant_id, name, secret_hash, created_at, expires_at)
            VALUES (@Id, @kind, @userId, @organizationId, @grantId, @name, @hash, @createdAt, @expiresAt)
            """, new
        {
            token.Id, kind = Name(kind), userId, organizationId, grantId, name, hash = secret.Hash,
            createdAt = now.ToUnixTimeMilliseconds(), expiresAt = token.ExpiresAt.ToUnixTimeMilliseconds(),
        });
        return (token, secret);
    }

    /// <summary>
    /// The same for somebody who was a member a moment ago; null when they are one no more. The membership is held to the end: a removal at the same moment
    /// either comes first and is seen, or comes after and ends this credential too.
    /// </summary>
    public async Task<(TokenBody Token, CredentialSecret Secret)?> IssueToMemberAsync(
        WriteTransaction tx, CredentialKind kind, string userId, string organizationId, string name, TimeSpan lifetime)
    {
        var member = await tx.FirstAsync<string>("SELECT user_id FROM memberships WHERE organization_id = @organizationId AND user_id = @userId" + tx.ForUpdate,
            new { organizationId, userId });
        return member is null ? null : await IssueAsync(tx, kind, userId, organizationId, name, lifetime);
    }

    /// <summary>The caller's own tokens in this organization that still work, oldest first.</summary>
    public Task<IReadOnlyList<TokenRow>> ListTokensAsync(Caller caller, string after, int limit, CancellationToken cancellationToken) =>
        database.ReadAsync(session => session.ListAsync<TokenRow>("""
            SELECT id, name, created_at, expires_at, last_used_at FROM credentials
            WHERE kind = 'token' AND user_id = @UserId AND organization_id = @OrganizationId AND revoked_at IS NULL AND expires_at > @now AND id > @after
            ORDER BY id LIMIT @limit
            """, new { caller.UserId, caller.OrganizationId, now = NowMs(), after, limit }), cancellationToken);

    /// <summary>Ends one of the caller's own credentials. False: there is none such that still works.</summary>
    public async Task<bool> RevokeAsync(WriteTransaction tx, Caller caller, CredentialKind kind, string id) =>
        await tx.ExecuteAsync("""
            UPDATE credentials SET revoked_at = @now
            WHERE id = @id AND kind = @kind AND user_id = @UserId AND organization_id = @OrganizationId AND revoked_at IS NULL
            """, new { now = NowMs(), id, kind = Name(kind), caller.UserId, caller.OrganizationId }) > 0;

    /// <summary>Ends everything that a user holds in the caller's organization: they are no longer a member, and must not be again by an old token.</summary>
    public async Task RevokeAllAsync(WriteTransaction tx, Caller caller, string userId)
    {
        await tx.ExecuteAsync("UPDATE credentials SET revoked_at = @now WHERE organization_id = @OrganizationId AND user_id = @userId AND revoked_at IS NULL",
            new { now = NowMs(), caller.OrganizationId, userId });
        await grants.RevokeAllAsync(tx, caller, userId, RevokeReason.MemberRemoved);
    }

    /// <summary>Ends an access token of this client by its secret (RFC 7009). Null: there is none such that still works.</summary>
    public Task<AccessTokenRow?> RevokeAccessTokenAsync(WriteTransaction tx, CredentialSecret secret, string clientId) => tx.FirstAsync<AccessTokenRow>("""
        UPDATE credentials SET revoked_at = @now WHERE secret_hash = @hash AND kind = 'oauth' AND revoked_at IS NULL AND expires_at > @now
          AND EXISTS (SELECT 1 FROM oauth_grants g WHERE g.id = credentials.grant_id AND g.client_id = @clientId AND g.revoked_at IS NULL)
        RETURNING id, user_id, organization_id, grant_id
        """, new { now = NowMs(), hash = secret.Hash, clientId });

    private Task TouchAsync(string id, long now, CancellationToken cancellationToken) => database.WriteAsync(
        tx => tx.ExecuteAsync("UPDATE credentials SET last_used_at = @now WHERE id = @id AND (last_used_at IS NULL OR last_used_at < @before)",
            new { now, id, before = now - TouchIntervalMs }), cancellationToken);

    private long NowMs() => clock.GetUtcNow().ToUnixTimeMilliseconds();

    private static string Name(CredentialKind kind) => kind switch
    {
        CredentialKind.Session => "session",
        CredentialKind.OAuth => "oauth",
        _ => "token",
    };

    private sealed record CallerRow
    {
        public string Id { get; init; } = "";
        public string UserId { get; init; } = "";
        public string Email { get; init; } = "";
        public string OrganizationId { get; init; } = "";
        public string OrganizationName { get; init; } = "";
        public string Role { get; init; } = "";
        public long? LastUsedAt { get; init; }
        public string? GrantId { get; init; }
    }
}

/// <summary>An access token that was ended, with whom and what it belonged to.</summary>
internal sealed record AccessTokenRow
{
    public string Id { get; init; } = "";
    public string UserId { get; init; } = "";
    public string OrganizationId { get; init; } = "";
    public string GrantId { get; init; } = "";
}

internal sealed record TokenRow
{
    public string Id { get; init; } = "";
    public string Name { get; init; } = "";
    public long CreatedAt { get; init; }
    public long ExpiresAt { get; init; }
    public long? LastUsedAt { get; init; }

    public TokenBody ToBody() => new()
    {
        Id = Id,
        Name = Name,
        CreatedAt = DateTimeOffset.FromUnixTimeMilliseconds(CreatedAt),
        ExpiresAt = DateTimeOffset.FromUnixTimeMilliseconds(ExpiresAt),
        LastUsedAt = LastUsedAt is { } at ? DateTimeOffset.FromUnixTimeMilliseconds(at) : null,
    };
}
