using Tanjiren.Protocol;

namespace Tanjiren.Agent.Execution;

/// <summary>What to start. The environment is complete: nothing of the agent's own is added.</summary>
internal sealed record LaunchRequest
{
    public required string StepId { get; init; }
    /// <summary>From <see cref="ProcessMarks.New"/>, journalled before the launch.</summary>
    public required ulong Mark { get; init; }
    /// <summary>Program and arguments. A name without a slash is looked up on the PATH of <see cref="Environment"/>.</summary>
    public required IReadOnlyList<string> Argv { get; init; }
    /// <summary>Absent: the agent's own.</summary>
    public string? WorkingDirectory { get; init; }
    public required IReadOnlyDictionary<string, string> Environment { get; init; }
    /// <summary>Where it and whatever it starts may run, from its first instruction on (Linux); absent: anywhere.</summary>
    public IReadOnlyList<int>? Processors { get; init; }
    /// <summary>Whether it can be spoken to (<see cref="ILaunchedProcess.Input"/>); otherwise its standard input is empty.</summary>
    public bool Input { get; init; }
}

/// <summary>Starts a step's root process. The seam between Linux, proven here, and the portable implementation.</summary>
internal interface IProcessLauncher
{
    /// <exception cref="SpawnFailedException">Nothing was started; the message says why, for people.</exception>
    ILaunchedProcess Launch(LaunchRequest request);
}

/// <summary>
/// A running root process. <see cref="IDisposable.Dispose"/> before <see cref="Run"/> has returned kills the whole tree: an owner that failed
/// leaves nothing behind.
/// </summary>
internal interface ILaunchedProcess : IDisposable
{
    int Pid { get; }

    /// <summary>With <see cref="Pid"/> it names the process for good: a pid alone may be another process tomorrow. Opaque; comparable within one boot.</summary>
    long StartTime { get; }

    /// <summary>Its standard input; null unless <see cref="LaunchRequest.Input"/> asked for it. Closed with the process.</summary>
    ProcessInput? Input { get; }

    /// <summary>
    /// Blocks the calling thread until the step has ended. A step ends with its root process, as on a CI runner: what is left of its tree is then
    /// killed (after <see cref="ExecutionOptions.LeftoverLinger"/>), and everything that the tree wrote is delivered first.
    /// Both callbacks run on the calling thread, one at a time.
    /// </summary>
    /// <param name="onOutput">May block; the child then blocks on its full pipe, which is the backpressure.</param>
    /// <param name="onTick">Called about every <see cref="ExecutionOptions.TickInterval"/>, but not while <paramref name="onOutput"/> blocks.</param>
    ProcessExit Run(OutputHandler onOutput, Action onTick);
}

/// <summary>A piece of output, as it was read. The span is valid during the call only.</summary>
internal delegate void OutputHandler(LogStream stream, ReadOnlySpan<byte> data);

/// <summary>How the root process ended. Code and signal are both absent when somebody else collected its exit status: an unknown outcome.</summary>
/// <param name="ExitCode">0-255, unless a signal ended it.</param>
/// <param name="Signal"><c>SIGKILL</c> …</param>
/// <param name="EndedAtBootMs">On <see cref="BootClock"/>, when the end was seen.</param>
internal readonly record struct ProcessExit(int? ExitCode, string? Signal, long EndedAtBootMs)
{
    /// <summary>What was killed after the root process had ended; absent when nothing was left.</summary>
    public KillReport? Leftovers { get; init; }
}

/// <summary>The program could not be started. The message names the value that is wrong and is shown to whoever made the task.</summary>
internal sealed class SpawnFailedException(string message) : Exception(message);
