using Tanjiren.Protocol;
using Tanjiren.Server.Data;

namespace Tanjiren.Server.Organizations;

internal sealed record MemberRow
{
    public string UserId { get; init; } = "";
    public string Email { get; init; } = "";
    public string? Name { get; init; }
    public string Role { get; init; } = "";

    public Role ParsedRole => Enum.Parse<Role>(Role, ignoreCase: true);

    public MemberBody ToBody() => new() { UserId = UserId, Email = Email, Name = Name, Role = ParsedRole };

    /// <summary>How many people the organization has.</summary>
    public static Task<long> CountAsync(SqlSession sql, string organizationId) =>
        sql.FirstAsync<long>("SELECT count(*) FROM memberships WHERE organization_id = @organizationId", new { organizationId });

    /// <summary>
    /// The memberships of the one who acts and of the one who is acted on, held until the end of the transaction, so that the roles that the rules see are
    /// the roles that count: what a request was admitted with may have been taken away since. Always in the order of their ids, so that two who act on each other wait
    /// rather than lock each other out.
    /// </summary>
    public static async Task<(MemberRow? Actor, MemberRow? Member)> LockAsync(WriteTransaction tx, string organizationId, string actorId, string userId)
    {
        var rows = await tx.ListAsync<MemberRow>("""
            SELECT m.user_id, (SELECT u.email FROM users u WHERE u.id = m.user_id) AS email, (SELECT u.name FROM users u WHERE u.id = m.user_id) AS name, m.role
            FROM memberships m WHERE m.organization_id = @organizationId AND m.user_id IN (@actorId, @userId) ORDER BY m.user_id
            """ + tx.ForUpdate, new { organizationId, actorId, userId });
        return (rows.FirstOrDefault(row => row.UserId == actorId), rows.FirstOrDefault(row => row.UserId == userId));
    }
}
