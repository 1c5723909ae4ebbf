using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Auth;

/// <summary>The device authorization grant (RFC 8628): a person approves this machine on a page of the server, on whatever device has a browser.</summary>
internal static class DeviceLogin
{
    private static readonly TimeSpan SlowDown = TimeSpan.FromSeconds(5);

    public static async Task<OAuthTokenResponse> RunAsync(CliContext cli, Uri server, bool openBrowser, CancellationToken cancellation)
    {
        using var oauth = new OAuthApi(server, cli.Timeouts, cli.Clock);
        var asked = await oauth.AuthorizeDeviceAsync(Environment.MachineName, cancellation);
        var page = asked.VerificationUriComplete ?? asked.VerificationUri;
        var opened = openBrowser && Uri.TryCreate(page, UriKind.Absolute, out var url) && cli.OpenBrowser(url);
        cli.Say(opened ? "approve this machine in the browser; if none came up, open" : "open this page, here or on another device, and approve this machine:");
        cli.Say($"  {Text.Safe(page)}");
        cli.Say($"code: {Text.Safe(asked.UserCode)} (the page must show the same)");
        return await WaitAsync(cli, oauth, asked, cancellation);
    }

    private static async Task<OAuthTokenResponse> WaitAsync(CliContext cli, OAuthApi oauth, DeviceAuthorizationResponse asked, CancellationToken cancellation)
    {
        var began = cli.Clock.GetTimestamp();
        var interval = TimeSpan.FromSeconds(Math.Max(1, asked.Interval ?? 5));
        while (true)
        {
            await Task.Delay(interval, cli.Clock, cancellation);
            try
            {
                return await oauth.PollAsync(asked.DeviceCode, cancellation);
            }
            catch (OAuthException e) when (e.Error == OAuthErrors.AuthorizationPending)
            {
                // Nobody has decided yet.
            }
            catch (OAuthException e) when (e.Error == OAuthErrors.SlowDown)
            {
                interval += SlowDown;
            }
            catch (OAuthException e) when (e.Error == OAuthErrors.AccessDenied)
            {
                throw new CliException("the sign-in was denied", "start again with `tanvrit-compute auth login`", e);
            }
            catch (OAuthException e) when (e.Error == OAuthErrors.InvalidGrant)
            {
                throw new CliException($"the sign-in was ended before it was fetched: {Text.Safe(e.Message)}", "start again with `tanvrit-compute auth login`", e);
            }
            catch (OAuthException e) when (e.Error == OAuthErrors.ExpiredToken)
            {
                throw new CliException("nobody approved the code in time", "start again with `tanvrit-compute auth login`", e);
            }
            catch (Exception e) when (e is UnreachableException or ApiException { IsTransient: true } && cli.Clock.GetElapsedTime(began) < TimeSpan.FromSeconds(asked.ExpiresIn))
            {
                // RFC 8628 §3.5: less often while the server does not answer.
                interval = TimeSpan.FromTicks(Math.Min(interval.Ticks * 2, TimeSpan.FromSeconds(60).Ticks));
            }
        }
    }
}
