using System.Text.Json;

using Tanjiren.Agent;
using Tanjiren.Cli.Settings;

namespace Tanjiren.Cli.Hosting;

/// <summary>Which sign-in of this user the agent of a home was registered with (<c>sign-in.json</c> there). No such file: with none; it was paired by code, or with a personal access token.</summary>
internal sealed record AgentSignIn
{
    /// <summary>TANVRIT_HOME of whoever registered it: the agent may be started with another one, by a service manager.</summary>
    public required string Home { get; init; }
    public required string Workspace { get; init; }
    public required string Url { get; init; }
}

/// <summary>
/// Whether the sign-in that an agent was registered with is still on this machine. Both files are read at each look: they are small, and another <c>agent run</c> may have registered the machine with
/// another sign-in meanwhile. The keychain is not asked: a locked one would ask a person for its password every few seconds. Only <c>auth logout</c> and a sign-in elsewhere under the same name count.
/// </summary>
internal sealed class SignInWatch(string agentHome)
{
    private string? last;

    /// <summary>Why it is gone, or null. What can't be read decides nothing.</summary>
    public string? Gone()
    {
        try
        {
            return last = Look();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException or CliException)
        {
            return last;
        }
    }

    /// <summary>Notes what the home was just registered with.</summary>
    public static void Remember(string agentHome, TanvritHome home, ServerAccess access)
    {
        if (!access.Renewable)
        {
            Forget(agentHome);
            return;
        }
        var now = new AgentSignIn { Home = home.Path, Workspace = access.Workspace, Url = ServerAccessRules.Text(access.Url) };
        AgentHome.Replace(PathIn(agentHome), now, SettingsJson.Default.AgentSignIn, durable: true);
    }

    /// <summary>Paired by code, it stands on no sign-in.</summary>
    public static void Forget(string agentHome) => File.Delete(PathIn(agentHome));

    private string? Look()
    {
        if (AgentHome.Read(PathIn(agentHome), SettingsJson.Default.AgentSignIn) is not { } registered) return null;
        return new CredentialFile(new TanvritHome(registered.Home)).Read().Workspaces.GetValueOrDefault(registered.Workspace) is { } kept && ServerAccessRules.SameServer(kept.Url, registered.Url)
            ? null
            : $"The sign-in of workspace '{registered.Workspace}' at {registered.Url}, which this machine was registered with, is no longer on it.";
    }

    private static string PathIn(string agentHome) => Path.Combine(agentHome, "sign-in.json");
}
