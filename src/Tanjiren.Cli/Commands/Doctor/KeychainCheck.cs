using Tanjiren.Cli.Hosting;

namespace Tanjiren.Cli.Commands.Doctor;

/// <summary>Whether the operating system has a keychain for this user, and it answers. Without one secrets lie in files that only their owner may read, which works.</summary>
internal static class KeychainCheck
{
    private const string Name = "keychain";
    private const string Files = "without it secrets are kept in files that only their owner may read; for a keychain, ";

    public static DoctorCheck Check { get; } = new(Name, Verdict.Warning, RunAsync);

    private static async Task<Finding> RunAsync(DoctorScene scene, CancellationToken cancellation)
    {
        if (OperatingSystem.IsWindows()) return Finding.Ok(Name, "DPAPI of this account");
        if (OperatingSystem.IsMacOS())
        {
            var login = await scene.Cli.RunProgram(["security", "show-keychain-info"], cancellation);
            return login.Succeeded ? Finding.Ok(Name, "the login keychain is open") : Finding.Warning(Name, "the login keychain does not answer", Files + "unlock it with `security unlock-keychain`");
        }
        if (string.IsNullOrEmpty(scene.Cli.Variable("DBUS_SESSION_BUS_ADDRESS")))
            return Finding.Warning(Name, "this session has no D-Bus, so no Secret Service", Files + "log in to a desktop session, or run `dbus-run-session` with gnome-keyring");
        if (Programs.Find("secret-tool", scene.Cli.Variable("PATH")) is not { } tool)
            return Finding.Warning(Name, "not tried: there is no secret-tool", Files + "see that a Secret Service runs (gnome-keyring, KWallet), and install libsecret-tools to have it tried here");
        // Something that nobody has stored: 1 and not a word means that it was looked for and not found.
        var end = await scene.Cli.RunProgram([tool, "lookup", "service", "com.tanvrit.compute.cli", "account", "doctor"], cancellation);
        return end.Error.Trim().Length == 0
            ? Finding.Ok(Name, "the Secret Service answers")
            : Finding.Warning(Name, $"the Secret Service does not answer: {Output.Text.Safe(end.Error.Trim().Split('\n')[0])}", Files + "start and unlock gnome-keyring or KWallet in this session");
    }
}
