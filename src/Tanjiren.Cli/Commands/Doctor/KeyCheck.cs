using Tanjiren.Agent.Keys;

namespace Tanjiren.Cli.Commands.Doctor;

/// <summary>Whether the machine's key can be used, and whether what is secret is its owner's alone.</summary>
internal static class KeyCheck
{
    private const string Name = "key";
    private const UnixFileMode Others = UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.OtherRead | UnixFileMode.OtherWrite;

    public static DoctorCheck Check { get; } = new(Name, Verdict.Problem, (scene, _) => Task.FromResult(Look(scene)));

    private static Finding Look(DoctorScene scene)
    {
        if (SharedSecret(scene) is { } path)
            return Finding.Problem(Name, $"others than its owner may read {path}", $"run `chmod go= {Output.Text.CommandLine([path])}`; if somebody may have read it, sign out (`auth logout`), and replace the key with `agent rotate-key`");
        if (scene.Identity is not { } identity) return Finding.Ok(Name, "none yet: this machine is not paired");
        try
        {
            using var key = scene.LoadKey();
            if (key is null) return Finding.Problem(Name, $"the private key of {scene.Home} is gone", "ask an admin for a recovery code ('workstations recover') and run `tanvrit-compute agent recover`");
            using var device = new DeviceKey(key);
            if (device.Fingerprint != identity.KeyFingerprint)
                return Finding.Warning(Name, $"the key is {device.Fingerprint}, and the identity names {identity.KeyFingerprint}", "start the agent: it puts a new key into its place; if this stays, ask an admin for a recovery code");
            return Finding.Ok(Name, $"{device.Fingerprint}, for its owner only");
        }
        catch (InvalidDataException e)
        {
            return Finding.Problem(Name, e.Message, "mend what it names, or ask an admin for a recovery code and run `tanvrit-compute agent recover`");
        }
        catch (KeychainException e)
        {
            return Finding.Problem(Name, e.What, e.Next);
        }
        catch (UnauthorizedAccessException e)
        {
            return Finding.Problem(Name, $"this user may not read the key: {e.Message}", "run this, and the agent, as the user that paired the machine");
        }
    }

    /// <summary>The first secret that others may read; the directory around it does not make up for that.</summary>
    private static string? SharedSecret(DoctorScene scene)
    {
        if (OperatingSystem.IsWindows()) return null;
        string[] secrets = [scene.Cli.Home.CredentialsFile, .. Directory.Exists(scene.Home) ? Directory.GetFiles(scene.Home, "key.pem*") : []];
        foreach (var path in secrets)
            if (File.Exists(path) && (File.GetUnixFileMode(path) & Others) != UnixFileMode.None) return path;
        return null;
    }
}
