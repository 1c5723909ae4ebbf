namespace Tanjiren.Agent.Keys;

/// <summary>What to do about a keychain, on this operating system.</summary>
internal static class KeychainWords
{
    /// <summary>The setting that forces where secrets lie.</summary>
    public const string Setting = "TANVRIT_KEYCHAIN";

    public static string HowToUnlock =>
        OperatingSystem.IsWindows() ? "Run this as the user who made the entry."
        : OperatingSystem.IsMacOS() ? "Unlock it with 'security unlock-keychain' and run this again."
        : "Unlock it (log in to the desktop, or give its password to 'gnome-keyring-daemon --replace --unlock --components=secrets' on standard input, in the D-Bus session that this runs in) and run this again.";

    public static string HowToGet =>
        OperatingSystem.IsWindows() ? "Run this with the user's profile loaded."
        : OperatingSystem.IsMacOS() ? "Log in once on the machine itself, which makes the login keychain."
        : "Install libsecret-1-0 and gnome-keyring, and run this in a D-Bus session whose keyring is unlocked (docs/operations.md, Keychain).";
}
