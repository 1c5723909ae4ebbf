using System.Diagnostics.CodeAnalysis;

using Tanjiren.Cli.Settings;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Client;

/// <summary>
/// The access token of a stored sign-in, refreshed when it is about to expire. The processes of one home refresh one after another, under the lock of the
/// credentials file (wherever the tokens lie), and each looks first at what the one before it left there: the server takes a second use of a refresh token for theft. A lost answer is
/// asked for again at once, for the server repeats it for a short time only.
/// </summary>
[SuppressMessage("Reliability", "CA1001", Justification = "A semaphore whose wait handle is never asked for holds nothing.")]
internal sealed class TokenKeeper(CliContext cli, string workspace)
{
    /// <summary>A token is renewed this long before it expires, so that a request under way does not meet the end.</summary>
    private static readonly TimeSpan Slack = TimeSpan.FromSeconds(30);

    private readonly CredentialStore store = cli.Credentials;
    private readonly SemaphoreSlim refreshing = new(1, 1);
    private volatile WorkspaceCredential? known;

    /// <summary>A token that the server should still take.</summary>
    public async Task<string> CurrentAsync(CancellationToken cancellation)
    {
        // Not read anew for each request: the keychain is another process.
        var stored = known is { } last && IsFresh(last) ? last : (known = Stored());
        return IsFresh(stored) ? stored.Token : await RefreshAsync(stored.Token, cancellation);
    }

    /// <summary>Another token than one that the server has refused before its time.</summary>
    /// <exception cref="SignInEndedException">The sign-in has ended.</exception>
    public async Task<string> RefreshAsync(string refused, CancellationToken cancellation)
    {
        await refreshing.WaitAsync(cancellation);
        try
        {
            using var held = await store.LockAsync(cancellation);
            var stored = known = Stored();
            if (stored.Token != refused && IsFresh(stored)) return stored.Token;
            OAuthTokenResponse tokens;
            try
            {
                tokens = await ExchangeAsync(stored, cancellation);
            }
            catch (OAuthException e) when (e.Error == OAuthErrors.InvalidGrant)
            {
                throw new SignInEndedException($"the sign-in of workspace '{workspace}' has ended: {Output.Text.Safe(e.Message)}",
                    $"sign in again with `tanvrit-compute auth login --server {stored.Url}`", e);
            }
            var renewed = stored.With(tokens, cli.Clock.GetUtcNow());
            store.RenewLocked(workspace, renewed);
            known = renewed;
            return tokens.AccessToken;
        }
        finally
        {
            refreshing.Release();
        }
    }

    private async Task<OAuthTokenResponse> ExchangeAsync(WorkspaceCredential stored, CancellationToken cancellation)
    {
        using var oauth = new OAuthApi(new Uri(stored.Url), cli.Timeouts, cli.Clock);
        var began = cli.Clock.GetTimestamp();
        var backoff = new Backoff(cli.Timeouts, cli.Clock);
        while (true)
        {
            try
            {
                return await oauth.RefreshAsync(stored.RefreshToken!, cancellation);
            }
            catch (Exception e) when (e is UnreachableException or ApiException { IsTransient: true } && cli.Clock.GetElapsedTime(began) < cli.Timeouts.RepeatRefresh)
            {
                await backoff.PauseAsync(cancellation, (e as ApiException)?.RetryAfter);
            }
        }
    }

    private WorkspaceCredential Stored() => store.Read().Workspaces.GetValueOrDefault(workspace) is { } kept && store.Whole(workspace, kept) is { RefreshToken: not null } stored
        ? stored
        : throw new SignInEndedException($"workspace '{workspace}' was signed out meanwhile", "sign in with `tanvrit-compute auth login`");

    private bool IsFresh(WorkspaceCredential stored) => stored.ExpiresAt - cli.Clock.GetUtcNow() > Slack;
}
