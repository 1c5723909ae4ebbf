using System.Text.Json;

using Tanjiren.Agent;
using Tanjiren.Agent.Keys;
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
/// Whether the sign-in that an agent was registered with is still on this machine: named in <c>credentials.json</c>, and its entry in the keychain. Both files are read at each look: they are small, and
/// another <c>agent run</c> may have registered the machine with another sign-in meanwhile. The keychain is only asked whether the entry is there, which opens nothing: to ask for the secret would ask a
/// person for the password of a locked one, every few seconds.
/// </summary>
internal sealed class SignInWatch(string agentHome, Keychain keychain)
{
    private string? last;

    /// <summary>The entry that was not there when that could last be told. A keychain that is locked since then brings nothing back.</summary>
    private string? missed;

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
        string Words(string where) => $"The sign-in of workspace '{registered.Workspace}' at {registered.Url}, which this machine was registered with, is no longer {where}.";

        if (Kept(registered) is not { } kept) return Words("on it");
        if (kept.Entry is not { } entry) return null;
        switch (keychain.Has(entry))
        {
            case true:
                missed = null;
                break;
            // A new sign-in is named before the entry of the last one is deleted: only what is still named is missed.
            case false when Kept(registered)?.Entry == entry:
                missed = entry;
                break;
        }
        return missed == entry ? Words($"in {keychain.Title}") : null;
    }

    private static WorkspaceCredential? Kept(AgentSignIn registered) =>
        new CredentialFile(new TanvritHome(registered.Home)).Read().Workspaces.GetValueOrDefault(registered.Workspace) is { } kept && ServerAccessRules.SameServer(kept.Url, registered.Url) ? kept : null;

    private static string PathIn(string agentHome) => Path.Combine(agentHome, "sign-in.json");
}
