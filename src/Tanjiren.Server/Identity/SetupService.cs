using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Organizations;

namespace Tanjiren.Server.Identity;

internal enum SetupResult
{
    Applied,
    InvalidCode,
    AlreadySetUp,
}

/// <summary>Makes the first owner of a bare server, for whoever can read what the server printed.</summary>
internal sealed class SetupService(Database database, OrganizationService organizations, Passwords passwords, IdentityOptions options, TimeProvider clock)
{
    /// <summary>A new set-up code, or null when the server has users. Earlier codes stop working: only the latest print counts.</summary>
    public Task<string?> OfferAsync(CancellationToken cancellationToken) => database.WriteAsync<string?>(async tx =>
    {
        if (await HasUsersAsync(tx)) return null;
        var code = Ids.Secret(130);
        await tx.ExecuteAsync("DELETE FROM setup_codes");
        await tx.ExecuteAsync("INSERT INTO setup_codes (code_hash, expires_at) VALUES (@hash, @expiresAt)",
            new { hash = CredentialSecret.HashOf(code), expiresAt = NowMs() + options.SetupMinutes * 60_000L });
        return code;
    }, cancellationToken);

    public async Task<(SetupResult Result, Caller? Owner)> CompleteAsync(
        string code, string email, string password, string organizationName, string? address, CancellationToken cancellationToken)
    {
        // Outside of the transaction: the hash takes tens of milliseconds, and SQLite has one writer.
        var hash = passwords.Hash(password);
        return await database.WriteAsync<(SetupResult, Caller?)>(async tx =>
        {
            // One conditional UPDATE: of two people with the link, one becomes the owner.
            var used = await tx.ExecuteAsync("UPDATE setup_codes SET used_at = @now WHERE code_hash = @hash AND used_at IS NULL AND expires_at > @now",
                new { now = NowMs(), hash = CredentialSecret.HashOf(code) });
            if (await HasUsersAsync(tx)) return (SetupResult.AlreadySetUp, null);
            if (used == 0) return (SetupResult.InvalidCode, null);
            var owner = await FoundAsync(tx, email, hash, organizationName, address);
            return (SetupResult.Applied, owner);
        }, cancellationToken);
    }

    /// <summary>A new user with their personal organization.</summary>
    public async Task<Caller> FoundAsync(WriteTransaction tx, string email, string? passwordHash, string organizationName, string? address)
    {
        var now = clock.GetUtcNow();
        var userId = Ids.New(Ids.User, now);
        await tx.ExecuteAsync("INSERT INTO users (id, email, password_hash, created_at) VALUES (@userId, @email, @passwordHash, @createdAt)",
            new { userId, email, passwordHash, createdAt = now.ToUnixTimeMilliseconds() });
        var organization = await organizations.CreatePersonalAsync(tx, userId, now, organizationName, address);
        return new Caller(userId, email, organization.Id, organization.Name, Role.Owner, "", address);
    }

    private static async Task<bool> HasUsersAsync(SqlSession session) => await session.FirstAsync<string>("SELECT id FROM users LIMIT 1") is not null;

    private long NowMs() => clock.GetUtcNow().ToUnixTimeMilliseconds();
}
