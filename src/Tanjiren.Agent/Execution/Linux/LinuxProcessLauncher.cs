using Tanjiren.Agent.Limits.Linux;

namespace Tanjiren.Agent.Execution.Linux;

/// <summary>Starts steps by posix_spawn: about a millisecond from here to the child's first instruction, whatever the agent's size.</summary>
internal sealed unsafe partial class LinuxProcessLauncher : IProcessLauncher
{
    private readonly ExecutionOptions _options;
    private readonly ILogger<LinuxProcessLauncher> _logger;

    public LinuxProcessLauncher(ExecutionOptions options, ILogger<LinuxProcessLauncher> logger)
    {
        _options = options;
        _logger = logger;
        if (!MarkedSpawn.IsSupported) LogUnmarked(logger);
        if (ChildSignals.StopIgnoring()) LogChildSignalsIgnored(logger);
    }

    public ILaunchedProcess Launch(LaunchRequest request)
    {
        RefuseNul(request);
        var program = ProgramLookup.Find(request);
        var environment = new List<string>(request.Environment.Count);
        foreach (var (name, value) in request.Environment) environment.Add($"{name}={value}");

        using var input = request.Input ? new Pipe() : null;
        using var output = new Pipe();
        using var error = new Pipe();
        var pid = 0;
        var stdio = new PosixSpawn.Stdio(input?.ReadEnd ?? -1, output.WriteEnd, error.WriteEnd);
        var result = Affinity.Within(request.Processors, () => PosixSpawn.Start(program, request.Argv, environment, request.WorkingDirectory, stdio, request.Mark, out pid));
        if (result != 0) throw ProgramLookup.Explain(result, request.Argv[0]);

        // The child is not yet reaped, so its entry is there even if it has already ended.
        var startTime = ProcTable.TryRead(pid, out var entry) ? entry.StartTime : 0;
        var tree = new ProcessTree(request.Mark, pid, request.StepId, startTime, options: _options);
        return new LinuxProcess(pid, startTime, tree, input?.TakeWriteEnd() ?? -1, output.TakeReadEnd(), error.TakeReadEnd(), _options, _logger);
    }

    private static void RefuseNul(LaunchRequest request)
    {
        for (var i = 0; i < request.Argv.Count; i++)
            if (request.Argv[i].Contains('\0')) throw new SpawnFailedException($"Argument {i} of the command contains a NUL character, which no program can be given.");
        foreach (var (name, value) in request.Environment)
            if (name.Length == 0 || name.Contains('=') || name.Contains('\0') || value.Contains('\0'))
                throw new SpawnFailedException($"The environment variable '{name.Replace("\0", "\\0", StringComparison.Ordinal)}' cannot be set: its name is empty or contains '=', or there is a NUL character in it.");
        if (request.WorkingDirectory?.Contains('\0') == true) throw new SpawnFailedException("The working directory contains a NUL character.");
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "The hard limit RLIMIT_RTTIME is not unlimited: jobs carry no mark, and a daemon of a job that clears its environment outlives it")]
    private static partial void LogUnmarked(ILogger logger);

    [LoggerMessage(Level = LogLevel.Warning, Message = "This agent was started with SIGCHLD ignored; it was set back, so that exit codes of jobs can be read")]
    private static partial void LogChildSignalsIgnored(ILogger logger);
}
