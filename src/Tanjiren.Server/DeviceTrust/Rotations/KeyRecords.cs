using System.Security.Cryptography;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Workstations;

namespace Tanjiren.Server.DeviceTrust.Rotations;

/// <summary>The chains of keys as they are exported, and what the server signs about them.</summary>
internal sealed class KeyRecords(Database database, InstanceDirectory directory, ServerSecrets secrets, TimeProvider clock)
{
    public string Sign(string type, KeyRecordClaims claims)
    {
        using var key = ECDsa.Create();
        key.ImportPkcs8PrivateKey(secrets.SigningKey, out _);
        return KeyRecord.Sign(key, type, claims);
    }

    /// <summary>No row: there is no such workstation. No chain: it is not paired.</summary>
    public Task<(InstanceRow? Row, KeyChainBody? Chain)> ChainAsync(string organizationId, string idOrName, CancellationToken cancellationToken) =>
        database.ReadAsync<(InstanceRow?, KeyChainBody?)>(async sql => await directory.FindAsync(sql, organizationId, idOrName) is { } row ? (row, await ReadAsync(sql, row.Id, row.Name)) : (null, null), cancellationToken);

    /// <summary>Also of a workstation that was removed: what it has signed is still to be verified. Null: there was none, or it was never paired.</summary>
    public Task<KeyChainBody?> ChainOfAsync(string organizationId, string instanceId, CancellationToken cancellationToken) => database.ReadAsync(async sql =>
        await sql.FirstAsync<string>("SELECT name FROM instances WHERE id = @instanceId AND organization_id = @organizationId", new { organizationId, instanceId }) is { } name ? await ReadAsync(sql, instanceId, name) : null, cancellationToken);

    private async Task<KeyChainBody?> ReadAsync(SqlSession sql, string instanceId, string name)
    {
        var now = clock.GetUtcNow();
        // The first key is the one that no change brought. It never changes, so that the statements see several moments does no harm: what is current is the last change's.
        var first = await sql.FirstAsync<FirstKey>("""
            SELECT k.jkt, k.x, k.y, k.created_at FROM instance_keys k WHERE k.instance_id = @instanceId
              AND NOT EXISTS (SELECT 1 FROM key_rotations r WHERE r.instance_id = k.instance_id AND r.new_jkt = k.jkt AND r.state = 'approved')
            """, new { instanceId });
        if (first is null) return null;
        var (changes, pending) = (await KeyRotationService.ChangesAsync(sql, instanceId), await KeyRotationService.PendingAsync(sql, instanceId));
        var current = changes.Count == 0 ? first.Jkt : changes[^1].NewJkt;
        return new KeyChainBody
        {
            InstanceId = instanceId,
            InstanceName = name,
            First = new FirstKeyBody
            {
                Key = new Jwk { Kty = "EC", Crv = "P-256", X = first.X, Y = first.Y }, Fingerprint = first.Jkt, BoundAt = DateTimeOffset.FromUnixTimeMilliseconds(first.CreatedAt),
            },
            Changes = [.. changes.Select(change => change.ToChange())],
            Current = current,
            Head = Sign(KeyRecord.HeadType, new KeyRecordClaims
            {
                Sub = instanceId, Seq = changes.Count, Prev = first.Jkt, Jkt = current, Sth = changes.Count == 0 ? null : KeyRecord.DigestOf(changes[^1].Approval!), Iat = now.ToUnixTimeSeconds(),
            }),
            Pending = pending?.IsOpen(now.ToUnixTimeMilliseconds()) == true ? pending.ToBody(now) : null,
        };
    }

    private sealed record FirstKey
    {
        public string Jkt { get; init; } = "";
        public string X { get; init; } = "";
        public string Y { get; init; } = "";
        public long CreatedAt { get; init; }
    }
}
