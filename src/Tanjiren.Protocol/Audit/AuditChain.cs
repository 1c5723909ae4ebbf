using System.Buffers.Text;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Tanjiren.Protocol;

/// <summary>
/// The arithmetic of the audit chain, the same for who seals and who verifies. Fields are netstrings (<c>LENGTH:BYTES,</c> with the length of the UTF-8 in decimal), and
/// <c>-,</c> where a field is absent: no two rows have one encoding. docs/concepts/audit.md writes it down for other programs.
/// </summary>
public static class AuditChain
{
    /// <summary>Version of the encoding. A change of fields is a new number; rows keep the one that they were sealed with.</summary>
    public const int Version = 1;

    /// <summary>The chain of rows that belong to no organization.</summary>
    public const string ServerChain = "server";

    /// <summary>What the first row of a chain stands on.</summary>
    public static readonly string Genesis = new('0', 64);

    /// <summary>The hash of a row at its place; <see cref="AuditEventBody.Hash"/> itself is not read.</summary>
    public static string HashOf(string chain, AuditEventBody row) => Convert.ToHexStringLower(SHA256.HashData(Encode(
        "tanjiren.audit.row.v1", row.PreviousHash, chain, Number(row.Sequence), row.Id, Number(row.At.ToUnixTimeMilliseconds()), row.Actor, row.Action, row.Subject,
        row.Detail, row.Address)));

    public static byte[] SignedBytes(AuditHead head) => Encode(
        "tanjiren.audit.head.v1", head.Kind, head.Chain, Number(head.Sequence), head.Hash, Number(head.At.ToUnixTimeMilliseconds()));

    public static AuditHead Sign(AuditHead head, ECDsa key) => head with
    {
        Signature = Base64Url.EncodeToString(key.SignData(SignedBytes(head), HashAlgorithmName.SHA256, DSASignatureFormat.IeeeP1363FixedFieldConcatenation)),
    };

    /// <summary>Whether the signature is by the key that the head carries; whose key that is, the caller judges.</summary>
    public static bool IsSigned(AuditHead head)
    {
        if (head.Key is not { } jwk || !jwk.IsPublicP256() || !Base64Url.IsValid(head.Signature)) return false;
        try
        {
            using var key = jwk.Import();
            return key.VerifyData(SignedBytes(head), Base64Url.DecodeFromChars(head.Signature), HashAlgorithmName.SHA256, DSASignatureFormat.IeeeP1363FixedFieldConcatenation);
        }
        catch (CryptographicException)
        {
            return false; // no point of the curve
        }
    }

    private static byte[] Encode(params ReadOnlySpan<string?> fields)
    {
        using var bytes = new MemoryStream();
        foreach (var field in fields)
        {
            if (field is null)
            {
                bytes.Write("-,"u8);
                continue;
            }
            var text = Encoding.UTF8.GetBytes(field);
            bytes.Write(Encoding.ASCII.GetBytes(Number(text.Length) + ":"));
            bytes.Write(text);
            bytes.WriteByte((byte)',');
        }
        return bytes.ToArray();
    }

    private static string? Number(long? value) => value?.ToString(CultureInfo.InvariantCulture);
}
