namespace Tanjiren.Cli.Hosting;

/// <summary>How to start this program again: the agent's watchdog is a second process of it.</summary>
internal static class SelfCommand
{
    public static IReadOnlyList<string> With(params ReadOnlySpan<string> arguments)
    {
        // Not Environment.ProcessPath: that is `dotnet` in the portable build, and the test runner in a test.
        var beside = Path.Combine(AppContext.BaseDirectory, CommandTree.ProgramName);
        var native = OperatingSystem.IsWindows() ? beside + ".exe" : beside;
        return File.Exists(native) ? [native, .. arguments] : [DotnetHost(), beside + ".dll", .. arguments];
    }

    private static string DotnetHost() =>
        Environment.ProcessPath is { } path && Path.GetFileNameWithoutExtension(path) == "dotnet" ? path : "dotnet";
}
