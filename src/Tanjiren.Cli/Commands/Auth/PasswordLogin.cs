using Tanjiren.Cli.Client;
using Tanjiren.Cli.Settings;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Auth;

/// <summary>
/// Makes a personal access token for whoever knows the password: how the owner of a new server, and a member whom an admin added, come to their first one. The
/// session that this takes is ended at once; the password is kept nowhere.
/// </summary>
internal static class PasswordLogin
{
    public static async Task<string> MakeTokenAsync(CliContext cli, Uri url, string email, string? organization, CancellationToken cancellation)
    {
        var password = cli.ReadSecret($"Password of {Output.Text.Safe(email)} at {ServerAccessRules.Text(url)}: ");
        if (password.Length == 0) throw new CliException("no password was given", "type it when asked, or give it as the first line of standard input");
        using var session = new ClientSession(cli, new ServerAccess { Workspace = "", Url = url, Token = "" });
        await session.Api.SendAsync(HttpMethod.Post, "/api/auth/login", new LoginRequest { Email = email, Password = password, Organization = organization },
            WireJson.Default.LoginRequest, WireJson.Default.IdentityBody, cancellation);
        return await TradeSessionAsync(session, cancellation);
    }

    /// <summary>Makes a token with the session that a client has just opened, and ends the session.</summary>
    public static async Task<string> TradeSessionAsync(ClientSession session, CancellationToken cancellation)
    {
        var made = await session.Api.SendAsync(HttpMethod.Post, "/api/auth/tokens", new CreateTokenRequest { Name = "tanvrit-compute on " + Host() },
            WireJson.Default.CreateTokenRequest, WireJson.Default.CreatedToken, cancellation);
        await session.Api.SendAsync(HttpMethod.Post, "/api/auth/logout", cancellation);
        return made.Secret;
    }

    /// <summary>Names the token in lists, within the limit of a name.</summary>
    private static string Host() => Environment.MachineName is { Length: > 60 } name ? name[..60] : Environment.MachineName;
}
