using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace Tanjiren.Protocol;

/// <summary>
/// A compact JWS (RFC 7515 §7.1) by ES256. It carries its signer's public key in the header (proofs, statements about keys and what a server says of those, receipts), or names it
/// (<see cref="Assignment"/>).
/// <see cref="SigningInput"/> is what <see cref="Signature"/> must cover.
/// </summary>
public sealed record CompactJws(ProofHeader Header, byte[] Payload, byte[] SigningInput, byte[] Signature)
{
    public const string Algorithm = "ES256";

    public static string Sign(ECDsa key, ProofHeader header, ReadOnlySpan<byte> payload)
    {
        var input = Base64Url.EncodeToString(JsonSerializer.SerializeToUtf8Bytes(header, WireJson.Default.ProofHeader)) + "." + Base64Url.EncodeToString(payload);
        var signature = key.SignData(Encoding.ASCII.GetBytes(input), HashAlgorithmName.SHA256, DSASignatureFormat.IeeeP1363FixedFieldConcatenation);
        return input + "." + Base64Url.EncodeToString(signature);
    }

    /// <summary>The parts, or null when it is no compact JWS. Nothing is verified.</summary>
    public static CompactJws? Parse(string text)
    {
        var first = text.IndexOf('.');
        var last = text.LastIndexOf('.');
        if (first <= 0 || last <= first || text.AsSpan(first + 1, last - first - 1).Contains('.')) return null;
        try
        {
            var header = JsonSerializer.Deserialize(Base64Url.DecodeFromChars(text.AsSpan(0, first)), WireJson.Default.ProofHeader);
            var payload = Base64Url.DecodeFromChars(text.AsSpan(first + 1, last - first - 1));
            var signature = Base64Url.DecodeFromChars(text.AsSpan(last + 1));
            return header is null ? null : new CompactJws(header, payload, Encoding.ASCII.GetBytes(text[..last]), signature);
        }
        catch (Exception e) when (e is FormatException or JsonException)
        {
            return null;
        }
    }

    /// <summary>
    /// The public key that has signed this text as a JWS of this type, with the JWS; null when it is none, is longer than <paramref name="maxLength"/>, or its signature
    /// is wrong. Whose key that is, the caller must judge: anybody can sign with some key.
    /// </summary>
    public static (Jwk Signer, CompactJws Jws)? Verified(string? text, string type, int maxLength)
    {
        if (text is null || text.Length > maxLength || Parse(text) is not { } jws) return null;
        if (jws.Header.Typ != type || jws.Header.Alg != Algorithm || jws.Header.Jwk is not { } key || !key.IsPublicP256() || jws.Signature.Length != 64) return null;
        try
        {
            using var imported = key.Import();
            return imported.VerifyData(jws.SigningInput, jws.Signature, HashAlgorithmName.SHA256, DSASignatureFormat.IeeeP1363FixedFieldConcatenation) ? (key, jws) : null;
        }
        catch (CryptographicException)
        {
            return null; // not a point of the curve
        }
    }
}
