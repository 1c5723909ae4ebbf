using System.Text.RegularExpressions;

namespace Tanjiren.EndToEnd.Tests;

/// <summary>The lines in which the command line tells, after five seconds, that a job still waits for its workstation: on a slow machine it does.</summary>
internal static partial class WaitingNotices
{
    public static string Without(string text) => Notice().Replace(text, "");

    [GeneratedRegex(@"^task_\S+ waits for .*\n", RegexOptions.Multiline, 1000)]
    private static partial Regex Notice();
}
