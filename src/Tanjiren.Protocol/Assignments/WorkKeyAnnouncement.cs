using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

public sealed record WorkKeyClaims
{
    /// <summary>Thumbprint of the control plane's first key.</summary>
    [JsonPropertyName("iss")] public string? Iss { get; init; }
    /// <summary>Which key it is, from 2; the first is that of the pairing.</summary>
    [JsonPropertyName("seq")] public long? Seq { get; init; }
    /// <summary>The key that signs work from then on.</summary>
    [JsonPropertyName("cnf")] public KeyConfirmation? Cnf { get; init; }
    /// <summary>Seconds since the Unix epoch, by the server's clock.</summary>
    [JsonPropertyName("iat")] public long? Iat { get; init; }
}

/// <summary>The key that signs work names the next one: a JWS that <see cref="Signer"/>, the key before, has signed.</summary>
public sealed record WorkKeyAnnouncement(Jwk Signer, Jwk Key, WorkKeyClaims Claims)
{
    public const string Type = "tanjiren-work-key+jwt";

    /// <summary>Characters.</summary>
    public const int MaxLength = 2048;

    public static string Sign(ECDsa previous, WorkKeyClaims claims) => CompactJws.Sign(
        previous, new ProofHeader { Typ = Type, Alg = CompactJws.Algorithm, Jwk = Jwk.FromKey(previous) }, JsonSerializer.SerializeToUtf8Bytes(claims, WireJson.Default.WorkKeyClaims));

    /// <summary>An announcement whose signature is right, else null. By whom it is, the caller must judge.</summary>
    public static WorkKeyAnnouncement? Read(string? text)
    {
        if (CompactJws.Verified(text, Type, MaxLength) is not var (signer, jws)) return null;
        try
        {
            return JsonSerializer.Deserialize(jws.Payload, WireJson.Default.WorkKeyClaims) is { Cnf.Jwk: { } key } claims && key.IsPublicP256() ? new WorkKeyAnnouncement(signer, key, claims) : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}

/// <summary>From the keys that somebody accepts to those that follow from them.</summary>
public static class WorkKeyChain
{
    /// <summary>What an agent accepts at once: the newest key, and the one before it, by which a server that has not heard of the newest may still sign.</summary>
    public const int Accepted = 2;

    /// <summary>
    /// The known keys and those that the announcements lead to from one of them, each announced by the one before it, oldest first. Who holds none of the known keys can add none. A control plane
    /// that was restored from a backup announces another key than it did before: that one then takes the place of what had followed.
    /// </summary>
    /// <param name="issuer">Thumbprint of the control plane's first key.</param>
    /// <param name="known">Accepted already, oldest first; at least one.</param>
    /// <param name="announcements">As the server keeps them, oldest first, from the first on.</param>
    public static IReadOnlyList<Jwk> Follow(string issuer, IReadOnlyList<Jwk> known, IEnumerable<string> announcements)
    {
        var keys = known.ToList();
        foreach (var text in announcements)
        {
            if (WorkKeyAnnouncement.Read(text) is not { } next || next.Claims.Iss != issuer) continue;
            var (signer, thumbprint) = (next.Signer.Thumbprint(), next.Key.Thumbprint());
            var at = keys.FindLastIndex(key => key.Thumbprint() == signer);
            if (at < 0 || (at + 1 < keys.Count && keys[at + 1].Thumbprint() == thumbprint)) continue;
            keys.RemoveRange(at + 1, keys.Count - at - 1);
            keys.Add(next.Key);
        }
        return keys;
    }
}

/// <summary><c>GET /api/device-trust/work-keys</c>: the keys that sign assignments.</summary>
public sealed record WorkKeysBody
{
    /// <summary>The first one, as at the pairing.</summary>
    public required Jwk First { get; init; }
    /// <summary>JWS (<see cref="WorkKeyAnnouncement"/>), oldest first: each key announces the next.</summary>
    public required IReadOnlyList<string> Announcements { get; init; }
}
