using System.Globalization;
using System.Text;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>The processes that live now and carry a word in their environment: those of one scene's jobs, whose beat file is named there.</summary>
internal static class JobProcesses
{
    public static IReadOnlyList<string> Of(string word)
    {
        var found = new List<string>();
        foreach (var directory in Directory.EnumerateDirectories("/proc").Where(path => int.TryParse(Path.GetFileName(path), NumberStyles.None, CultureInfo.InvariantCulture, out _)))
        {
            try
            {
                // Empty for a zombie: that one runs nothing any more.
                if (Encoding.UTF8.GetString(File.ReadAllBytes(Path.Combine(directory, "environ"))).Contains(word, StringComparison.Ordinal))
                    found.Add($"{Path.GetFileName(directory)}: {Encoding.UTF8.GetString(File.ReadAllBytes(Path.Combine(directory, "cmdline"))).Replace('\0', ' ')}");
            }
            catch (Exception gone) when (gone is IOException or UnauthorizedAccessException)
            {
                // It ended while it was looked at, or is another user's.
            }
        }
        return found;
    }
}
