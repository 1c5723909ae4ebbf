using Tanjiren.Protocol;
using Tanjiren.Server.Data;

namespace Tanjiren.Server.Identity;

internal enum CredentialKind
{
    /// <summary>The cookie of a browser.</summary>
    Session,
    /// <summary>A personal access token.</summary>
    Token,
}

/// <summary>Sessions and personal access tokens. Each belongs to one user in one organization.</summary>
internal sealed class CredentialStore(Database database, TimeProvider clock)
{
    private const long TouchIntervalMs = 60_000;

    /// <summary>
    /// Who shows this secret, with the membership of this moment: one statement, so there is no time in between in which a removed member or a
    /// revoked token still passes. Null: unknown, expired, revoked, or no longer a member.
    /// </summary>
    public async Task<Caller?> AuthenticateAsync(CredentialSecret secret, CredentialKind kind, string? address, CancellationToken cancellationToken)
    {
        var now = NowMs();
        var row = await database.ReadAsync(session => session.FirstAsync<CallerRow>("""
            SELECT c.id, c.user_id, u.email, c.organization_id, o.name AS organization_name, m.role, c.last_used_at
            FROM credentials c
            JOIN users u ON u.id = c.user_id
            JOIN organizations o ON o.id = c.organization_id
            JOIN memberships m ON m.organization_id = c.organization_id AND m.user_id = c.user_id
            WHERE c.secret_hash = @hash AND c.kind = @kind AND c.revoked_at IS NULL AND c.expires_at > @now
            """, new { hash = secret.Hash, kind = Name(kind), now }), cancellationToken);
        if (row is null) return null;
        if (row.LastUsedAt is null || row.LastUsedAt < now - TouchIntervalMs) await TouchAsync(row.Id, now, cancellationToken);
        return new Caller(row.UserId, row.Email, row.OrganizationId, row.OrganizationName, Enum.Parse<Role>(row.Role, ignoreCase: true), row.Id, address);
    }

    /// <summary>Makes a credential; the secret exists nowhere else.</summary>
    public async Task<(TokenBody Token, CredentialSecret Secret)> IssueAsync(
        WriteTransaction tx, CredentialKind kind, string userId, string organizationId, string name, TimeSpan lifetime)
    {
        var secret = CredentialSecret.New();
        var now = clock.GetUtcNow();
        var token = new TokenBody { Id = Ids.New(Ids.Token, now), Name = name, CreatedAt = now, ExpiresAt = now + lifetime };
        await tx.ExecuteAsync("""
            INSERT INTO credentials (id, kind, user_id, organization_id, name, secret_hash, created_at, expires_at)
            VALUES (@Id, @kind, @userId, @organizationId, @name, @hash, @createdAt, @expiresAt)
            """, new
        {
            token.Id, kind = Name(kind), userId, organizationId, name, hash = secret.Hash,
            createdAt = now.ToUnixTimeMilliseconds(), expiresAt = token.ExpiresAt.ToUnixTimeMilliseconds(),
        });
        return (token, secret);
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

    /// <summary>Ends everything that a user holds in an organization: they are no longer a member, and must not be again by an old token.</summary>
    public Task RevokeAllAsync(WriteTransaction tx, string organizationId, string userId) =>
        tx.ExecuteAsync("UPDATE credentials SET revoked_at = @now WHERE organization_id = @organizationId AND user_id = @userId AND revoked_at IS NULL",
            new { now = NowMs(), organizationId, userId });

    private Task TouchAsync(string id, long now, CancellationToken cancellationToken) => database.WriteAsync(
        tx => tx.ExecuteAsync("UPDATE credentials SET last_used_at = @now WHERE id = @id AND (last_used_at IS NULL OR last_used_at < @before)",
            new { now, id, before = now - TouchIntervalMs }), cancellationToken);

    private long NowMs() => clock.GetUtcNow().ToUnixTimeMilliseconds();

    private static string Name(CredentialKind kind) => kind == CredentialKind.Session ? "session" : "token";

    private sealed record CallerRow
    {
        public string Id { get; init; } = "";
        public string UserId { get; init; } = "";
        public string Email { get; init; } = "";
        public string OrganizationId { get; init; } = "";
        public string OrganizationName { get; init; } = "";
        public string Role { get; init; } = "";
        public long? LastUsedAt { get; init; }
    }
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
