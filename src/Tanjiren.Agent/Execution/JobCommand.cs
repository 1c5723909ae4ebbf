using Tanjiren.Protocol;

namespace Tanjiren.Agent.Execution;

/// <summary>What a task's command means on this machine.</summary>
internal static class JobCommand
{
    /// <summary>Program and arguments as they are, or the platform's shell with the text; null when the assignment names neither.</summary>
    public static IReadOnlyList<string>? Argv(CommandSpec? command) =>
        command?.Argv is { Count: > 0 } argv ? argv
        : command?.Shell is not { } shell ? null
        : OperatingSystem.IsWindows() ? ["cmd.exe", "/d", "/s", "/c", shell]
        : ["/bin/sh", "-c", shell];

    /// <summary>Where a job starts when its task does not say.</summary>
    public static string? HomeDirectory() =>
        Environment.GetFolderPath(Environment.SpecialFolder.UserProfile) is { Length: > 0 } home ? home : null;
}
