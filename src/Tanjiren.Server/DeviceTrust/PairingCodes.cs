using System.Data.Common;
using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Organizations;
using Tanjiren.Server.Workstations;

namespace Tanjiren.Server.DeviceTrust;

internal enum PairResult
{
    Applied,
    /// <summary>The same code with the same key before: the answer was lost, here it is again.</summary>
    AlreadyDone,
    /// <summary>Unknown, used with another key, or expired: deliberately one and the same to the outside.</summary>
    InvalidCode,
    /// <summary>The workstation has another active key.</summary>
    WorkstationHasKey,
    /// <summary>The key is or was bound to a workstation.</summary>
    KeyIsBound,
}

internal enum CodeKind
{
    /// <summary>Binds the first key of a workstation.</summary>
    Pairing,
    /// <summary>Lets a machine ask for another key in place of a lost one.</summary>
    Recovery,
}

/// <summary>
/// <see cref="Why"/> is set when it is forbidden. Without a code: there is no such workstation, or it has a key (to pair it), or none (to recover it).
/// </summary>
internal readonly record struct NewPairingCode(InstanceRow? Row = null, PairingCodeBody? Code = null, string? Why = null);

internal sealed record PairedWorkstation
{
    public string Id { get; init; } = "";
    public string Name { get; init; } = "";
    public string OrganizationId { get; init; } = "";
    public string OrganizationName { get; init; } = "";
}

/// <summary>One-time codes that bind a workstation's key: 50 bits, stored hashed, single use by one conditional UPDATE (D-03).</summary>
internal sealed class PairingCodes(Database database, InstanceDirectory directory, AuditLog audit, DeviceTrustOptions options, TimeProvider clock)
{
    private const int Bits = 50;

    /// <summary>
    /// A new code for a workstation that has no active key, or to recover one that has; earlier unused ones stop working. Made under the lock of the maker's membership, so none is made behind
    /// the back of the transaction that takes their role away (<see cref="VoidAsync"/>).
    /// </summary>
    public Task<NewPairingCode> CreateAsync(Caller caller, string idOrName, CodeKind kind, CancellationToken cancellationToken) =>
        database.WriteAsync<NewPairingCode>(async tx =>
        {
            var (actor, _) = await MemberRow.LockAsync(tx, caller.OrganizationId, caller.UserId, caller.UserId);
            if (MembershipRules.Manage(actor?.ParsedRole) is { } why) return new NewPairingCode(Why: why);
            var row = await directory.FindAsync(tx, caller.OrganizationId, idOrName);
            // Under its lock, and looked at again: the key may just be coming or changing, and a code from before that must not outlive it.
            if (row is not null) row = await WorkstationAsync(tx, row.Id) is null ? null : await directory.FindAsync(tx, caller.OrganizationId, row.Id);
            if (row is null || row.IsPaired != (kind == CodeKind.Recovery)) return new NewPairingCode(row);
            var now = clock.GetUtcNow();
            var code = Ids.Secret(Bits);
            var expiresAt = now.AddSeconds(options.PairingCodeSeconds);
            await tx.ExecuteAsync("DELETE FROM pairing_codes WHERE instance_id = @Id AND used_at IS NULL", new { row.Id });
            await tx.ExecuteAsync("""
                INSERT INTO pairing_codes (code_hash, kind, instance_id, created_by, created_at, expires_at) VALUES (@hash, @kind, @Id, @UserId, @createdAt, @expires)
                """, new
            {
                hash = CredentialSecret.HashOf(code), kind = kind == CodeKind.Recovery ? "recovery" : "pairing", row.Id, caller.UserId, createdAt = now.ToUnixTimeMilliseconds(), expires = expiresAt.ToUnixTimeMilliseconds(),
            });
            await audit.AppendAsync(tx, caller, kind == CodeKind.Recovery ? "workstation.recovery_code_created" : "workstation.pairing_code_created", row.Id, row.Name);
            return new NewPairingCode(row, new PairingCodeBody { InstanceId = row.Id, Code = code.Insert(5, "-"), ExpiresAt = expiresAt });
        }, cancellationToken);

    /// <summary>Takes back the unused codes of somebody who may make none any more: an admin who is removed must not pair a machine of theirs afterwards.</summary>
    public async Task VoidAsync(WriteTransaction tx, Caller caller, string userId)
    {
        var voided = await tx.ListAsync<string>("""
            DELETE FROM pairing_codes WHERE created_by = @userId AND used_at IS NULL AND instance_id IN (SELECT id FROM instances WHERE organization_id = @OrganizationId)
            RETURNING instance_id
            """, new { caller.OrganizationId, userId });
        foreach (var id in voided) await audit.AppendAsync(tx, caller, "workstation.pairing_code_voided", id, $"{userId} may no longer make one");
    }

    /// <summary>As it is hashed: without what people add or mistake when they type it.</summary>
    public static string Normalize(string code) => string.Concat(code.ToLowerInvariant().Where(c => c != '-' && !char.IsWhiteSpace(c)).Select(c => c switch
    {
        'o' => '0',
        'i' or 'l' => '1',
        _ => c,
    }));

    public async Task<(PairResult Result, PairedWorkstation? Workstation)> PairAsync(
        string code, ProvenKey key, string? hostName, string? address, CancellationToken cancellationToken)
    {
        try
        {
            return await database.WriteAsync(tx => PairAsync(tx, code, key, hostName, address), cancellationToken);
        }
        catch (DbException e) when (database.Provider.IsUniqueViolation(e))
        {
            // The same key was bound to another workstation at the same moment; now that is there to be seen.
            return await database.WriteAsync(tx => PairAsync(tx, code, key, hostName, address), cancellationToken);
        }
    }

    private async Task<(PairResult Result, PairedWorkstation? Workstation)> PairAsync(
        WriteTransaction tx, string code, ProvenKey key, string? hostName, string? address)
    {
        var now = clock.GetUtcNow();
        var use = new { hash = CredentialSecret.HashOf(Normalize(code)), jkt = key.Thumbprint, now = now.ToUnixTimeMilliseconds() };
        var instanceId = await tx.FirstAsync<string>("SELECT instance_id FROM pairing_codes WHERE code_hash = @hash AND kind = 'pairing' AND expires_at > @now", use);
        if (instanceId is null) return (PairResult.InvalidCode, null);

        // Pairings of one workstation go one after the other: two valid codes must not bind two keys.
        var workstation = await WorkstationAsync(tx, instanceId);
        if (workstation is null) return (PairResult.InvalidCode, null);

        var active = await tx.FirstAsync<string>("SELECT jkt FROM instance_keys WHERE instance_id = @instanceId AND revoked_at IS NULL", new { instanceId });
        if (active == use.jkt && await tx.FirstAsync<string>("SELECT instance_id FROM pairing_codes WHERE code_hash = @hash AND used_jkt = @jkt AND expires_at > @now", use) is not null)
            return (PairResult.AlreadyDone, workstation);
        if (await tx.FirstAsync<string>("SELECT instance_id FROM pairing_codes WHERE code_hash = @hash AND used_at IS NULL", use) is null) return (PairResult.InvalidCode, null);
        if (active is not null) return (PairResult.WorkstationHasKey, workstation);
        if (await tx.FirstAsync<string>("SELECT id FROM instance_keys WHERE jkt = @jkt", use) is not null) return (PairResult.KeyIsBound, workstation);

        if (await tx.ExecuteAsync("UPDATE pairing_codes SET used_at = @now, used_jkt = @jkt WHERE code_hash = @hash AND used_at IS NULL AND expires_at > @now", use) == 0)
            return (PairResult.InvalidCode, null);
        await tx.ExecuteAsync("INSERT INTO instance_keys (id, instance_id, jkt, x, y, created_at) VALUES (@id, @instanceId, @jkt, @X, @Y, @now)",
            new { id = Ids.New(Ids.Key, now), instanceId, use.jkt, key.Key.X, key.Key.Y, use.now });
        await audit.AppendAsync(tx, workstation.OrganizationId, instanceId, "workstation.paired", instanceId, $"key {use.jkt}; host {hostName ?? "unknown"}", address);
        return (PairResult.Applied, workstation);
    }

    /// <summary>The workstation, its row held until the end of the transaction; null when it was removed.</summary>
    public static Task<PairedWorkstation?> WorkstationAsync(WriteTransaction tx, string instanceId) => tx.FirstAsync<PairedWorkstation>("""
        SELECT i.id, i.name, i.organization_id, (SELECT o.name FROM organizations o WHERE o.id = i.organization_id) AS organization_name
        FROM instances i WHERE i.id = @instanceId AND i.removed_at IS NULL
        """ + tx.ForUpdate, new { instanceId });
}
