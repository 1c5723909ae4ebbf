using System.Security.Cryptography;
using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;

namespace Tanjiren.Server.Audit;

/// <summary>The key that heads and checkpoints are signed with: ES256, its own, shared by all server processes of one database.</summary>
internal sealed class AuditSeal(ServerSecrets secrets, TimeProvider clock) : IDisposable
{
    private readonly Lock _gate = new();
    private ECDsa? _key;
    private Jwk? _publicKey;

    public Jwk PublicKey
    {
        get
        {
            lock (_gate)
            {
                LoadLocked();
                return _publicKey!;
            }
        }
    }

    /// <summary>This instant as it comes back from the database: a signature over a finer one would not hold there.</summary>
    public DateTimeOffset Now => DateTimeOffset.FromUnixTimeMilliseconds(clock.GetUtcNow().ToUnixTimeMilliseconds());

    /// <summary>Signs that a chain reached, or starts after, this row at this instant.</summary>
    public string Sign(string kind, string chain, long sequence, string hash, DateTimeOffset at)
    {
        lock (_gate)
        {
            var key = LoadLocked();
            return AuditChain.Sign(new AuditHead { Kind = kind, Chain = chain, Sequence = sequence, Hash = hash, At = at, Key = _publicKey!, Signature = "" }, key).Signature;
        }
    }

    public void Dispose() => _key?.Dispose();

    private ECDsa LoadLocked()
    {
        if (_key is not null) return _key;
        var key = ECDsa.Create();
        key.ImportPkcs8PrivateKey(secrets.AuditKey, out _);
        _publicKey = Jwk.FromKey(key);
        return _key = key;
    }
}
