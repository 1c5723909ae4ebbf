using System.Runtime.InteropServices;

namespace Tanjiren.Agent.Outbox;

/// <summary>A file's name is durable only when its directory is synced; .NET has no call for that.</summary>
internal static partial class DurableFiles
{
    private const int ReadOnly = 0;

    public static void SyncDirectory(string path)
    {
        // NTFS journals the names itself.
        if (OperatingSystem.IsWindows()) return;
        var directory = Open(path, ReadOnly | CloseOnExec);
        if (directory < 0) throw Failure("open", path);
        try
        {
            if (FSync(directory) != 0) throw Failure("sync", path);
        }
        finally
        {
            _ = Close(directory);
        }
    }

    private static int CloseOnExec => OperatingSystem.IsMacOS() ? 0x1000000 : 0x80000;

    private static IOException Failure(string verb, string path)
    {
        var error = Marshal.GetLastPInvokeError();
        return new IOException($"Could not {verb} the directory '{path}': {Marshal.GetPInvokeErrorMessage(error)} ({error}).");
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int FSync(int descriptor);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);
}
