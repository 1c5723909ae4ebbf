using Tanjiren.Protocol;

namespace Tanjiren.Server.Identity.OAuth;

/// <summary>A program that may ask people to sign it in. <see cref="Name"/> is what they are shown.</summary>
internal sealed record OAuthClient(string Id, string Name);

/// <summary>The clients that this server knows. One is built in; it is public, so its id proves nothing and everything rests on the codes and tokens.</summary>
internal static class OAuthClients
{
    private static readonly OAuthClient Cli = new(OAuthNames.CliClient, "tanvrit-compute, the command line");

    public static OAuthClient? Find(string id) => id == Cli.Id ? Cli : null;
}
