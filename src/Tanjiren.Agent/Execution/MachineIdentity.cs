using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Win32;
using Tanjiren.Agent.Execution.Linux;

namespace Tanjiren.Agent.Execution;

/// <summary>
/// Which machine and which boot this is. The server compares them when a second agent comes with the same key: a copy of a home, or a clone of a
/// disk, is another machine.
/// </summary>
internal static unsafe partial class MachineIdentity
{
    private const int StatXSize = 256;

    /// <summary>
    /// SHA-256 in hex over the system's machine id and what the file system calls the home directory: inode and time of birth. Not the device number
    /// as long as there is a birth: btrfs, overlay, NFS and device mapper number their devices anew at each boot, and a machine must stay itself.
    /// A copied directory has another inode and another birth.
    /// </summary>
    public static string MachineId(string homeDirectory)
    {
        var home = OperatingSystem.IsLinux() ? LinuxDirectory(homeDirectory) : OtherDirectory(homeDirectory);
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"tanjiren machine\n{SystemId()}\n{home}")));
    }

    /// <summary>Changes with every boot. Opaque.</summary>
    public static string BootId()
    {
        if (OperatingSystem.IsLinux()) return File.ReadAllText("/proc/sys/kernel/random/boot_id").Trim();
        if (OperatingSystem.IsMacOS()) return ReadSysctl("kern.bootsessionuuid");
        if (OperatingSystem.IsWindows())
        {
            const string key = @"HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management\PrefetchParameters";
            if (Registry.GetValue(key, "BootId", null) is int count) return count.ToString(CultureInfo.InvariantCulture);
        }
        throw new PlatformNotSupportedException("No id of the current boot is known for this system.");
    }

    private static string SystemId()
    {
        if (OperatingSystem.IsLinux())
        {
            foreach (var path in (string[])["/etc/machine-id", "/var/lib/dbus/machine-id"])
                if (File.Exists(path) && File.ReadAllText(path).Trim() is { Length: > 0 } id) return id;
        }
        else if (OperatingSystem.IsMacOS())
        {
            return ReadSysctl("kern.uuid");
        }
        else if (OperatingSystem.IsWindows()
            && Registry.GetValue(@"HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Cryptography", "MachineGuid", null) is string guid)
        {
            return guid;
        }
        // Images without a machine id (small containers) differ by their host name at least.
        return "host " + Environment.MachineName;
    }

    /// <summary>statx(2), whose layout is the same on every architecture: mask at 0, inode at 32, birth at 80, device at 136.</summary>
    private static string LinuxDirectory(string path)
    {
        const int currentDirectory = -100;
        const uint wantInodeAndBirth = 0x100 | 0x800;
        var buffer = stackalloc byte[StatXSize];
        if (Libc.StatX(currentDirectory, path, 0, wantInodeAndBirth, buffer) != 0)
            throw new IOException($"The agent's home '{path}' cannot be read (error {Marshal.GetLastPInvokeError()}).");
        var fields = new ReadOnlySpan<byte>(buffer, StatXSize);
        var inode = BitConverter.ToUInt64(fields[32..]);
        var hasBirth = (BitConverter.ToUInt32(fields) & 0x800) != 0;
        return hasBirth
            ? $"inode {inode} born {BitConverter.ToInt64(fields[80..])}.{BitConverter.ToUInt32(fields[88..])}"
            : $"inode {inode} device {BitConverter.ToUInt32(fields[136..])}:{BitConverter.ToUInt32(fields[140..])}";
    }

    /// <summary>Not proven on real machines yet: the birth alone, which NTFS and APFS keep to 100 ns and a copy does not take along.</summary>
    private static string OtherDirectory(string path) =>
        $"born {Directory.GetCreationTimeUtc(path).Ticks.ToString(CultureInfo.InvariantCulture)}";

    private static string ReadSysctl(string name)
    {
        var buffer = stackalloc byte[128];
        nuint length = 128;
        if (SysctlByName(name, buffer, ref length, null, 0) != 0)
            throw new PlatformNotSupportedException($"The system does not tell its {name} (error {Marshal.GetLastPInvokeError()}).");
        return Encoding.ASCII.GetString(buffer, (int)length).TrimEnd('\0');
    }

    [LibraryImport("libSystem", EntryPoint = "sysctlbyname", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SysctlByName(string name, byte* value, ref nuint length, void* newValue, nuint newLength);
}
