using System.Net;
using System.Security.Cryptography;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Tests.Hostile;

/// <summary>Proofs, tokens and keys of workstations that are wrong in exactly one way (RFC 9449 §4.3, §7.1, §8; RFC 6750 §3.1).</summary>
internal static class ProofRows
{
    private const string InvalidProof = "invalid_dpop_proof";
    private const string InvalidToken = "invalid_token";
    private const string UseNonce = "use_dpop_nonce";

    public static IEnumerable<HostileRequest> All =>
    [
        // The form.
        Wrong("no proof", InvalidProof, p => p with { Proofs = [] }),
        Wrong("two proofs", InvalidProof, p => p with { Proofs = [p.Proof(), (p with { Claims = p.Claims with { Jti = "other" } }).Proof()] }),
        Wrong("not a JWS", InvalidProof, p => p with { Proofs = ["a.b"] }),
        Wrong("four parts", InvalidProof, p => p with { Proofs = [p.Proof() + ".x"] }),
        Wrong("too long", InvalidProof, p => p with { Claims = p.Claims with { Jti = new string('x', 4096) } }),
        Wrong("wrong typ", InvalidProof, p => p with { Header = p.Header with { Typ = "JWT" } }),
        Wrong("no jti", InvalidProof, p => p with { Claims = p.Claims with { Jti = "" } }),

        // The algorithm and the key.
        Wrong("alg RS256", InvalidProof, p => p with { Header = p.Header with { Alg = "RS256" } }),
        Wrong("alg none, no signature", InvalidProof, p => p with { Header = p.Header with { Alg = "none" }, Signer = _ => [] }),
        Wrong("alg ES256, no signature", InvalidProof, p => p with { Signer = _ => [] }),
        Wrong("alg HS256, the public key as the secret", InvalidProof, p => p with
        {
            Header = p.Header with { Alg = "HS256" }, Signer = input => HMACSHA256.HashData(p.Key.ExportSubjectPublicKeyInfo(), input),
        }),
        Wrong("alg ES256, a MAC with the public key", InvalidProof, p => p with { Signer = input => [.. HMACSHA256.HashData(p.Key.ExportSubjectPublicKeyInfo(), input), .. new byte[32]] }),
        Wrong("alg ES256, a signature of zeros", InvalidProof, p => p with { Signer = _ => new byte[64] }),
        Wrong("alg ES256, a DER signature", InvalidProof, p => p with { Signer = input => p.Key.SignData(input, HashAlgorithmName.SHA256, DSASignatureFormat.Rfc3279DerSequence) }),
        Wrong("private key in the jwk", InvalidProof, p => p with { Header = p.Header with { Jwk = p.Header.Jwk! with { D = p.Header.Jwk.X } } }),
        Wrong("no jwk", InvalidProof, p => p with { Header = p.Header with { Jwk = null } }),
        Wrong("signed by another key than the jwk", InvalidProof, p => p with { Key = p.Bench.Other.Key }),
        Wrong("signature of another proof", InvalidProof, p => p with { Proofs = [p.Proof()[..^86] + (p with { Claims = p.Claims with { Jti = "other" } }).Proof()[^86..]] }),

        // The request that it was made for.
        Wrong("other method in the proof", InvalidProof, p => p with { Claims = p.Claims with { Htm = "PUT" } }),
        Wrong("method in lower case", InvalidProof, p => p with { Claims = p.Claims with { Htm = "post" } }),
        Wrong("other path", InvalidProof, p => p with { Claims = p.Claims with { Htu = p.Url.Replace("/probe", "/prob", StringComparison.Ordinal) } }),
        Wrong("path that only normalises to it", InvalidProof, p => p with { Claims = p.Claims with { Htu = p.Url.Replace("/probe", "/x/../probe", StringComparison.Ordinal) } }),
        Wrong("other query", InvalidProof, p => p with { Claims = p.Claims with { Htu = p.Url.Replace("ses_01m7xrcwvsfv8tpytprfdh28j0", "ses_y", StringComparison.Ordinal) } }),
        Wrong("query left out", InvalidProof, p => p with { Claims = p.Claims with { Htu = p.Url.Split('?')[0] } }),
        Wrong("query added to the request", InvalidProof, p => p with { Url = p.Url + "&x=1" }),
        Wrong("other host", InvalidProof, p => p with { Claims = p.Claims with { Htu = p.Url.Replace("127.0.0.1", "localhost", StringComparison.Ordinal) } }),
        Wrong("other scheme", InvalidProof, p => p with { Claims = p.Claims with { Htu = p.Url.Replace("http:", "https:", StringComparison.Ordinal) } }),
        Wrong("name and password before the host", InvalidProof, p => p with { Claims = p.Claims with { Htu = p.Url.Replace("http://", "http://a:b@", StringComparison.Ordinal) } }),
        Wrong("altered body", InvalidProof, p => p with { Body = "{\"value\":2}"u8.ToArray() }),
        Wrong("no body digest", InvalidProof, p => p with { Claims = p.Claims with { Bsh = null } }),
        Wrong("body added to the proof of an empty one", InvalidProof, p => p with { Claims = p.Claims with { Bsh = DPoPProof.Digest([]) } }),
        Wrong("body taken away", InvalidProof, p => p with { Body = [] }),
        Wrong("empty body without its digest", InvalidProof, p => p with { Body = [], Claims = p.Claims with { Bsh = null } }),
        Wrong("empty body with an empty digest", InvalidProof, p => p with { Body = [], Claims = p.Claims with { Bsh = "" } }),

        // Time, nonce, replay.
        Wrong("old iat", InvalidProof, p => p with { Claims = p.Claims with { Iat = p.Claims.Iat - 91 } }) with { Tells = p => p.ClockOffsetSeconds.ShouldBe(-91) },
        Wrong("future iat", InvalidProof, p => p with { Claims = p.Claims with { Iat = p.Claims.Iat + 31 } }) with
        {
            Tells = p =>
            {
                p.ClockOffsetSeconds.ShouldBe(31);
                p.Detail!.ShouldContain("31 s ahead of the server's clock");
            },
        },
        Wrong("iat at the end of time", InvalidProof, p => p with { Claims = p.Claims with { Iat = long.MaxValue } }),
        Wrong("no iat", InvalidProof, p => p with { Claims = p.Claims with { Iat = null } }),
        Wrong("no nonce", UseNonce, p => p with { Claims = p.Claims with { Nonce = null } }),
        Wrong("forged nonce", UseNonce, p => p with { Claims = p.Claims with { Nonce = (p.Claims.Nonce![0] == 'A' ? 'B' : 'A') + p.Claims.Nonce[1..] } }),
        Row("nonce of a server with other keys", UseNonce, async bench =>
        {
            var nonce = await bench.ForeignNonceAsync();
            return await Changed(bench, p => p with { Claims = p.Claims with { Nonce = nonce } });
        }),
        Row("stale nonce", UseNonce, bench =>
        {
            var nonce = bench.Device.Nonce;
            bench.Clock.Advance(TimeSpan.FromSeconds(121));
            return Changed(bench, p => p with { Claims = p.Claims with { Nonce = nonce } });
        }) with { Alone = true },
        Row("replay", InvalidProof, async bench =>
        {
            var parts = new ProofParts(bench);
            var used = parts with { Proofs = [parts.Proof()] };
            (await used.SendAsync()).StatusCode.ShouldBe(HttpStatusCode.OK);
            return await used.SendAsync();
        }) with { Served = 1 },
        Row("the jti of an earlier proof", InvalidProof, async bench =>
        {
            var parts = new ProofParts(bench);
            (await parts.SendAsync()).StatusCode.ShouldBe(HttpStatusCode.OK);
            return await Changed(bench, p => p with { Claims = p.Claims with { Jti = parts.Claims.Jti } });
        }) with { Served = 1 },
        Row("replay after a restart of the server", UseNonce, async bench =>
        {
            var parts = new ProofParts(bench);
            var used = parts with { Proofs = [parts.Proof()] };
            (await used.SendAsync()).StatusCode.ShouldBe(HttpStatusCode.OK);
            await bench.RestartAsync();
            return await used.SendAsync();
        }) with { Served = 1, Alone = true },

        // The token.
        Wrong("wrong ath", InvalidProof, p => p with { Claims = p.Claims with { Ath = DPoPProof.Digest("other"u8) } }),
        Wrong("no ath", InvalidProof, p => p with { Claims = p.Claims with { Ath = null } }),
        Wrong("no token", InvalidToken, p => p with { Authorizations = [] }),
        Wrong("token without a proof", InvalidProof, p => p with { Proofs = [] }),
        Wrong("token as Bearer", InvalidToken, p => p with { Authorizations = ["Bearer " + p.Token] }),
        Wrong("two tokens", InvalidToken, p => p with { Authorizations = ["DPoP " + p.Token, "DPoP " + p.Token] }),
        Wrong("forged token", InvalidToken, p => p with { Token = p.Token[..^2] + (p.Token.EndsWith('A') ? "BB" : "AA") }),
        Wrong("token whose signature is no base64url", InvalidToken, p => p with { Token = p.Token[..^2] + "!!" }),
        Wrong("token with alg none", InvalidToken, p => p with { Token = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJub25lIn0." + p.Token.Split('.')[1] + "." }),
        Wrong("a person's token", InvalidToken, p => p with { Token = p.Bench.Server.Owner.Token }),
        Wrong("another workstation's token", InvalidToken, p => p with { Token = p.Bench.Other.AccessToken }),
        Row("expired token", InvalidToken, async bench =>
        {
            bench.Clock.Advance(TimeSpan.FromHours(1));
            await new ProofParts(bench).SendAsync(); // the nonce is old as well, and the answer brings the next
            return await new ProofParts(bench).SendAsync();
        }) with { Alone = true },

        // The key.
        Wrong("another workstation's key", InvalidToken, p => p with { Header = p.Bench.Other.Header(), Key = p.Bench.Other.Key }),
        Row("a key that was revoked", InvalidToken, async bench =>
        {
            await bench.Server.Client.DeleteAsync("/api/instances/" + bench.Device.InstanceId, TestContext.Current.CancellationToken);
            return await new ProofParts(bench).SendAsync();
        }) with { Alone = true, Code = ErrorCode.KeyRevoked },
        Row("a fresh token for a key that was revoked", InvalidToken, async bench =>
        {
            await bench.Server.Client.DeleteAsync("/api/instances/" + bench.Device.InstanceId, TestContext.Current.CancellationToken);
            return await bench.Device.RefreshAsync();
        }) with { Alone = true, Code = ErrorCode.KeyRevoked },
        Row("a token for a stranger's key", InvalidToken, async bench =>
        {
            var stranger = await bench.NewStrangerAsync();
            stranger.InstanceId = bench.Device.InstanceId;
            return await stranger.RefreshAsync();
        }) with { Code = ErrorCode.KeyRevoked },
        new("another workstation's route", HttpStatusCode.NotFound, ErrorCode.NotFound,
            bench => bench.Device.SendAsync(HttpMethod.Post, bench.Url.Replace(bench.Device.InstanceId, bench.Other.InstanceId, StringComparison.Ordinal), new PairRequest())),
        new("nothing at all", HttpStatusCode.Unauthorized, ErrorCode.AuthenticationRequired, bench => bench.Device.SendRawAsync(HttpMethod.Post, bench.Url, bench.Bytes, [], [])) { Error = "" },
    ];

    private static HostileRequest Wrong(string name, string error, Func<ProofParts, ProofParts> change) => Row(name, error, bench => Changed(bench, change));

    private static HostileRequest Row(string name, string error, Func<HostileBench, Task<HttpResponseMessage>> send) => new(name, HttpStatusCode.Unauthorized, error switch
    {
        UseNonce => ErrorCode.UseDpopNonce,
        InvalidToken => ErrorCode.InvalidToken,
        _ => ErrorCode.InvalidDpopProof,
    }, send)
    { Error = error };

    private static Task<HttpResponseMessage> Changed(HostileBench bench, Func<ProofParts, ProofParts> change) => change(new ProofParts(bench)).SendAsync();
}
