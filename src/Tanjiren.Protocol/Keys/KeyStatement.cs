using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

/// <summary>What a key says of another one.</summary>
public sealed record KeyStatementClaims
{
    /// <summary>The workstation; absent in a recovery, where only the admin's code knows it.</summary>
    [JsonPropertyName("iss")] public string? Iss { get; init; }
    /// <summary>Seconds since the Unix epoch, by the machine's clock.</summary>
    [JsonPropertyName("iat")] public long? Iat { get; init; }
    [JsonPropertyName("jti")] public string? Jti { get; init; }
    /// <summary>The key that is to follow (RFC 7800 §3.2).</summary>
    [JsonPropertyName("cnf")] public KeyConfirmation? Cnf { get; init; }
    /// <summary>Thumbprint of the key of the server that may approve. So whoever trusts the signer knows whose approval counts, offline.</summary>
    [JsonPropertyName("srv")] public string? Srv { get; init; }
}

public sealed record KeyConfirmation
{
    [JsonPropertyName("jwk")] public Jwk? Jwk { get; init; }
}

/// <summary>
/// A statement that <see cref="Subject"/> is to be a workstation's next key: a JWS that <see cref="Signer"/> has signed. The old key vouches for the new one in a
/// rotation. In a recovery there is no old key any more, so the new one signs for itself: that vouches for nothing, and the chain shows it as a gap.
/// </summary>
public sealed record KeyStatement(Jwk Signer, Jwk Subject, KeyStatementClaims Claims, byte[] Payload)
{
    public const string Type = "tanjiren-key+jwt";

    /// <summary>Characters.</summary>
    public const int MaxLength = 4096;

    public string SignerFingerprint => Signer.Thumbprint();

    public string SubjectFingerprint => Subject.Thumbprint();

    public bool IsOwnWord => SignerFingerprint == SubjectFingerprint;

    /// <summary>The claims as bytes, made once: the old key and the new one sign the same.</summary>
    public static byte[] PayloadFor(string? instanceId, Jwk next, string? serverKey, DateTimeOffset now) => JsonSerializer.SerializeToUtf8Bytes(new KeyStatementClaims
    {
        Iss = instanceId, Iat = now.ToUnixTimeSeconds(), Jti = Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(16)), Cnf = new KeyConfirmation { Jwk = next }, Srv = serverKey,
    }, WireJson.Default.KeyStatementClaims);

    public static string Sign(ECDsa signer, ReadOnlySpan<byte> payload) =>
        CompactJws.Sign(signer, new ProofHeader { Typ = Type, Alg = CompactJws.Algorithm, Jwk = Jwk.FromKey(signer) }, payload);

    /// <summary>A whole statement whose signature is right, else null. By whom it is, the caller must judge.</summary>
    public static KeyStatement? Read(string? text)
    {
        if (CompactJws.Verified(text, Type, MaxLength) is not var (signer, jws)) return null;
        try
        {
            return JsonSerializer.Deserialize(jws.Payload, WireJson.Default.KeyStatementClaims) is { Iat: not null, Cnf.Jwk: { } subject } claims && subject.IsPublicP256()
                ? new KeyStatement(signer, subject, claims, jws.Payload) : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
