using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Identity;

namespace Tanjiren.Server.Audit;

/// <summary>Who did what, when, from where: decisions of people and credentials. A row is written in the transaction of the change that it records.</summary>
internal sealed class AuditLog(TimeProvider clock)
{
    public Task AppendAsync(WriteTransaction tx, Caller caller, string action, string subject, string? detail = null) =>
        AppendAsync(tx, caller.OrganizationId, caller.UserId, action, subject, detail, caller.Address);

    /// <summary>For actors without a request of their own: a pairing workstation, the server at its set-up.</summary>
    public Task AppendAsync(WriteTransaction tx, string? organizationId, string actor, string action, string subject, string? detail, string? address) =>
        tx.ExecuteAsync("""
            INSERT INTO audit_events (id, organization_id, at, actor, action, subject, detail, address)
            VALUES (@id, @organizationId, @at, @actor, @action, @subject, @detail, @address)
            """,
            new
            {
                id = Ids.New(Ids.AuditEvent, clock), organizationId, at = clock.GetUtcNow().ToUnixTimeMilliseconds(), actor, action, subject, detail, address,
            });
}
