using System.ComponentModel;
using System.Diagnostics;

namespace Tanjiren.Cli.Hosting;

/// <summary>Opens a page in the person's own browser.</summary>
internal static class SystemBrowser
{
    private const string Opener = "xdg-open";

    /// <summary>False when there is no display to show it on, or no program that does.</summary>
    public static bool Open(Uri page)
    {
        // Only ever a page: what is handed to the desktop must not be a file or a program.
        if (page.Scheme is not ("http" or "https")) return false;
        try
        {
            if (OperatingSystem.IsWindows()) return Start(new ProcessStartInfo(page.AbsoluteUri) { UseShellExecute = true });
            if (OperatingSystem.IsMacOS()) return Start(new ProcessStartInfo("open", [page.AbsoluteUri]));
            // Its words go nowhere, by the shell: a pipe of ours would break under the browser when this process ends.
            return HasDisplay() && IsOnPath(Opener)
                && Start(new ProcessStartInfo("/bin/sh", ["-c", "exec \"$0\" \"$1\" </dev/null >/dev/null 2>&1", Opener, page.AbsoluteUri]));
        }
        catch (Win32Exception)
        {
            return false; // no such program
        }
    }

    private static bool IsOnPath(string program) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Any(directory => directory.Length > 0 && File.Exists(Path.Combine(directory, program)));

    private static bool HasDisplay() =>
        !string.IsNullOrEmpty(Environment.GetEnvironmentVariable("DISPLAY")) || !string.IsNullOrEmpty(Environment.GetEnvironmentVariable("WAYLAND_DISPLAY"));

    private static bool Start(ProcessStartInfo start)
    {
        using var process = Process.Start(start);
        return process is not null || start.UseShellExecute;
    }
}
