using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

/// <summary>The JOSE header of a proof (RFC 9449 §4.2), and of everything else that is signed here.</summary>
public sealed record ProofHeader
{
    [JsonPropertyName("typ")] public string? Typ { get; init; }
    [JsonPropertyName("alg")] public string? Alg { get; init; }
    [JsonPropertyName("jwk")] public Jwk? Jwk { get; init; }
    /// <summary>In place of <see cref="Jwk"/> where the reader must have the key already (<see cref="Assignment"/>).</summary>
    [JsonPropertyName("kid")] public string? Kid { get; init; }
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
    public const string Algorithm = CompactJws.Algorithm;
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
        return CompactJws.Sign(key, header, JsonSerializer.SerializeToUtf8Bytes(claims, WireJson.Default.ProofClaims));
    }

    /// <summary>The parts of a compact JWS, or null when it is not one. Nothing is verified.</summary>
    public static ParsedProof? Parse(string proof)
    {
        if (CompactJws.Parse(proof) is not { } jws) return null;
        try
        {
            return JsonSerializer.Deserialize(jws.Payload, WireJson.Default.ProofClaims) is { } claims ? new ParsedProof(jws.Header, claims, jws.SigningInput, jws.Signature) : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    /// <summary>Base64url SHA-256, the form of <c>ath</c> and <c>bsh</c>.</summary>
    public static string Digest(ReadOnlySpan<byte> bytes) => Base64Url.EncodeToString(SHA256.HashData(bytes));
}

/// <summary>A proof taken apart. <see cref="SigningInput"/> is what <see cref="Signature"/> must cover.</summary>
public sealed record ParsedProof(ProofHeader Header, ProofClaims Claims, byte[] SigningInput, byte[] Signature);
