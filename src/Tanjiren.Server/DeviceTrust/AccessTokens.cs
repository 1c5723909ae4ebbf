using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Tanjiren.Protocol;

namespace Tanjiren.Server.DeviceTrust;

/// <summary>
/// Access tokens of workstations: a compact JWS, HS256 under a key that only servers have, bound to the workstation's key by <c>cnf.jkt</c>
/// (RFC 9449 §6.1). They carry no right of their own: that the key is still active is read at every request.
/// </summary>
internal sealed class AccessTokens(ServerSecrets secrets, DeviceTrustOptions options, TimeProvider clock)
{
    public const int MaxLength = 1024;

    // There is one kind of token, so its header is a constant; anything else, "alg":"none" included, differs from it and is refused unread.
    private static readonly string Header = Base64Url.EncodeToString("""{"typ":"at+jwt","alg":"HS256"}"""u8) + ".";

    public int LifetimeSeconds => options.AccessTokenSeconds;

    public string Issue(string instanceId, string organizationId, string jkt)
    {
        var now = clock.GetUtcNow();
        var claims = new AccessTokenClaims
        {
            Sub = instanceId, Org = organizationId, Cnf = new Confirmation { Jkt = jkt },
            Iat = now.ToUnixTimeSeconds(), Exp = now.ToUnixTimeSeconds() + options.AccessTokenSeconds, Jti = Ids.New(Ids.Token, now),
        };
        var input = Header + Base64Url.EncodeToString(JsonSerializer.SerializeToUtf8Bytes(claims, DeviceTrustJson.Default.AccessTokenClaims));
        return input + "." + Base64Url.EncodeToString(HMACSHA256.HashData(secrets.TokenKey, Encoding.ASCII.GetBytes(input)));
    }

    /// <summary>The claims of a token of ours that has not expired, else null and why not.</summary>
    public AccessTokenClaims? Read(string token, out string error)
    {
        error = "The access token is not one of this server's.";
        var dot = token.LastIndexOf('.');
        if (token.Length > MaxLength || dot <= Header.Length || !token.StartsWith(Header, StringComparison.Ordinal)) return null;

        Span<byte> input = stackalloc byte[dot];
        if (Encoding.ASCII.GetBytes(token.AsSpan(0, dot), input) != dot) return null;
        Span<byte> expected = stackalloc byte[HMACSHA256.HashSizeInBytes];
        HMACSHA256.HashData(secrets.TokenKey, input, expected);
        Span<byte> signature = stackalloc byte[HMACSHA256.HashSizeInBytes];
        // Not TryDecode: it throws at characters that are none of base64url, and a forged token must not be a 500.
        if (Base64Url.DecodeFromChars(token.AsSpan(dot + 1), signature, out _, out var written) != System.Buffers.OperationStatus.Done || written != signature.Length
            || !CryptographicOperations.FixedTimeEquals(signature, expected)) return null;

        // Only ours gets here, so its claims are well formed.
        var claims = JsonSerializer.Deserialize(Base64Url.DecodeFromUtf8(input[Header.Length..]), DeviceTrustJson.Default.AccessTokenClaims);
        if (claims is null || claims.Exp <= clock.GetUtcNow().ToUnixTimeSeconds())
        {
            error = "The access token has expired.";
            return null;
        }
        return claims;
    }
}

internal sealed record AccessTokenClaims
{
    /// <summary>The workstation.</summary>
    [JsonPropertyName("sub")] public required string Sub { get; init; }
    [JsonPropertyName("org")] public required string Org { get; init; }
    [JsonPropertyName("cnf")] public required Confirmation Cnf { get; init; }
    [JsonPropertyName("iat")] public required long Iat { get; init; }
    [JsonPropertyName("exp")] public required long Exp { get; init; }
    [JsonPropertyName("jti")] public required string Jti { get; init; }
}

internal sealed record Confirmation
{
    [JsonPropertyName("jkt")] public required string Jkt { get; init; }
}

[JsonSerializable(typeof(AccessTokenClaims))]
internal sealed partial class DeviceTrustJson : JsonSerializerContext;
