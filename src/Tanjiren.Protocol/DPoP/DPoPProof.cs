using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

/// <summary>The JOSE header of a proof (RFC 9449 §4.2).</summary>
public sealed record ProofHeader
{
    [JsonPropertyName("typ")] public string? Typ { get; init; }
    [JsonPropertyName("alg")] public string? Alg { get; init; }
    [JsonPropertyName("jwk")] public Jwk? Jwk { get; init; }
}

/// <summary>The claims of a proof (RFC 9449 §4.2), and <c>bsh</c>: base64url SHA-256 of the request body (D-04; an empty body has the digest of zero bytes).</summary>
public sealed record ProofClaims
{
    [JsonPropertyName("jti")] public string? Jti { get; init; }
    [JsonPropertyName("htm")] public string? Htm { get; init; }
    /// <summary>The absolute URL with path and query: here a query names the session, so it is bound as well (stricter than RFC 9449 §4.3).</summary>
    [JsonPropertyName("htu")] public string? Htu { get; init; }
    /// <summary>Seconds since the Unix epoch.</summary>
    [JsonPropertyName("iat")] public long? Iat { get; init; }
    [JsonPropertyName("ath")] public string? Ath { get; init; }
    [JsonPropertyName("nonce")] public string? Nonce { get; init; }
    [JsonPropertyName("bsh")] public string? Bsh { get; init; }
}

/// <summary>Making a proof and taking one apart. Judging one is the server's business (<c>DeviceTrust/DPoPVerifier</c>).</summary>
public static class DPoPProof
{
    public const string Type = "dpop+jwt";
    public const string Algorithm = "ES256";
    public const string Header = "DPoP";
    public const string NonceHeader = "DPoP-Nonce";

    /// <summary>A proof for one request; signed with <paramref name="key"/>, whose public half travels in the header.</summary>
    public static string Create(ECDsa key, Jwk publicKey, string method, string url, ReadOnlySpan<byte> body,
        DateTimeOffset now, string? accessToken, string? nonce)
    {
        var header = new ProofHeader { Typ = Type, Alg = Algorithm, Jwk = publicKey };
        var claims = new ProofClaims
        {
            Jti = Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(16)),
            Htm = method,
            Htu = url,
            Iat = now.ToUnixTimeSeconds(),
            Ath = accessToken is null ? null : Digest(Encoding.ASCII.GetBytes(accessToken)),
            Nonce = nonce,
            Bsh = Digest(body),
        };
        var signingInput = Encode(JsonSerializer.SerializeToUtf8Bytes(header, WireJson.Default.ProofHeader))
            + "." + Encode(JsonSerializer.SerializeToUtf8Bytes(claims, WireJson.Default.ProofClaims));
        var signature = key.SignData(Encoding.ASCII.GetBytes(signingInput), HashAlgorithmName.SHA256,
            DSASignatureFormat.IeeeP1363FixedFieldConcatenation);
        return signingInput + "." + Encode(signature);
    }

    /// <summary>The parts of a compact JWS, or null when it is not one. Nothing is verified.</summary>
    public static ParsedProof? Parse(string proof)
    {
        var first = proof.IndexOf('.');
        var last = proof.LastIndexOf('.');
        if (first <= 0 || last <= first || proof.AsSpan(first + 1, last - first - 1).Contains('.')) return null;
        try
        {
            var header = JsonSerializer.Deserialize(Base64Url.DecodeFromChars(proof.AsSpan(0, first)), WireJson.Default.ProofHeader);
            var claims = JsonSerializer.Deserialize(
                Base64Url.DecodeFromChars(proof.AsSpan(first + 1, last - first - 1)), WireJson.Default.ProofClaims);
            var signature = Base64Url.DecodeFromChars(proof.AsSpan(last + 1));
            if (header is null || claims is null) return null;
            return new ParsedProof(header, claims, Encoding.ASCII.GetBytes(proof[..last]), signature);
        }
        catch (Exception e) when (e is FormatException or JsonException)
        {
            return null;
        }
    }

    /// <summary>Base64url SHA-256, the form of <c>ath</c> and <c>bsh</c>.</summary>
    public static string Digest(ReadOnlySpan<byte> bytes) => Base64Url.EncodeToString(SHA256.HashData(bytes));

    private static string Encode(ReadOnlySpan<byte> bytes) => Base64Url.EncodeToString(bytes);
}

/// <summary>A proof taken apart. <see cref="SigningInput"/> is what <see cref="Signature"/> must cover.</summary>
public sealed record ParsedProof(ProofHeader Header, ProofClaims Claims, byte[] SigningInput, byte[] Signature);
