namespace Tanjiren.Agent.Execution;

/// <summary>Where a program stands, as a job would find it. Cheap and often asked: the launcher says exactly what is wrong.</summary>
internal static class ProgramSearch
{
    /// <param name="program">A name, or a full path; a relative path depends on a directory, and nobody can say before there is one.</param>
    /// <param name="path">Directories, as in PATH.</param>
    /// <returns>Its full path; null: there is none that may be run.</returns>
    public static string? Find(string program, string? path)
    {
        if (program.Length == 0) return null;
        if (program.AsSpan().IndexOfAny('/', Path.DirectorySeparatorChar) >= 0) return Path.IsPathFullyQualified(program) && IsProgram(program) ? program : null;
        string[] endings = OperatingSystem.IsWindows() ? ["", ".exe", ".cmd", ".bat"] : [""];
        var directories = (path ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries).Where(Path.IsPathFullyQualified);
        return directories.SelectMany(directory => endings.Select(ending => Path.Join(directory, program + ending))).FirstOrDefault(IsProgram);
    }

    private static bool IsProgram(string path)
    {
        try
        {
            return File.Exists(path)
                && (OperatingSystem.IsWindows() || (File.GetUnixFileMode(path) & (UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute)) != UnixFileMode.None);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Gone since the look before.
            return false;
        }
    }
}
