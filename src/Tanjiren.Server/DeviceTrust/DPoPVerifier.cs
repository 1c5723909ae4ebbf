using System.Globalization;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.DeviceTrust;

/// <summary>Why a proof was refused: the error name of RFC 9449 for <c>WWW-Authenticate</c> (null: a challenge without an error, or none at all), and the problem.</summary>
internal sealed record ProofRefusal(string? Error, Problem Problem)
{
    /// <summary>The problem, with its challenge in the header; for handlers, whose proof has passed.</summary>
    public Problem Challenge(HttpContext context)
    {
        context.Response.Headers.WWWAuthenticate = $"DPoP error=\"{Error}\", algs=\"{DPoPProof.Algorithm}\"";
        return Problem;
    }
}

/// <summary>
/// A proof that passed: whose key, which token, and the body that it covers. <see cref="SignedOut"/>: the sign-in behind the workstation has ended; the route decides.
/// </summary>
internal sealed record VerifiedProof(Jwk Key, string Thumbprint, AccessTokenClaims? Token, BufferedBody Body, bool SignedOut);

/// <summary>
/// Judges the proof of a request (RFC 9449 §4.3). The order is fixed: first what costs nothing, then what costs a MAC, one read, a signature, the body; the
/// one-time id comes last, so that only a proof that is good in every other way takes room in the memory of used ones.
/// </summary>
internal sealed class DPoPVerifier(
    Database database, AccessTokens tokens, ProofNonces nonces, ProofKeys keys, UsedProofs used, ServerAddress address, DeviceTrustOptions options, TimeProvider clock)
{
    private const string Scheme = "DPoP ";

    private readonly long _startTimestamp = clock.GetTimestamp();
    private readonly DateTimeOffset _startWall = clock.GetUtcNow();

    /// <summary>With a token: a workstation's request. Without: one that binds or proves a key and has no token yet.</summary>
    public async ValueTask<(VerifiedProof? Proof, ProofRefusal? Refusal)> VerifyAsync(HttpContext context, bool withToken, int maxBodyBytes)
    {
        var request = context.Request;

        // 1. Header sizes and exactly one header.
        var header = request.Headers[DPoPProof.Header];
        var authorization = request.Headers.Authorization;
        if (withToken && header.Count == 0 && authorization.Count == 0)
            return (null, new ProofRefusal(null, Problem.Of(401, ErrorCode.AuthenticationRequired, "This route is for workstations.",
                "Send 'Authorization: DPoP <access token>' and a DPoP proof of the workstation's key.")));
        if (header.Count != 1) return Bad(header.Count == 0 ? "The DPoP header is missing." : "There is more than one DPoP header.");
        if (header[0] is not { Length: > 0 and <= WireLimits.MaxProofLength } text) return Bad($"The DPoP header is empty or longer than {WireLimits.MaxProofLength} characters.");
        if (withToken && authorization.Count != 1) return BadToken("There must be exactly one Authorization header.");
        if (DPoPProof.Parse(text) is not { } proof) return Bad("The DPoP header is not a compact JWS.");
        var claims = proof.Claims;

        // 2. Time.
        if (claims.Iat is not { } iat) return Bad("The proof has no iat.");
        if (CheckClock(iat) is { } offClock) return (null, offClock);

        // 3. Nonce.
        if (!nonces.IsFresh(claims.Nonce))
            return (null, new ProofRefusal("use_dpop_nonce", Problem.Of(401, ErrorCode.UseDpopNonce,
                claims.Nonce is null ? "The proof needs a nonce of this server." : "The nonce is too old or not of this server.",
                "Send the request again at once, with the nonce of the DPoP-Nonce header in the proof.")));

        // 4. Token.
        AccessTokenClaims? token = null;
        string? accessToken = null;
        if (withToken)
        {
            var value = authorization[0]!;
            if (value.Length > AccessTokens.MaxLength + Scheme.Length || !value.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase))
                return BadToken("The Authorization header is not 'DPoP <access token>'.");
            accessToken = value[Scheme.Length..];
            token = tokens.Read(accessToken, out var why);
            if (token is null) return BadToken(why);
        }

        // 5. The key of the proof is the key of the token, and still an active key of that workstation.
        if (proof.Header.Jwk is not { } jwk) return Bad("The proof has no jwk.");
        var thumbprint = jwk.Thumbprint();
        var signedOut = false;
        if (token is not null)
        {
            if (token.Cnf.Jkt != thumbprint) return BadToken("The access token is bound to another key than the proof's.");
            if (await FindKeyAsync(token.Sub, thumbprint, context.RequestAborted) is not { } found)
                return (null, await database.ReadAsync(session => GoneAsync(session, token.Sub, thumbprint), context.RequestAborted));
            signedOut = found.SignedOut;
        }

        // 6. Type, algorithm, a public key, signature.
        if (proof.Header.Typ != DPoPProof.Type) return Bad($"The proof's typ is not {DPoPProof.Type}.");
        if (proof.Header.Alg != DPoPProof.Algorithm) return Bad($"The proof's alg is not {DPoPProof.Algorithm}.");
        if (!jwk.IsPublicP256()) return Bad(jwk.D is null ? "The proof's jwk is not a P-256 key." : "The proof's jwk contains a private key: make a new one, this one is known now.");
        if (!keys.Verify(jwk, thumbprint, keep: token is not null, proof.SigningInput, proof.Signature)) return Bad("The proof's signature is wrong.");

        // 7-9. Token, method and URL that it was made for.
        if (accessToken is not null && claims.Ath != DPoPProof.Digest(System.Text.Encoding.ASCII.GetBytes(accessToken))) return Bad("The proof's ath is not the digest of the access token.");
        if (claims.Htm != request.Method) return Bad($"The proof is for the method '{claims.Htm}'.");
        if (!ProofUrl.Matches(claims.Htu, context, address)) return Bad("The proof's htu is not the URL of the request, with path and query.");

        // 10. The body. Its memory is the caller's from here on.
        var (body, waited) = await BufferedBody.ReadAsync(context, maxBodyBytes, options.BodyTimeout, clock);
        if (body is null) return (null, new ProofRefusal(null, ErrorAnswers.TooLarge(maxBodyBytes)));
        if (waited && token is not null)
        {
            // An admin may have approved another key while it came: whoever began under the old one must not go on under it.
            if (await FindKeyAsync(token.Sub, thumbprint, context.RequestAborted) is not { } row)
            {
                body.Dispose();
                return (null, await database.ReadAsync(session => GoneAsync(session, token.Sub, thumbprint), context.RequestAborted));
            }
            signedOut = row.SignedOut;
        }
        var refusal = claims.Bsh != DPoPProof.Digest(body.Bytes) ? Bad("The proof's bsh is not the digest of the body.").Refusal : UseOnce(thumbprint, claims.Jti);
        if (refusal is null) return (new VerifiedProof(jwk, thumbprint, token, body, signedOut), null);
        body.Dispose();
        return (null, refusal);
    }

    /// <summary>Why a key is not the active one of this workstation: an approved rotation, whose new key its holder has, or anything else, which takes a person.</summary>
    public static async Task<ProofRefusal> GoneAsync(SqlSession session, string instanceId, string jkt) =>
        await session.FirstAsync<string>("""
            SELECT k.id FROM instance_keys k JOIN instances i ON i.id = k.instance_id
            WHERE k.jkt = @jkt AND k.instance_id = @instanceId AND k.rotated = 1 AND i.removed_at IS NULL
            """, new { jkt, instanceId }) is not null
            ? new("invalid_token", Problem.Of(401, ErrorCode.KeyRotated, "An admin has approved another key for this workstation; this one ended with that.",
                "Go on with the new key. If it is not there any more, ask an admin for a recovery code: tanvrit-compute workstations recover NAME."))
            : new("invalid_token", Problem.Of(401, ErrorCode.KeyRevoked, "This key is not the active key of the workstation: it was removed, or its key recovered or paired anew.",
                "While the workstation exists, recover it: tanvrit-compute workstations recover NAME. If it was removed, pair again: tanvrit-compute agent pair --server URL --code CODE."));

    /// <summary>11. Once only.</summary>
    private ProofRefusal? UseOnce(string thumbprint, string? jti)
    {
        if (string.IsNullOrEmpty(jti)) return Bad("The proof has no jti.").Refusal;
        return used.Use(thumbprint, jti) switch
        {
            ProofUse.Replayed => Bad("The proof was used before.").Refusal,
            ProofUse.Full => new ProofRefusal(null, ErrorAnswers.Unavailable("The server can't remember more proofs right now.")),
            _ => null,
        };
    }

    /// <summary>
    /// A proof passes when it is in time by the wall clock, or by the wall clock of the start plus elapsed time: a step of the server's clock must not lock
    /// every workstation out, and a wrong clock at the start must not once it is set right. Replays do not gain by it: those are held off by nonces
    /// and <see cref="UsedProofs"/>, which count elapsed time only.
    /// </summary>
    private ProofRefusal? CheckClock(long iat)
    {
        var wall = clock.GetUtcNow();
        if (InTime(iat, wall) || InTime(iat, _startWall + clock.GetElapsedTime(_startTimestamp))) return null;
        var offset = Math.Clamp(iat - Math.Floor(wall.ToUnixTimeMilliseconds() / 1000.0), -1e12, 1e12);
        var size = Math.Abs(offset).ToString("0", CultureInfo.InvariantCulture);
        var problem = Problem.Of(401, ErrorCode.InvalidDpopProof,
            $"The proof's time is {size} s {(offset > 0 ? "ahead of" : "behind")} the server's clock ({wall.UtcDateTime:yyyy-MM-dd'T'HH:mm:ss'Z'}); at most {options.ProofWindowSeconds + options.ClockSkewSeconds} s behind and {options.ClockSkewSeconds} s ahead are allowed.",
            "Set this machine's clock, or turn on its time synchronisation.").Value;
        return new ProofRefusal("invalid_dpop_proof", new Problem(problem with { ClockOffsetSeconds = offset }));
    }

    private bool InTime(long iat, DateTimeOffset now)
    {
        var age = now.ToUnixTimeMilliseconds() / 1000.0 - iat;
        return age <= options.ProofWindowSeconds + options.ClockSkewSeconds && age >= -options.ClockSkewSeconds;
    }

    /// <summary>The active key with the sign-in behind its workstation, in one statement: this is the hot path.</summary>
    private Task<KeyRow?> FindKeyAsync(string instanceId, string jkt, CancellationToken cancellationToken) => database.ReadAsync(session => session.FirstAsync<KeyRow>("""
        SELECT k.id, g.revoked_at AS signed_out_at
        FROM instance_keys k JOIN instances i ON i.id = k.instance_id LEFT JOIN oauth_grants g ON g.id = i.grant_id
        WHERE k.jkt = @jkt AND k.instance_id = @instanceId AND k.revoked_at IS NULL
        """, new { jkt, instanceId }), cancellationToken);

    private static (VerifiedProof? Proof, ProofRefusal? Refusal) Bad(string detail) => (null, new ProofRefusal("invalid_dpop_proof",
        Problem.Of(401, ErrorCode.InvalidDpopProof, detail, "Make a fresh proof for this very request (RFC 9449 §4.2, with the body's digest as bsh).")));

    private static (VerifiedProof? Proof, ProofRefusal? Refusal) BadToken(string detail) => (null, new ProofRefusal("invalid_token",
        Problem.Of(401, ErrorCode.InvalidToken, detail, "Fetch a fresh one at POST /api/device-trust/token.")));

    private sealed record KeyRow
    {
        public string Id { get; init; } = "";
        public long? SignedOutAt { get; init; }

        public bool SignedOut => SignedOutAt is not null;
    }
}
