using Microsoft.Identity.Client.Extensions.Msal;

namespace Tanjiren.Agent.Keys;

/// <summary>
/// The operating system's keychain by MSAL's <see cref="Storage"/>: the macOS Keychain, DPAPI, libsecret. On Linux that one swallows every error of the keyring, so a write says nothing about
/// whether it was kept, and a read that finds nothing nothing about why.
/// </summary>
internal sealed class SystemKeychain : ISecretStore
{
    private readonly string directory;

    private SystemKeychain(string directory) => this.directory = directory;

    /// <summary>Null, with the reason, where it can be seen without asking that there is none: a server without a D-Bus session must not wait for one.</summary>
    public static SystemKeychain? Find(string directory, out string? absence)
    {
        absence = null;
        if (OperatingSystem.IsWindows() || OperatingSystem.IsMacOS() || HasSessionBus()) return new SystemKeychain(directory);
        absence = "there is no D-Bus session (DBUS_SESSION_BUS_ADDRESS is not set)";
        return null;
    }

    public string Title => OperatingSystem.IsWindows() ? "the user's protected data (DPAPI)" : OperatingSystem.IsMacOS() ? "the macOS Keychain" : "the keyring (libsecret)";

    /// <summary>Elsewhere than on Linux it can't be told yet: the way to ask there has not been tried.</summary>
    public bool? Has(string name) => OperatingSystem.IsLinux() ? KeyringLook.Has(Keychain.Service, name) : null;

    public byte[]? Read(string name) => Entry(name).ReadData() is { Length: > 0 } data ? data : null;

    public void Write(string name, byte[] secret)
    {
        AgentHome.MakePrivate(directory);
        Entry(name).WriteData(secret);
    }

    public void Delete(string name) => Entry(name).Clear();

    private Storage Entry(string name) => Storage.Create(new StorageCreationPropertiesBuilder(name, directory)
        .WithMacKeyChain(Keychain.Service, name)
        .WithLinuxKeyring(Keychain.Service, MsalCacheHelper.LinuxKeyRingDefaultCollection, $"Tanjiren: {name}",
            new KeyValuePair<string, string>("service", Keychain.Service), new KeyValuePair<string, string>("account", name))
        .Build());

    /// <summary>The two places where libsecret looks for one.</summary>
    private static bool HasSessionBus() =>
        !string.IsNullOrEmpty(Environment.GetEnvironmentVariable("DBUS_SESSION_BUS_ADDRESS"))
        || (Environment.GetEnvironmentVariable("XDG_RUNTIME_DIR") is { Length: > 0 } runtime && File.Exists(Path.Combine(runtime, "bus")));
}
