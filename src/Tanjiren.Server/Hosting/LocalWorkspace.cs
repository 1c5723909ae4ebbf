using Tanjiren.Server.Data;
using Tanjiren.Server.Identity;

namespace Tanjiren.Server.Hosting;

/// <summary>What <c>up</c> signs its CLI in with. <see cref="Token"/> is a personal access token of the workspace's owner.</summary>
public sealed record LocalCredentials(string OrganizationId, string Token);

/// <summary>The workspace <c>local</c> of a control plane that runs for one person on one machine.</summary>
public static class LocalWorkspace
{
    public const string Name = "local";
    private const string OwnerEmail = "owner@local";
    private static readonly TimeSpan TokenLifetime = TimeSpan.FromDays(365);

    /// <summary>
    /// Makes the workspace and its owner if they are not there, before or after the start of <paramref name="app"/>, and answers
    /// <paramref name="existingToken"/> if that still works there, else a new token. The owner has no password: only who can read the database gets in.
    /// </summary>
    public static async Task<LocalCredentials> EnsureAsync(WebApplication app, string? existingToken, CancellationToken cancellationToken)
    {
        var services = app.Services;
        var database = services.GetRequiredService<Database>();
        var credentials = services.GetRequiredService<CredentialStore>();
        var setup = services.GetRequiredService<SetupService>();
        await services.GetRequiredService<Migrator>().MigrateAsync(cancellationToken);

        if (CredentialSecret.Parse(existingToken) is { } known
            && await credentials.AuthenticateAsync(known, CredentialUse.Bearer, null, cancellationToken) is { OrganizationName: Name, GrantId: null } caller)
            return new LocalCredentials(caller.OrganizationId, known.Value);

        return await database.WriteAsync(async tx =>
        {
            var owner = await tx.FirstAsync<OwnerRow>("""
                SELECT m.user_id, m.organization_id FROM memberships m JOIN organizations o ON o.id = m.organization_id
                WHERE o.name = @Name AND m.role = 'owner'
                """, new { Name });
            if (owner is null)
            {
                var founded = await setup.FoundAsync(tx, OwnerEmail, passwordHash: null, Name, address: null);
                owner = new OwnerRow { UserId = founded.UserId, OrganizationId = founded.OrganizationId };
            }
            var (_, secret) = await credentials.IssueAsync(tx, CredentialKind.Token, owner.UserId, owner.OrganizationId, "up", TokenLifetime);
            return new LocalCredentials(owner.OrganizationId, secret.Value);
        }, cancellationToken);
    }

    /// <inheritdoc cref="EnsureAsync(WebApplication, string?, CancellationToken)"/>
    public static Task<LocalCredentials> EnsureAsync(WebApplication app, CancellationToken cancellationToken) => EnsureAsync(app, null, cancellationToken);

    private sealed record OwnerRow
    {
        public string UserId { get; init; } = "";
        public string OrganizationId { get; init; } = "";
    }
}
