using System.Security.Cryptography;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;

namespace Tanjiren.Server.DeviceTrust;

/// <summary>
/// Keys that all server processes of one database share, made at the first start. They live in the database because whoever reads it can do
/// all that these keys can: it holds the device keys and the members as well.
/// </summary>
internal sealed class ServerSecrets(Database database, TimeProvider clock)
{
    private IReadOnlyDictionary<string, byte[]>? _values;
    private IReadOnlyList<Jwk>? _publicKeys;

    /// <summary>HMAC-SHA256 of access tokens.</summary>
    public byte[] TokenKey => Get("token-hmac");

    /// <summary>HMAC-SHA256 of DPoP nonces.</summary>
    public byte[] NonceKey => Get("nonce-hmac");

    /// <summary>HMAC-SHA256 of the CSRF tokens of server-rendered forms.</summary>
    public byte[] FormKey => Get("form-hmac");

    /// <summary>ES256 private key (PKCS#8) of what the server signs; its public half goes to workstations when they pair.</summary>
    public byte[] SigningKey => Get("signing-es256");

    /// <summary>ES256 private key (PKCS#8) of the heads of the audit chains; it signs nothing else.</summary>
    public byte[] AuditKey => Get("audit-es256");

    public IReadOnlyList<Jwk> PublicKeys => _publicKeys ?? throw NotLoaded();

    public async Task LoadAsync(CancellationToken cancellationToken)
    {
        _values = await database.WriteAsync(async tx =>
        {
            foreach (var (name, make) in Kinds)
            {
                // Several servers may start at once on a fresh database: the first insert wins and all read the same.
                await tx.ExecuteAsync("INSERT INTO server_secrets (name, value, created_at) VALUES (@name, @value, @createdAt) ON CONFLICT (name) DO NOTHING",
                    new { name, value = make(), createdAt = clock.GetUtcNow().ToUnixTimeMilliseconds() });
            }
            return (await tx.ListAsync<Row>("SELECT name, value FROM server_secrets")).ToDictionary(row => row.Name, row => row.Value);
        }, cancellationToken);
        using var key = ECDsa.Create();
        key.ImportPkcs8PrivateKey(SigningKey, out _);
        var jwk = Jwk.FromKey(key);
        _publicKeys = [jwk with { Kid = jwk.Thumbprint() }];
    }

    private static readonly (string Name, Func<byte[]> Make)[] Kinds =
    [
        ("token-hmac", () => RandomNumberGenerator.GetBytes(32)),
        ("nonce-hmac", () => RandomNumberGenerator.GetBytes(32)),
        ("form-hmac", () => RandomNumberGenerator.GetBytes(32)),
        ("signing-es256", NewSigningKey),
        ("audit-es256", NewSigningKey),
    ];

    private byte[] Get(string name) => (_values ?? throw NotLoaded())[name];

    private static InvalidOperationException NotLoaded() => new("The shared secrets are read when the server starts.");

    private static byte[] NewSigningKey()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        return key.ExportPkcs8PrivateKey();
    }

    private sealed record Row
    {
        public string Name { get; init; } = "";
        public byte[] Value { get; init; } = [];
    }
}
