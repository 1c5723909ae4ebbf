using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Workstations;

namespace Tanjiren.Server.Identity.OAuth;

internal static class RevokeReason
{
    public const string SignedOut = "signed_out";
    public const string RefreshReused = "refresh_reused";
    public const string MemberRemoved = "member_removed";
}

internal sealed record GrantRow
{
    public string Id { get; init; } = "";
    public string UserId { get; init; } = "";
    public string OrganizationId { get; init; } = "";
    public string ClientId { get; init; } = "";
    public string? MachineName { get; init; }
    public long CreatedAt { get; init; }
    public long ExpiresAt { get; init; }
    public long? RotatedAt { get; init; }
    public long? LastUsedAt { get; init; }
    public long? RevokedAt { get; init; }

    public GrantBody ToBody(IReadOnlyList<string> workstations, string? current) => new()
    {
        Id = Id,
        Client = ClientId,
        MachineName = MachineName,
        CreatedAt = DateTimeOffset.FromUnixTimeMilliseconds(CreatedAt),
        // An access token's use is noted once a minute and forgotten with the token; its issue is remembered for good.
        LastUsedAt = Math.Max(LastUsedAt ?? 0, RotatedAt ?? 0) is > 0 and var at ? DateTimeOffset.FromUnixTimeMilliseconds(at) : null,
        ExpiresAt = DateTimeOffset.FromUnixTimeMilliseconds(ExpiresAt),
        Workstations = workstations,
        Current = Id == current,
    };
}

/// <summary>The sign-ins of clients: made, listed and ended here. <see cref="TokenRotation"/> keeps them alive.</summary>
internal sealed class GrantStore(InstanceDirectory instances, AuditLog audit, WakeUps wakeUps, TimeProvider clock)
{
    /// <summary>A grant whose first tokens are still to be fetched, until <paramref name="expiresAt"/>.</summary>
    public async Task<string> CreateAsync(
        WriteTransaction tx, string userId, string organizationId, string clientId, string scope, string? machineName, long expiresAt)
    {
        var now = clock.GetUtcNow();
        var id = Ids.New(Ids.Grant, now);
        await tx.ExecuteAsync("""
            INSERT INTO oauth_grants (id, user_id, organization_id, client_id, scope, machine_name, created_at, expires_at)
            VALUES (@id, @userId, @organizationId, @clientId, @scope, @machineName, @now, @expiresAt)
            """, new { id, userId, organizationId, clientId, scope, machineName, now = now.ToUnixTimeMilliseconds(), expiresAt });
        return id;
    }

    /// <summary>
    /// The caller's own sign-ins in this organization that still mean something, oldest first. One that has run out is listed while a workstation stands on it:
    /// nothing ends that workstation's access by itself, so its owner must see where to.
    /// </summary>
    public Task<IReadOnlyList<GrantRow>> ListAsync(SqlSession session, Caller caller, string after, int limit) => session.ListAsync<GrantRow>("""
        SELECT g.id, g.user_id, g.organization_id, g.client_id, g.machine_name, g.created_at, g.expires_at, g.rotated_at,
               (SELECT max(c.last_used_at) FROM credentials c WHERE c.grant_id = g.id) AS last_used_at
        FROM oauth_grants g
        WHERE g.user_id = @UserId AND g.organization_id = @OrganizationId AND g.revoked_at IS NULL AND g.id > @after
          AND (g.expires_at > @now OR EXISTS (SELECT 1 FROM instances i WHERE i.grant_id = g.id AND i.removed_at IS NULL))
        ORDER BY g.id LIMIT @limit
        """, new { caller.UserId, caller.OrganizationId, after, limit, now = NowMs() });

    /// <summary>One of the caller's own grants in this organization that has not been revoked.</summary>
    public Task<GrantRow?> FindOwnAsync(SqlSession session, Caller caller, string id) => session.FirstAsync<GrantRow>("""
        SELECT id, user_id, organization_id, client_id, machine_name, created_at, expires_at FROM oauth_grants
        WHERE id = @id AND user_id = @UserId AND organization_id = @OrganizationId AND revoked_at IS NULL
        """, new { id, caller.UserId, caller.OrganizationId });

    /// <summary>
    /// Ends a grant with everything that belongs to it, by one conditional UPDATE; its tokens and workstations are refused by the joins of their next requests.
    /// False: it had ended before. Hanging polls of its workstations and open streams of its user look again.
    /// </summary>
    public async Task<bool> RevokeAsync(WriteTransaction tx, string id, string reason, string actor, string? address)
    {
        var ended = await tx.FirstAsync<GrantRow>("""
            UPDATE oauth_grants SET revoked_at = @now, revoke_reason = @reason WHERE id = @id AND revoked_at IS NULL
            RETURNING id, user_id, organization_id, client_id, machine_name, created_at, expires_at
            """, new { id, reason, now = NowMs() });
        if (ended is null) return false;
        await audit.AppendAsync(tx, ended.OrganizationId, actor, reason == RevokeReason.RefreshReused ? "oauth.refresh_reused" : "oauth.revoked", id,
            $"{ended.ClientId} on {ended.MachineName ?? "an unnamed machine"}; {reason}", address);
        foreach (var instanceId in await instances.OfGrantAsync(tx, id)) tx.OnCommit(() => wakeUps.Notify(WakeUps.Work(instanceId)));
        tx.OnCommit(() => wakeUps.Notify(WakeUps.Access(ended.UserId)));
        return true;
    }

    /// <summary>Ends all grants of a user in the caller's organization; the audit log names the caller, who need not be that user.</summary>
    public async Task RevokeAllAsync(WriteTransaction tx, Caller caller, string userId, string reason)
    {
        var ids = await tx.ListAsync<string>(
            "SELECT id FROM oauth_grants WHERE user_id = @userId AND organization_id = @OrganizationId AND revoked_at IS NULL ORDER BY id", new { userId, caller.OrganizationId });
        foreach (var id in ids) await RevokeAsync(tx, id, reason, caller.UserId, caller.Address);
    }

    private long NowMs() => clock.GetUtcNow().ToUnixTimeMilliseconds();
}
