namespace Tanjiren.Cli.Settings;

/// <summary>The layout of TANVRIT_HOME (default <c>~/.tanvrit</c>).</summary>
internal sealed record TanvritHome(string Path)
{
    public string CredentialsFile => System.IO.Path.Combine(Path, "credentials.json");

    /// <summary>Held by whoever changes the credentials.</summary>
    public string CredentialsLock => CredentialsFile + ".lock";

    /// <summary>What this machine's owner allows the agent; written by a person.</summary>
    public string AgentSettingsFile => System.IO.Path.Combine(Path, "agent.yaml");

    /// <summary>Where a keychain that consists of files (Windows) has them; elsewhere an empty one for each entry.</summary>
    public string KeychainDirectory => System.IO.Path.Combine(Path, "keychain");

    /// <summary>Data of the control plane that <c>up</c> hosts.</summary>
    public string LocalData => System.IO.Path.Combine(Path, "local");

    /// <summary>Key, journal, outbox and lock of the agent of one workspace.</summary>
    public string AgentHome(string workspace) => System.IO.Path.Combine(Path, "agents", workspace);

    public static TanvritHome From(Func<string, string?> variable)
    {
        var path = variable("TANVRIT_HOME");
        if (!string.IsNullOrEmpty(path)) return new TanvritHome(System.IO.Path.GetFullPath(path));
        var user = variable("HOME") is { Length: > 0 } home ? home : Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
        if (user.Length == 0)
            throw new CliException("neither TANVRIT_HOME nor a home directory is known", "set TANVRIT_HOME to a directory of your own");
        return new TanvritHome(System.IO.Path.Combine(user, ".tanvrit"));
    }

    /// <summary>Makes a directory that only this user may enter; one that exists keeps its mode.</summary>
    public static void MakePrivateDirectory(string path)
    {
        if (OperatingSystem.IsWindows()) Directory.CreateDirectory(path);
        else Directory.CreateDirectory(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }
}
