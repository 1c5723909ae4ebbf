using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

/// <summary>What a server says when it grants a claim (D-06). All members but the approval's and the secrets' are required.</summary>
public sealed record AssignmentClaims
{
    /// <summary>Thumbprint of the control plane's first key, the one that workstations get when they pair. It stays when the key that signs work changes.</summary>
    [JsonPropertyName("iss")] public string? Iss { get; init; }
    /// <summary>The workstation.</summary>
    [JsonPropertyName("aud")] public string? Aud { get; init; }
    [JsonPropertyName("tsk")] public string? Tsk { get; init; }
    [JsonPropertyName("stp")] public string? Stp { get; init; }
    [JsonPropertyName("gen")] public long? Gen { get; init; }
    /// <summary>The claim id, which the agent made for this claim alone: no earlier assignment fits.</summary>
    [JsonPropertyName("clm")] public string? Clm { get; init; }
    /// <summary><see cref="AssignedWork.Digest"/>.</summary>
    [JsonPropertyName("sdg")] public string? Sdg { get; init; }
    /// <summary><see cref="AssignedWork.SecretsDigest"/>; absent: it has no secrets.</summary>
    [JsonPropertyName("sec")] public string? Sec { get; init; }
    /// <summary>The approval that it starts under, if it needs one.</summary>
    [JsonPropertyName("apr")] public string? Apr { get; init; }
    /// <summary>What that approval was given for.</summary>
    [JsonPropertyName("act")] public string? Act { get; init; }
    /// <summary>Milliseconds that the step may still run, from the request on.</summary>
    [JsonPropertyName("tmo")] public long? Tmo { get; init; }
    /// <summary>Milliseconds of the lease, and of the grace after it.</summary>
    [JsonPropertyName("ttl")] public long? Ttl { get; init; }
    [JsonPropertyName("grc")] public long? Grc { get; init; }
    /// <summary>Seconds since the Unix epoch, by the server's clock.</summary>
    [JsonPropertyName("iat")] public long? Iat { get; init; }
    /// <summary>The same: <see cref="Iat"/> and <see cref="Tmo"/>, the step's hard deadline. For a reader of records; an agent counts <see cref="Tmo"/> on its own clock.</summary>
    [JsonPropertyName("exp")] public long? Exp { get; init; }
}

/// <summary>A signed assignment: a compact JWS by ES256 whose header names the key and does not carry it. Parsed, not verified.</summary>
public sealed record Assignment(string KeyId, AssignmentClaims Claims, CompactJws Jws)
{
    public const string Type = "tanjiren-assignment+jwt";

    /// <summary>Characters.</summary>
    public const int MaxLength = 4096;

    /// <param name="key">The key that signs work now.</param>
    /// <param name="keyId">Its thumbprint.</param>
    /// <param name="claims">What it says.</param>
    public static string Sign(ECDsa key, string keyId, AssignmentClaims claims) => CompactJws.Sign(
        key, new ProofHeader { Typ = Type, Alg = CompactJws.Algorithm, Kid = keyId }, JsonSerializer.SerializeToUtf8Bytes(claims, WireJson.Default.AssignmentClaims));

    /// <summary>The assignment, or null and why it is none. Only this type and ES256 are read: what a header asks for is never obeyed.</summary>
    public static Assignment? Parse(string? text, out string problem)
    {
        problem = "it is no signed assignment";
        if (text is null || text.Length > MaxLength || CompactJws.Parse(text) is not { } jws) return null;
        if (jws.Header.Alg != CompactJws.Algorithm)
        {
            problem = $"it is signed by '{jws.Header.Alg}', and only {CompactJws.Algorithm} counts";
            return null;
        }
        if (jws.Header.Typ != Type)
        {
            problem = $"it is a '{jws.Header.Typ}'";
            return null;
        }
        if (jws.Header.Kid is not { Length: > 0 } keyId)
        {
            problem = "it names no key";
            return null;
        }
        try
        {
            return JsonSerializer.Deserialize(jws.Payload, WireJson.Default.AssignmentClaims) is { } claims ? new Assignment(keyId, claims, jws) : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    /// <summary>Whether <paramref name="key"/>, a public P-256 key, has signed it.</summary>
    public bool IsSignedBy(Jwk key)
    {
        if (!key.IsPublicP256()) return false;
        try
        {
            using var imported = key.Import();
            return IsSignedBy(imported);
        }
        catch (CryptographicException)
        {
            return false; // not a point of the curve
        }
    }

    public bool IsSignedBy(ECDsa key) => Jws.Signature.Length == 64
        && key.VerifyData(Jws.SigningInput, Jws.Signature, HashAlgorithmName.SHA256, DSASignatureFormat.IeeeP1363FixedFieldConcatenation);
}
