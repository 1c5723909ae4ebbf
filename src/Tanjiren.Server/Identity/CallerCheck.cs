using Tanjiren.Server.Data;

namespace Tanjiren.Server.Identity;

/// <summary>For answers that take long: whether the one who asked may still read. A revoked token or grant, or a lost membership, ends an open stream.</summary>
internal sealed class CallerCheck(Database database, TimeProvider clock)
{
    public Task<bool> IsStillAllowedAsync(Caller caller, CancellationToken cancellationToken) => database.ReadAsync(sql => sql.FirstAsync<bool>("""
        SELECT EXISTS (SELECT 1 FROM credentials c
          JOIN memberships m ON m.organization_id = c.organization_id AND m.user_id = c.user_id
          LEFT JOIN oauth_grants g ON g.id = c.grant_id
          WHERE c.id = @credentialId AND c.revoked_at IS NULL AND c.expires_at > @now AND g.revoked_at IS NULL)
        """, new { credentialId = caller.CredentialId, now = clock.GetUtcNow().ToUnixTimeMilliseconds() }), cancellationToken);
}
