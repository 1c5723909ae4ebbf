using Tanjiren.Agent.Keys;

namespace Tanjiren.Cli.Settings;

/// <summary><c>TANVRIT_KEYCHAIN</c>.</summary>
internal static class KeychainSetting
{
    public static KeychainUse Parse(string? text) => text switch
    {
        null or "" or "auto" => KeychainUse.Auto,
        "file" => KeychainUse.File,
        "required" => KeychainUse.Required,
        _ => throw new CliException($"TANVRIT_KEYCHAIN is '{text}'", "give auto (the keychain where one answers, else files), file, or required"),
    };
}
