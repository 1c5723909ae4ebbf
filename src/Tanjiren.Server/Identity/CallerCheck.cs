using Tanjiren.Protocol;
using Tanjiren.Server.Data;

namespace Tanjiren.Server.Identity;

/// <summary>
/// For answers that take long: whether the one who asked may still read. A revoked token or grant, a lost membership or a role below what the route needs ends an open
/// stream; <see cref="Hosting.WakeUps.Access"/> says when to ask.
/// </summary>
internal sealed class CallerCheck(Database database, TimeProvider clock)
{
    /// <summary>Asks the database anew, by the role that the route of this request requires.</summary>
    public async Task<bool> IsStillAllowedAsync(Caller caller, HttpContext context)
    {
        var least = context.GetEndpoint()!.Metadata.GetRequiredMetadata<RoleRequirement>().Role;
        var role = await database.ReadAsync(sql => sql.FirstAsync<string>("""
            SELECT m.role FROM credentials c
            JOIN memberships m ON m.organization_id = c.organization_id AND m.user_id = c.user_id
            LEFT JOIN oauth_grants g ON g.id = c.grant_id
            WHERE c.id = @credentialId AND c.revoked_at IS NULL AND c.expires_at > @now AND g.revoked_at IS NULL
            """, new { credentialId = caller.CredentialId, now = clock.GetUtcNow().ToUnixTimeMilliseconds() }), context.RequestAborted);
        return role is not null && Enum.Parse<Role>(role, ignoreCase: true) >= least;
    }
}
