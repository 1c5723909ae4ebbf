using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

/// <summary>A public P-256 key as JSON Web Key (RFC 7517, RFC 7518 §6.2). <see cref="D"/> is read only so that a private key can be refused.</summary>
public sealed record Jwk
{
    [JsonPropertyName("kty")] public string? Kty { get; init; }
    [JsonPropertyName("crv")] public string? Crv { get; init; }
    [JsonPropertyName("x")] public string? X { get; init; }
    [JsonPropertyName("y")] public string? Y { get; init; }
    [JsonPropertyName("d")] public string? D { get; init; }
    [JsonPropertyName("kid")] public string? Kid { get; init; }

    /// <summary>The public half of <paramref name="key"/>, without a key id.</summary>
    public static Jwk FromKey(ECDsa key)
    {
        var point = key.ExportParameters(includePrivateParameters: false).Q;
        return new Jwk { Kty = "EC", Crv = "P-256", X = Base64Url.EncodeToString(point.X), Y = Base64Url.EncodeToString(point.Y) };
    }

    /// <summary>RFC 7638 thumbprint with SHA-256, base64url: the fingerprint that both sides show, and <c>cnf.jkt</c> (RFC 9449 §6.1).</summary>
    public string Thumbprint()
    {
        var canonical = $$"""{"crv":"{{Crv}}","kty":"{{Kty}}","x":"{{X}}","y":"{{Y}}"}""";
        return Base64Url.EncodeToString(SHA256.HashData(Encoding.UTF8.GetBytes(canonical)));
    }

    /// <summary>Whether this is a public P-256 key with coordinates of 32 bytes; being on the curve is checked by <see cref="Import"/>.</summary>
    public bool IsPublicP256() =>
        Kty == "EC" && Crv == "P-256" && D is null && IsCoordinate(X) && IsCoordinate(Y);

    /// <exception cref="CryptographicException">The point is not on the curve.</exception>
    public ECDsa Import() => ECDsa.Create(new ECParameters
    {
        Curve = ECCurve.NamedCurves.nistP256,
        Q = new ECPoint { X = Base64Url.DecodeFromChars(X), Y = Base64Url.DecodeFromChars(Y) },
    });

    private static bool IsCoordinate(string? text) => text is { Length: 43 } && Base64Url.IsValid(text);
}
