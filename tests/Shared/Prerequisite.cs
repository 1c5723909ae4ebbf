namespace Tanjiren.Tests;

/// <summary>
/// What a test needs from its surroundings. Missing: a skip at home, so that everyone can work; a failure in CI, where a skip would hide for ever
/// that something is no longer tested.
/// </summary>
public static class Prerequisite
{
    public static bool InCi { get; } = Environment.GetEnvironmentVariable("CI") is "true" or "1";

    /// <summary>Whether this is <c>eng/test-long</c>.</summary>
    public static bool LongRun { get; } = Environment.GetEnvironmentVariable("TANJIREN_TEST_LONG") is "1";

    public static void Require(bool met, string what)
    {
        if (met)
            return;
        if (InCi)
            Assert.Fail($"CI lacks a prerequisite of this test: {what}");
        Assert.Skip($"needs {what}");
    }

    /// <summary>The value of an environment variable that must be set.</summary>
    public static string Variable(string name)
    {
        var value = Environment.GetEnvironmentVariable(name);
        Require(!string.IsNullOrEmpty(value), $"the environment variable {name} (eng/test sets it)");
        return value!;
    }

    /// <summary>Full path of a program on PATH or in one of <paramref name="alsoIn"/>.</summary>
    public static string Program(string name, params string[] alsoIn)
    {
        var found = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Concat(alsoIn)
            .Where(directory => directory.Length > 0).Select(directory => Path.Combine(directory, name)).FirstOrDefault(System.IO.File.Exists);
        Require(found is not null, $"the program {name}");
        return found!;
    }

    public static void Linux() => Require(OperatingSystem.IsLinux(), "Linux");

    /// <summary>For mounts and other privileged faults.</summary>
    public static void Root() => Require(OperatingSystem.IsLinux() && Environment.IsPrivilegedProcess, "root on Linux");
}
