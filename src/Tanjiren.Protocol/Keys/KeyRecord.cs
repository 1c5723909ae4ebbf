using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

/// <summary>What the server says of a change of a key, or of the chain as a whole.</summary>
public sealed record KeyRecordClaims
{
    /// <summary>The workstation.</summary>
    [JsonPropertyName("sub")] public string? Sub { get; init; }
    /// <summary>Of a change its place in the chain, from 1; of the chain its length.</summary>
    [JsonPropertyName("seq")] public long? Seq { get; init; }
    /// <summary>Thumbprint of the key before the change; of the chain: of its first key.</summary>
    [JsonPropertyName("prev")] public string? Prev { get; init; }
    /// <summary>Thumbprint of the key from then on.</summary>
    [JsonPropertyName("jkt")] public string? Jkt { get; init; }
    /// <summary>Of a change the digest of its statement; of the chain that of the last approval, if there is one.</summary>
    [JsonPropertyName("sth")] public string? Sth { get; init; }
    /// <summary>Who approved it.</summary>
    [JsonPropertyName("by")] public string? By { get; init; }
    /// <summary>Seconds since the Unix epoch, by the server's clock.</summary>
    [JsonPropertyName("iat")] public long? Iat { get; init; }
}

/// <summary>A record that a server has signed with its own key: the approval of a change, or the head of a chain.</summary>
public sealed record KeyRecord(Jwk Signer, KeyRecordClaims Claims)
{
    public const string ApprovalType = "tanjiren-key-approval+jwt";
    public const string HeadType = "tanjiren-key-chain+jwt";
    public const int MaxLength = 4096;

    public static string Sign(ECDsa serverKey, string type, KeyRecordClaims claims) => CompactJws.Sign(
        serverKey, new ProofHeader { Typ = type, Alg = CompactJws.Algorithm, Jwk = Jwk.FromKey(serverKey) }, JsonSerializer.SerializeToUtf8Bytes(claims, WireJson.Default.KeyRecordClaims));

    /// <summary>A record of this type whose signature is right, else null. By whom it is, the caller must judge.</summary>
    public static KeyRecord? Read(string? text, string type)
    {
        if (CompactJws.Verified(text, type, MaxLength) is not var (signer, jws)) return null;
        try
        {
            return JsonSerializer.Deserialize(jws.Payload, WireJson.Default.KeyRecordClaims) is { } claims ? new KeyRecord(signer, claims) : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    /// <summary>How one record names another, or a statement: base64url SHA-256 of its text.</summary>
    public static string DigestOf(string jws) => DPoPProof.Digest(Encoding.ASCII.GetBytes(jws));
}
