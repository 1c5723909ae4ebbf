using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;

namespace Tanjiren.Server.Identity;

/// <summary>A secret that its holder shows and of which we keep the SHA-256 only: 256 random bits need no slow hash.</summary>
internal readonly record struct CredentialSecret(string Value)
{
    public const string Prefix = "tnv_";
    private const int MaxLength = 128;

    public static CredentialSecret New() => new(Prefix + Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32)));

    /// <summary>Null when the text can't be one of ours, so that no hash and no query is spent on it.</summary>
    public static CredentialSecret? Parse(string? text) =>
        text is { Length: <= MaxLength } && text.StartsWith(Prefix, StringComparison.Ordinal) ? new CredentialSecret(text) : null;

    public string Hash => HashOf(Value);

    public static string HashOf(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));

    /// <summary>Redacted: secrets must not reach a log by way of a record or a message.</summary>
    public override string ToString() => Prefix + "…";
}
