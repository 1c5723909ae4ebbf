using System.Diagnostics;
using System.Globalization;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>A disk of a few hundred KiB mounted over a directory: a tmpfs, so that "no space left" is the kernel's own and hits this directory alone. Needs root.</summary>
internal sealed class SmallDisk : IDisposable
{
    private readonly string _filler;

    private SmallDisk(string directory)
    {
        Directory = directory;
        _filler = Path.Combine(directory, ".filler");
    }

    public string Directory { get; }

    public static SmallDisk Mount(string directory, int kibibytes)
    {
        Prerequisite.Root();
        if (!OperatingSystem.IsWindows())
            System.IO.Directory.CreateDirectory(directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        var error = Run("mount", "-t", "tmpfs", "-o", string.Create(CultureInfo.InvariantCulture, $"size={kibibytes}k,mode=700"), "tmpfs", directory);
        Prerequisite.Require(error is null, $"the right to mount a tmpfs ({error})");
        return new SmallDisk(directory);
    }

    /// <summary>Takes all room but about <paramref name="leave"/> bytes.</summary>
    public void Fill(long leave = 0)
    {
        using var filler = new FileStream(_filler, FileMode.OpenOrCreate, FileAccess.Write, FileShare.ReadWrite);
        filler.Seek(0, SeekOrigin.End);
        var page = new byte[4096];
        try
        {
            while (new DriveInfo(Directory).AvailableFreeSpace > leave)
            {
                filler.Write(page);
                filler.Flush();
            }
        }
        catch (IOException)
        {
            // Full to the last page, which is what was asked for.
        }
    }

    /// <summary>Gives the room back.</summary>
    public void Free() => File.Delete(_filler);

    public void Dispose()
    {
        // Lazily: a process that is being killed may hold a file open for a moment yet.
        if (Run("umount", "-l", Directory) is { } error)
            throw new IOException($"umount {Directory}: {error}");
    }

    private static string? Run(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { UseShellExecute = false, RedirectStandardError = true };
        using var process = Process.Start(start)!;
        var error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0 ? null : $"exit {process.ExitCode}: {error.Trim()}";
    }
}
