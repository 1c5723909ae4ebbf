using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Identity;

namespace Tanjiren.Server.Organizations;

/// <summary>
/// Somebody in whose name the server acts without a request of theirs: a tick of their schedule, a retry of their task. With the role that they have at that moment, so
/// what was taken from a person is taken from their schedules too.
/// </summary>
internal static class ActingMember
{
    /// <summary>They, if they are a member (or more) of the organization now; else null.</summary>
    public static async Task<Caller?> FindAsync(SqlSession sql, string organizationId, string userId)
    {
        var row = await sql.FirstAsync<Row>("""
            SELECT u.email, o.name AS organization_name, m.role FROM memberships m JOIN users u ON u.id = m.user_id JOIN organizations o ON o.id = m.organization_id
            WHERE m.organization_id = @organizationId AND m.user_id = @userId
            """, new { organizationId, userId });
        if (row is null || Enum.Parse<Role>(row.Role, ignoreCase: true) is var role && role < Role.Member) return null;
        return new Caller(userId, row.Email, organizationId, row.OrganizationName, role, CredentialId: "", Address: null);
    }

    private sealed record Row
    {
        public string Email { get; init; } = "";
        public string OrganizationName { get; init; } = "";
        public string Role { get; init; } = "";
    }
}
