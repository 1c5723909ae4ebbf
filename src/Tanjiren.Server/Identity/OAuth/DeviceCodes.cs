using System.Data.Common;
using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;

namespace Tanjiren.Server.Identity.OAuth;

/// <summary>A client that waits for somebody to let it in.</summary>
internal sealed record DeviceRequest
{
    public string ClientId { get; init; } = "";
    public string? MachineName { get; init; }
    public string? Address { get; init; }
}

internal enum DeviceDecision
{
    Applied,
    /// <summary>Unknown, expired, or decided before.</summary>
    NotFound,
    /// <summary>The person is not, or no longer, in the organization.</summary>
    NotMember,
}

/// <summary>
/// The device authorization grant (RFC 8628). A device code is asked for by the client, decided once by a person, and polled by the client; approved, it is
/// number 0 of the grant's refresh tokens and under the same rules (<see cref="TokenRotation"/>). Codes are kept as hashes.
/// </summary>
internal sealed class DeviceCodes(Database database, GrantStore grants, TokenRotation rotation, AuditLog audit, OAuthOptions options, TimeProvider clock)
{
    private const string Prefix = "tnd_";
    private const int MaxLength = 128;
    private const int UserCodeAttempts = 5;

    /// <summary>What "too fast" forgives: a client that waits the interval exactly, over a network that does not.</summary>
    private const long EarlyMs = 500;

    /// <summary>What too fast a poll adds to the interval (RFC 8628 §3.5).</summary>
    private const long SlowDownMs = 5000;

    public async Task<(string DeviceCode, string UserCode)> CreateAsync(
        OAuthClient client, string? machineName, string? address, CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            var (deviceCode, userCode) = (TokenRotation.NewSecret(Prefix), UserCode.New());
            var now = NowMs();
            try
            {
                await database.WriteAsync(tx => tx.ExecuteAsync("""
                    INSERT INTO oauth_device_codes (device_code_hash, user_code_hash, client_id, scope, machine_name, address, state, interval_ms, created_at, expires_at)
                    VALUES (@hash, @userHash, @Id, @scope, @machineName, @address, 'pending', @intervalMs, @now, @expiresAt)
                    """, new
                {
                    hash = CredentialSecret.HashOf(deviceCode), userHash = CredentialSecret.HashOf(userCode), client.Id, scope = OAuthNames.Scope, machineName, address,
                    intervalMs = options.PollSeconds * 1000L, now, expiresAt = now + options.DeviceCodeSeconds * 1000L,
                }), cancellationToken);
                return (deviceCode, userCode);
            }
            catch (DbException e) when (database.Provider.IsUniqueViolation(e) && attempt < UserCodeAttempts)
            {
                // Somebody else has this user code now, or had it within the last day; there are 25 thousand million.
            }
        }
    }

    /// <summary>A request that waits for a decision, by its normalized user code.</summary>
    public Task<DeviceRequest?> FindAsync(string userCode, CancellationToken cancellationToken) => database.ReadAsync(session => session.FirstAsync<DeviceRequest>("""
        SELECT client_id, machine_name, address FROM oauth_device_codes WHERE user_code_hash = @hash AND state = 'pending' AND expires_at > @now
        """, new { hash = CredentialSecret.HashOf(userCode), now = NowMs() }), cancellationToken);

    /// <summary>Lets the client act for the caller in one of the caller's organizations, for as long as its grant lives.</summary>
    public Task<DeviceDecision> ApproveAsync(Caller caller, string userCode, string organizationId, CancellationToken cancellationToken) =>
        database.WriteAsync(async tx =>
        {
            // The membership is held to the end: a removal at the same moment either comes first and is seen, or comes after and revokes this grant.
            var member = await tx.FirstAsync<string>("SELECT user_id FROM memberships WHERE organization_id = @organizationId AND user_id = @UserId" + tx.ForUpdate,
                new { organizationId, caller.UserId });
            if (member is null) return DeviceDecision.NotMember;
            var row = await LockPendingAsync(tx, userCode);
            if (row is null) return DeviceDecision.NotFound;
            var grantId = await grants.CreateAsync(tx, caller.UserId, organizationId, row.ClientId, row.Scope, row.MachineName, row.ExpiresAt);
            await tx.ExecuteAsync("UPDATE oauth_device_codes SET state = 'approved', grant_id = @grantId WHERE device_code_hash = @DeviceCodeHash AND state = 'pending'",
                new { grantId, row.DeviceCodeHash });
            await audit.AppendAsync(tx, caller with { OrganizationId = organizationId }, "oauth.device_approved", grantId, Describe(row));
            return DeviceDecision.Applied;
        }, cancellationToken);

    public Task<DeviceDecision> DenyAsync(Caller caller, string userCode, CancellationToken cancellationToken) => database.WriteAsync(async tx =>
    {
        var row = await LockPendingAsync(tx, userCode);
        if (row is null) return DeviceDecision.NotFound;
        await tx.ExecuteAsync("UPDATE oauth_device_codes SET state = 'denied' WHERE device_code_hash = @DeviceCodeHash AND state = 'pending'", new { row.DeviceCodeHash });
        await audit.AppendAsync(tx, caller, "oauth.device_denied", row.ClientId, Describe(row));
        return DeviceDecision.Applied;
    }, cancellationToken);

    /// <summary>One poll of a client: its tokens, or what it has to wait for.</summary>
    public async Task<(OAuthTokenResponse? Tokens, OAuthError? Refusal)> PollAsync(
        string deviceCode, OAuthClient client, string? address, CancellationToken cancellationToken)
    {
        if (deviceCode.Length > MaxLength || !deviceCode.StartsWith(Prefix, StringComparison.Ordinal)) return (null, Unknown());
        var code = new { hash = CredentialSecret.HashOf(deviceCode), client.Id, now = NowMs() };
        // Looked up before anything is locked: guesses cost one read.
        if (await database.ReadAsync(session => session.FirstAsync<string>(
            "SELECT state FROM oauth_device_codes WHERE device_code_hash = @hash AND client_id = @Id", code), cancellationToken) is null) return (null, Unknown());

        return await database.WriteAsync<(OAuthTokenResponse?, OAuthError?)>(async tx =>
        {
            var row = await tx.FirstAsync<CodeRow>("SELECT * FROM oauth_device_codes WHERE device_code_hash = @hash" + tx.ForUpdate, code);
            if (row is null) return (null, Unknown());
            if (row.ExpiresAt <= code.now) return (null, OAuthError.Of(OAuthErrors.ExpiredToken, "The device code has expired. Ask for a new one."));
            if (row.State == "denied") return (null, OAuthError.Of(OAuthErrors.AccessDenied, "The person said no."));
            if (row.State == "approved")
            {
                var (tokens, why) = await rotation.ExchangeAsync(tx, row.GrantId!, 0, address);
                return (tokens, tokens is null ? OAuthError.InvalidGrant(why!) : null);
            }
            var early = code.now - row.LastPolledAt < row.IntervalMs - EarlyMs;
            await tx.ExecuteAsync("UPDATE oauth_device_codes SET last_polled_at = @now, interval_ms = interval_ms + @more WHERE device_code_hash = @hash",
                new { code.hash, code.now, more = early ? SlowDownMs : 0 });
            return (null, early
                ? OAuthError.Of(OAuthErrors.SlowDown, $"Polled too fast. Wait {(row.IntervalMs + SlowDownMs) / 1000} s between polls from now on.")
                : OAuthError.Of(OAuthErrors.AuthorizationPending, "Nobody has decided yet."));
        }, cancellationToken);
    }

    private Task<CodeRow?> LockPendingAsync(WriteTransaction tx, string userCode) => tx.FirstAsync<CodeRow>(
        "SELECT * FROM oauth_device_codes WHERE user_code_hash = @hash AND state = 'pending' AND expires_at > @now" + tx.ForUpdate,
        new { hash = CredentialSecret.HashOf(userCode), now = NowMs() });

    private static OAuthError Unknown() => OAuthError.InvalidGrant("The device code is not one of this server's, or of another client.");

    private static string Describe(CodeRow row) => $"{row.ClientId} on {row.MachineName ?? "an unnamed machine"} at {row.Address ?? "an unknown address"}";

    private long NowMs() => clock.GetUtcNow().ToUnixTimeMilliseconds();

    private sealed record CodeRow
    {
        public string DeviceCodeHash { get; init; } = "";
        public string ClientId { get; init; } = "";
        public string Scope { get; init; } = "";
        public string? MachineName { get; init; }
        public string? Address { get; init; }
        public string State { get; init; } = "";
        public string? GrantId { get; init; }
        public long IntervalMs { get; init; }
        public long? LastPolledAt { get; init; }
        public long ExpiresAt { get; init; }
    }
}
