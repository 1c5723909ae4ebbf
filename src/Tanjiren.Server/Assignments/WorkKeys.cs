using System.Security.Cryptography;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.DeviceTrust;

namespace Tanjiren.Server.Assignments;

/// <summary>
/// The keys that sign work, shared by all server processes of one database. The first is the one that workstations get when they pair; each is announced by the one before, under which
/// agents follow. A process that has not yet seen the newest signs with the one before for a minute, and agents take that.
/// </summary>
internal sealed class WorkKeys(Database database, ServerSecrets secrets, AssignmentOptions options, TimeProvider clock) : IDisposable
{
    /// <summary>How old what was read may be. Agents take the newest key and the one before it, so it need only be short beside the life of a key.</summary>
    private static readonly TimeSpan Fresh = TimeSpan.FromMinutes(1);

    // One process reads them once and not as often as claims come in.
    private readonly SemaphoreSlim _reading = new(1, 1);
    private volatile Known? _known;

    private sealed record Known(WorkKeySet Keys, long ReadAt);

    /// <summary>To sign by.</summary>
    public async ValueTask<WorkKeySet> CurrentAsync(CancellationToken cancellationToken) =>
        _known is { } known && IsFresh(known) ? known.Keys : await ReadAsync(evenIfFresh: false, cancellationToken);

    /// <summary>To judge by, and to hand out: also what another server has added a moment ago and signs with already. An agent that was not led to it would refuse its work for good.</summary>
    public Task<WorkKeySet> NewestAsync(CancellationToken cancellationToken) => ReadAsync(evenIfFresh: true, cancellationToken);

    /// <summary>Whether a server of this database has signed it.</summary>
    public async ValueTask<bool> HaveSignedAsync(Assignment assignment, CancellationToken cancellationToken)
    {
        var keys = await CurrentAsync(cancellationToken);
        if (!keys.Knows(assignment.KeyId)) keys = await NewestAsync(cancellationToken);
        return keys.HasSigned(assignment);
    }

    private async Task<WorkKeySet> ReadAsync(bool evenIfFresh, CancellationToken cancellationToken)
    {
        await _reading.WaitAsync(cancellationToken);
        try
        {
            if (!evenIfFresh && _known is { } read && IsFresh(read)) return read.Keys;
            var keys = await SelectAsync(cancellationToken);
            if (IsOld(keys))
            {
                await AddAsync(keys, cancellationToken);
                keys = await SelectAsync(cancellationToken);
            }
            // Nothing else changes them, so the imported ones of before serve on.
            if (_known is { } same && same.Keys.Count == keys.Count && same.Keys.Announcements.SequenceEqual(keys.Announcements, StringComparer.Ordinal)) keys = same.Keys;
            _known = new Known(keys, clock.GetTimestamp());
            return keys;
        }
        finally
        {
            _reading.Release();
        }
    }

    public void Dispose() => _reading.Dispose();

    private bool IsFresh(Known known) => clock.GetElapsedTime(known.ReadAt) < Fresh;

    private bool IsOld(WorkKeySet keys) =>
        options.KeyDays > 0 && clock.GetUtcNow().ToUnixTimeMilliseconds() - keys.NewestMadeAt >= (long)TimeSpan.FromDays(options.KeyDays).TotalMilliseconds;

    private Task<WorkKeySet> SelectAsync(CancellationToken cancellationToken) => database.ReadAsync(async sql =>
    {
        var rows = await sql.ListAsync<Row>("SELECT private_key, announcement, created_at FROM work_keys ORDER BY number");
        var newestAt = rows.Count > 0 ? rows[^1].CreatedAt : await sql.FirstAsync<long>("SELECT created_at FROM server_secrets WHERE name = 'signing-es256'");
        return new WorkKeySet([secrets.SigningKey, .. rows.Select(row => row.PrivateKey)], [.. rows.Select(row => row.Announcement)], newestAt);
    }, cancellationToken);

    /// <summary>Another server may make it at the same moment: its number is there once, and both go on with what is there.</summary>
    private async Task AddAsync(WorkKeySet keys, CancellationToken cancellationToken)
    {
        using var next = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var now = clock.GetUtcNow();
        var number = keys.Count + 1;
        var announcement = keys.Announce(new WorkKeyClaims { Iss = keys.Issuer, Seq = number, Cnf = new KeyConfirmation { Jwk = Jwk.FromKey(next) }, Iat = now.ToUnixTimeSeconds() });
        var privateKey = next.ExportPkcs8PrivateKey();
        await database.WriteAsync(tx => tx.ExecuteAsync("""
            INSERT INTO work_keys (number, private_key, announcement, created_at) VALUES (@number, @privateKey, @announcement, @createdAt) ON CONFLICT (number) DO NOTHING
            """, new { number, privateKey, announcement, createdAt = now.ToUnixTimeMilliseconds() }), cancellationToken);
    }

    private sealed record Row
    {
        public byte[] PrivateKey { get; init; } = [];
        public string Announcement { get; init; } = "";
        public long CreatedAt { get; init; }
    }
}
