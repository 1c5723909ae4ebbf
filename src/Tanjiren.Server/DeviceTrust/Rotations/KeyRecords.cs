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
    public async Task<(InstanceRow? Row, KeyChainBody? Chain)> ChainAsync(string organizationId, string idOrName, CancellationToken cancellationToken)
    {
        var now = clock.GetUtcNow();
        var (row, first, changes, pending) = await database.ReadAsync<(InstanceRow?, FirstKey?, IReadOnlyList<KeyRotationRow>, KeyRotationRow?)>(async sql =>
        {
            if (await directory.FindAsync(sql, organizationId, idOrName) is not { } row) return (null, null, [], null);
            // The first key is the one that no change brought. It never changes, so that the statements see several moments does no harm: what is current is the last change's.
            var first = await sql.FirstAsync<FirstKey>("""
                SELECT k.jkt, k.x, k.y, k.created_at FROM instance_keys k WHERE k.instance_id = @Id
                  AND NOT EXISTS (SELECT 1 FROM key_rotations r WHERE r.instance_id = k.instance_id AND r.new_jkt = k.jkt AND r.state = 'approved')
                """, new { row.Id });
            return (row, first, await KeyRotationService.ChangesAsync(sql, row.Id), await KeyRotationService.PendingAsync(sql, row.Id));
        }, cancellationToken);
        if (row is null || first is null) return (row, null);
        var current = changes.Count == 0 ? first.Jkt : changes[^1].NewJkt;
        return (row, new KeyChainBody
        {
            InstanceId = row.Id,
            InstanceName = row.Name,
            First = new FirstKeyBody
            {
                Key = new Jwk { Kty = "EC", Crv = "P-256", X = first.X, Y = first.Y }, Fingerprint = first.Jkt, BoundAt = DateTimeOffset.FromUnixTimeMilliseconds(first.CreatedAt),
            },
            Changes = [.. changes.Select(change => change.ToChange())],
            Current = current,
            Head = Sign(KeyRecord.HeadType, new KeyRecordClaims
            {
                Sub = row.Id, Seq = changes.Count, Prev = first.Jkt, Jkt = current, Sth = changes.Count == 0 ? null : KeyRecord.DigestOf(changes[^1].Approval!), Iat = now.ToUnixTimeSeconds(),
            }),
            Pending = pending?.IsOpen(now.ToUnixTimeMilliseconds()) == true ? pending.ToBody(now) : null,
        });
    }

    private sealed record FirstKey
    {
        public string Jkt { get; init; } = "";
        public string X { get; init; } = "";
        public string Y { get; init; } = "";
        public long CreatedAt { get; init; }
    }
}
