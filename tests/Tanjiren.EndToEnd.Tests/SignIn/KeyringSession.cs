using System.Diagnostics;
using System.Runtime.InteropServices;

using Tanjiren.EndToEnd.Tests.Faults;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.SignIn;

/// <summary>
/// A D-Bus session with a real gnome-keyring of its own, and <c>tanvrit-compute</c> in it. It ends with the test: the session's shell reads from a pipe that is closed then.
/// </summary>
internal sealed class KeyringSession : IAsyncDisposable
{
    private readonly TemporaryDirectory _directory;
    private readonly Process _session;
    private readonly Dictionary<string, string?> _environment;

    private KeyringSession(TemporaryDirectory directory, Process session, Dictionary<string, string?> environment) =>
        (_directory, _session, _environment) = (directory, session, environment);

    /// <summary>TANVRIT_HOME.</summary>
    public string Home => _directory.File("tanvrit");

    /// <param name="unlocked">Else it has no password yet, and nobody is there to choose one: whoever stores something waits, or is refused.</param>
    public static async Task<KeyringSession> StartAsync(bool unlocked = true)
    {
        Prerequisite.Linux();
        var bus = Prerequisite.Program("dbus-run-session");
        var keyring = Prerequisite.Program("gnome-keyring-daemon");
        Prerequisite.Program("secret-tool");
        Prerequisite.Require(NativeLibrary.TryLoad("libsecret-1.so.0", out _), "libsecret (libsecret-1-0)");

        var directory = new TemporaryDirectory();
        var environment = new Dictionary<string, string?> { ["TANVRIT_HOME"] = directory.File("tanvrit") };
        foreach (var name in (string[])["HOME", "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"])
        {
            environment[name] = directory.File(name.ToLowerInvariant());
            if (!OperatingSystem.IsWindows()) Directory.CreateDirectory(directory.File(name.ToLowerInvariant()), UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }
        foreach (var name in (string[])["DISPLAY", "WAYLAND_DISPLAY", "GNOME_KEYRING_CONTROL", "SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS"]) environment[name] = null;
        var start = unlocked ? $"printf '\\n' | '{keyring}' --unlock --components=secrets" : $"'{keyring}' --start --components=secrets </dev/null";
        var session = new Process
        {
            StartInfo = new ProcessStartInfo(bus, ["--", "/bin/sh", "-c", $"{start} >/dev/null 2>&1; echo \"$DBUS_SESSION_BUS_ADDRESS\"; exec cat >/dev/null"])
            {
                UseShellExecute = false, RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true,
            },
        };
        Take(session.StartInfo, environment);
        session.ErrorDataReceived += static (_, _) => { };
        session.Start();
        session.BeginErrorReadLine();
        var result = new KeyringSession(directory, session, environment);
        try
        {
            var address = await session.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken).AsTask().WaitAsync(FaultScene.StartLimit, TimeProvider.System);
            address.ShouldNotBeNullOrEmpty("the D-Bus session has an address");
            environment["DBUS_SESSION_BUS_ADDRESS"] = address;
            return result;
        }
        catch
        {
            await result.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts <c>tanvrit-compute</c> in the session.</summary>
    public RealProcess Start(string keychain, params string[] arguments) =>
        RealProcess.Start(string.Join(' ', arguments.Take(2)), arguments, new Dictionary<string, string?>(_environment) { ["TANVRIT_KEYCHAIN"] = keychain });

    /// <summary>The same, until it has ended.</summary>
    public async Task<(int Code, string Printed)> RunAsync(string keychain, params string[] arguments)
    {
        await using var process = Start(keychain, arguments);
        await Eventually.TrueAsync(() => process.HasExited, () => process.Log.Tail(), FaultScene.StartLimit, $"{string.Join(' ', arguments)} has ended");
        var code = await process.TerminateAsync(); // waits for the rest of what it printed
        return (code, process.Log.Tail());
    }

    /// <summary>What the keyring has of this program, secrets included, as any program of the user sees it.</summary>
    public Task<string> SearchAsync() => InAsync("secret-tool", "search", "--all", "--unlock", "service", "com.tanvrit.compute.cli");

    /// <summary>As somebody who tidies up.</summary>
    public Task DeleteAsync(string account) => InAsync("secret-tool", "clear", "service", "com.tanvrit.compute.cli", "account", account);

    /// <summary>As a desktop does when its user has gone for a while.</summary>
    public async Task LockAsync() => (await InAsync("dbus-send", "--session", "--print-reply", "--dest=org.freedesktop.secrets", "/org/freedesktop/secrets", "org.freedesktop.Secret.Service.Lock",
        "array:objpath:/org/freedesktop/secrets/collection/login")).ShouldContain("/org/freedesktop/secrets/collection/login");

    /// <summary>With its password, an end of line. Beside a daemon that runs it takes <c>--replace</c>.</summary>
    public Task UnlockAsync() => InAsync("/bin/sh", "-c", "printf '\\n' | gnome-keyring-daemon --replace --unlock --components=secrets >/dev/null 2>&1");

    /// <summary>Files below a directory that hold any of these texts.</summary>
    public static IReadOnlyList<string> FilesWith(string directory, params string[] texts) =>
        [.. Directory.EnumerateFiles(directory, "*", SearchOption.AllDirectories).Where(path => Holds(path, texts))];

    public string File(string name) => _directory.File(name);

    public async ValueTask DisposeAsync()
    {
        _session.StandardInput.Close();
        await _session.WaitForExitAsync(CancellationToken.None).WaitAsync(FaultScene.StartLimit, TimeProvider.System);
        _session.Dispose();
        _directory.Dispose();
    }

    private async Task<string> InAsync(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true };
        Take(start, _environment);
        using var process = Process.Start(start)!;
        var (output, error) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        await process.WaitForExitAsync(TestContext.Current.CancellationToken).WaitAsync(FaultScene.StartLimit, TimeProvider.System);
        return await output + await error;
    }

    private static bool Holds(string path, string[] texts)
    {
        try
        {
            var content = System.IO.File.ReadAllText(path);
            return texts.Any(text => content.Contains(text, StringComparison.Ordinal));
        }
        catch (IOException)
        {
            return false; // replaced meanwhile, or the lock of a running agent
        }
    }

    private static void Take(ProcessStartInfo start, Dictionary<string, string?> environment)
    {
        foreach (var (name, value) in environment) start.Environment[name] = value;
    }
}
