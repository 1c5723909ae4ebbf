using System.Text;

namespace Tanjiren.Agent.Limits.Linux;

/// <summary>Files of a cgroup: what is written to one must arrive as one write, and the kernel's answer is its error.</summary>
internal static class CgroupFile
{
    /// <summary>Null: there is no such file, or the group is gone.</summary>
    public static string? Read(string group, string name)
    {
        try
        {
            var path = Path.Join(group, name);
            return File.Exists(path) ? File.ReadAllText(path) : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    public static void Write(string group, string name, string value)
    {
        using var file = new FileStream(Path.Join(group, name), FileMode.OpenOrCreate, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
        file.Write(Encoding.ASCII.GetBytes(value + "\n"));
    }

    public static bool TryWrite(string group, string name, string value)
    {
        try
        {
            Write(group, name, value);
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>Removes an empty group. One that still has processes stays.</summary>
    public static bool TryRemove(string group)
    {
        try
        {
            Directory.Delete(group);
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
