namespace Tanjiren.Agent.Execution.Linux;

/// <summary>
/// Finds the program as a shell would, before the spawn: posix_spawnp would search the agent's own PATH, and its bare ENOENT does not say whether
/// the program, the working directory or a script's interpreter is missing.
/// </summary>
internal static class ProgramLookup
{
    /// <summary>What execvp(3) searches when there is no PATH.</summary>
    private const string PathWhenUnset = "/usr/local/bin:/usr/bin:/bin";

    /// <returns>A path that exec takes. Relative ones are made absolute, for the child changes its directory first.</returns>
    /// <exception cref="SpawnFailedException">With the value that is wrong.</exception>
    public static string Find(LaunchRequest request)
    {
        var program = request.Argv.Count > 0 ? request.Argv[0] : "";
        if (program.Length == 0) throw new SpawnFailedException("The command is empty.");
        if (request.WorkingDirectory is { } given && !Directory.Exists(given))
            throw new SpawnFailedException(File.Exists(given)
                ? $"The working directory '{given}' is not a directory."
                : $"The working directory '{given}' does not exist on this machine, or may not be entered.");
        if (request.WorkingDirectory is { } entered && Libc.Access(entered, Libc.X_OK) != 0)
            throw new SpawnFailedException($"The working directory '{entered}' may not be entered by the user '{Environment.UserName}'.");

        var directory = Path.GetFullPath(request.WorkingDirectory ?? Environment.CurrentDirectory);
        if (program.Contains('/')) return Check(program, Path.Join(Path.IsPathRooted(program) ? null : directory, program));

        var path = request.Environment.TryGetValue("PATH", out var set) ? set : PathWhenUnset;
        string? notExecutable = null;
        foreach (var entry in path.Split(':'))
        {
            var candidate = Path.Join(Path.IsPathRooted(entry) ? null : directory, entry, program);
            if (!File.Exists(candidate)) continue;
            if (Libc.Access(candidate, Libc.X_OK) == 0) return candidate;
            notExecutable ??= candidate;
        }
        throw new SpawnFailedException(notExecutable is null
            ? $"The program '{program}' was not found on the PATH of the job ({path})."
            : $"The program '{program}' was found as '{notExecutable}', which is not executable.");
    }

    private static string Check(string program, string path)
    {
        if (Directory.Exists(path)) throw new SpawnFailedException($"The program '{program}' is a directory.");
        if (!File.Exists(path)) throw new SpawnFailedException($"The program '{program}' does not exist on this machine (looked for '{path}').");
        if (Libc.Access(path, Libc.X_OK) != 0) throw new SpawnFailedException($"The program '{program}' is not executable.");
        return path;
    }

    /// <summary>The words for an error of the spawn itself.</summary>
    public static SpawnFailedException Explain(int error, string program) => new(error switch
    {
        Libc.E2BIG => $"The arguments and environment of '{program}' are larger than this system allows.",
        Libc.ENOENT => $"'{program}' names an interpreter in its first line (or needs a loader) that does not exist on this machine.",
        Libc.ENOEXEC => $"'{program}' is not a program that this machine can execute; a script needs a first line such as #!/bin/sh.",
        Libc.EACCES or Libc.EPERM => $"'{program}' may not be executed by the user '{Environment.UserName}'.",
        Libc.EAGAIN => $"'{program}' could not be started: the user '{Environment.UserName}' has reached the limit of processes.",
        Libc.ENOMEM => $"'{program}' could not be started: the machine is out of memory.",
        _ => $"'{program}' could not be started: error {error} of the C library.",
    });
}
