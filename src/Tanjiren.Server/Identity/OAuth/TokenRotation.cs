using System.Buffers.Text;
using System.Security.Cryptography;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;

namespace Tanjiren.Server.Identity.OAuth;

/// <summary>
/// Exchanges a refresh token for the next pair. The tokens of a grant are numbered; the device code is number 0. Good is the newest one, and for a short time the
/// one that it was exchanged for: its answer may have been lost. Every other one has been superseded, so whoever shows it holds a copy, and
/// the whole grant ends (RFC 9700 §4.14.2): of thief and owner, the one who comes second gives the theft away.
/// </summary>
internal sealed class TokenRotation(Database database, GrantStore grants, CredentialStore credentials, OAuthOptions options, Counters counters, TimeProvider clock)
{
    private const string Prefix = "tnr_";
    private const int MaxLength = 128;

    public static string NewSecret(string prefix) => prefix + Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32));

    /// <summary>The number and grant of a refresh token that was given to this client, whatever has become of it.</summary>
    public Task<RefreshRow?> FindAsync(string refreshToken, OAuthClient client, CancellationToken cancellationToken) =>
        refreshToken.Length > MaxLength || !refreshToken.StartsWith(Prefix, StringComparison.Ordinal)
            ? Task.FromResult<RefreshRow?>(null)
            : database.ReadAsync(session => session.FirstAsync<RefreshRow>("""
                SELECT t.grant_id, t.number FROM oauth_refresh_tokens t JOIN oauth_grants g ON g.id = t.grant_id
                WHERE t.secret_hash = @hash AND g.client_id = @Id
                """, new { hash = CredentialSecret.HashOf(refreshToken), client.Id }), cancellationToken);

    /// <summary>Null tokens: refused, and why.</summary>
    public async Task<(OAuthTokenResponse? Tokens, string? Why)> RefreshAsync(
        string refreshToken, OAuthClient client, string? address, CancellationToken cancellationToken)
    {
        if (await FindAsync(refreshToken, client, cancellationToken) is not { } shown) return (null, "The refresh token is not one of this server's, or of another client.");
        return await database.WriteAsync(tx => ExchangeAsync(tx, shown.GrantId, shown.Number, address), cancellationToken);
    }

    /// <summary>
    /// One conditional UPDATE decides: of two requests with one token at once the second waits for the first, and then finds itself the repeat of a
    /// lost answer or a reuse, never a second newest.
    /// </summary>
    public async Task<(OAuthTokenResponse? Tokens, string? Why)> ExchangeAsync(WriteTransaction tx, string grantId, long number, string? address)
    {
        var now = clock.GetUtcNow().ToUnixTimeMilliseconds();
        var grant = await tx.FirstAsync<ExchangedRow>("""
            UPDATE oauth_grants SET refresh_newest = refresh_newest + 1, refresh_parent = @number, expires_at = @expiresAt,
              rotated_at = CASE WHEN refresh_newest = @number THEN @now ELSE rotated_at END
            WHERE id = @grantId AND revoked_at IS NULL AND expires_at > @now
              AND (refresh_newest = @number OR (refresh_parent = @number AND rotated_at > @repeatable))
            RETURNING user_id, organization_id, client_id, scope, refresh_newest
            """, new { grantId, number, now, expiresAt = now + options.RefreshLifetimeMs, repeatable = now - options.RefreshLeewaySeconds * 1000L });
        if (grant is null) return (null, await RefuseAsync(tx, grantId, now, address));

        var refresh = NewSecret(Prefix);
        await tx.ExecuteAsync("INSERT INTO oauth_refresh_tokens (secret_hash, grant_id, number, expires_at) VALUES (@hash, @grantId, @number, @expiresAt)",
            new { hash = CredentialSecret.HashOf(refresh), grantId, number = grant.RefreshNewest, expiresAt = now + options.RefreshLifetimeMs });
        var (_, access) = await credentials.IssueAsync(
            tx, CredentialKind.OAuth, grant.UserId, grant.OrganizationId, grant.ClientId, TimeSpan.FromSeconds(options.AccessTokenSeconds), grantId);
        tx.OnCommit(() => counters.Add(Counted.OAuthTokens));
        return (new OAuthTokenResponse
        {
            AccessToken = access.Value, TokenType = "Bearer", ExpiresIn = options.AccessTokenSeconds, RefreshToken = refresh, Scope = grant.Scope, GrantId = grantId,
        }, null);
    }

    private async Task<string> RefuseAsync(WriteTransaction tx, string grantId, long now, string? address)
    {
        var grant = await tx.FirstAsync<GrantRow>("SELECT id, expires_at, revoked_at FROM oauth_grants WHERE id = @grantId", new { grantId });
        if (grant?.RevokedAt is not null) return "This sign-in has been ended.";
        if (grant is null || grant.ExpiresAt <= now) return "This sign-in has run out.";
        if (await grants.RevokeAsync(tx, grantId, RevokeReason.RefreshReused, grantId, address)) tx.OnCommit(() => counters.Add(Counted.OAuthReuses));
        return "The refresh token was used before. Somebody may have a copy of it, so this sign-in has been ended.";
    }

    private sealed record ExchangedRow
    {
        public string UserId { get; init; } = "";
        public string OrganizationId { get; init; } = "";
        public string ClientId { get; init; } = "";
        public string Scope { get; init; } = "";
        public long RefreshNewest { get; init; }
    }
}

internal sealed record RefreshRow
{
    public string GrantId { get; init; } = "";
    public long Number { get; init; }
}
