using System.Reflection;
using System.Runtime.InteropServices;
using Microsoft.Data.Sqlite;

namespace Tanjiren.Server.Data.Sqlite;

/// <summary>
/// Chooses the native SQLite: the operating system's own when it is 3.35 or newer (RETURNING) and so gets its security fixes, else the one in
/// the package.
/// </summary>
/// <remarks>
/// Every connection of this process is made here. Each native function is found at its first call: with a connection made before the choice, some would come
/// from the package and the later ones from the system, and a handle of the one crashes the process within the other.
/// </remarks>
internal static class SqliteLibrary
{
    private const int MinimumVersion = 3_035_000;
    private static readonly Lock Gate = new();
    private static bool _initialized;

    /// <summary>A connection that is not open yet.</summary>
    public static SqliteConnection Connect(string connectionString)
    {
        Initialize();
#pragma warning disable RS0030 // The one place.
        return new SqliteConnection(connectionString);
#pragma warning restore RS0030
    }

    private static void Initialize()
    {
        lock (Gate)
        {
            if (_initialized) return;
            _initialized = true;
            NativeLibrary.SetDllImportResolver(typeof(SQLitePCL.SQLite3Provider_e_sqlite3).Assembly, Resolve);
            SQLitePCL.Batteries_V2.Init();
            // Nobody reads the allocator's statistics, which take a lock each time. The locks within a connection stay: each has one user at a time, but a statement
            // that was leaked ends on the finalizer's thread.
            SQLitePCL.raw.sqlite3_config(SQLitePCL.raw.SQLITE_CONFIG_MEMSTATUS, 0);
        }
    }

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? path)
    {
        if (name != "e_sqlite3") return 0;
        foreach (var candidate in (string[])["libsqlite3.so.0", "libsqlite3.dylib", "winsqlite3"])
        {
            if (!NativeLibrary.TryLoad(candidate, out var library)) continue;
            if (VersionOf(library) >= MinimumVersion) return library;
            NativeLibrary.Free(library);
        }
        return 0;
    }

    private static int VersionOf(nint library) =>
        NativeLibrary.TryGetExport(library, "sqlite3_libversion_number", out var function)
            ? Marshal.GetDelegateForFunctionPointer<VersionNumber>(function)()
            : 0;

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    private delegate int VersionNumber();
}
