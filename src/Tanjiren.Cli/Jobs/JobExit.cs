using Tanjiren.Protocol;

namespace Tanjiren.Cli.Jobs;

/// <summary>The exit code of a job that ended (docs/cli.md, "Exit codes"). Pure.</summary>
internal static class JobExit
{
    // Linux numbers; the names come from the agent, whose machine may number them otherwise.
    private static readonly Dictionary<string, int> SignalNumbers = new(StringComparer.OrdinalIgnoreCase)
    {
        ["SIGHUP"] = 1, ["SIGINT"] = 2, ["SIGQUIT"] = 3, ["SIGILL"] = 4, ["SIGTRAP"] = 5, ["SIGABRT"] = 6, ["SIGBUS"] = 7, ["SIGFPE"] = 8,
        ["SIGKILL"] = 9, ["SIGUSR1"] = 10, ["SIGSEGV"] = 11, ["SIGUSR2"] = 12, ["SIGPIPE"] = 13, ["SIGALRM"] = 14, ["SIGTERM"] = 15,
        ["SIGXCPU"] = 24, ["SIGXFSZ"] = 25, ["SIGSYS"] = 31,
    };

    /// <summary>The highest code of its steps; a task that failed or was cancelled never gives 0.</summary>
    public static int Of(TaskBody task)
    {
        var highest = task.Execution?.Steps.Select(OfStep).DefaultIfEmpty(0).Max() ?? 0;
        return task.State switch
        {
            TaskState.Cancelled when highest == 0 => ExitCode.Cancelled,
            TaskState.Failed when highest == 0 => ExitCode.NoResult,
            _ => highest,
        };
    }

    public static int OfStep(StepBody step) => step switch
    {
        { State: StepState.Succeeded } => 0,
        { Reason: StepReason.Timeout } => ExitCode.Timeout,
        { Reason: StepReason.ResourceExceeded } => ExitCode.ResourceExceeded,
        { Reason: StepReason.SpawnFailed } => ExitCode.NotStarted,
        // Never started because others failed: the code of those others tells more.
        { Reason: StepReason.RolloutStopped } => 0,
        { State: StepState.Cancelled } => ExitCode.Cancelled,
        { Signal: { Length: > 0 } signal } => ExitCode.SignalBase + SignalNumber(signal),
        { ExitCode: { } code } => Portable(code),
        _ => ExitCode.NoResult,
    };

    public static bool IsTerminal(TaskState state) => state is TaskState.Completed or TaskState.Failed or TaskState.Cancelled;

    /// <summary>Unix keeps eight bits of an exit code; a failure whose low bits are 0 must not turn into success.</summary>
    private static int Portable(int code) => code is >= 0 and <= 255 ? code : (code & 0xff) == 0 ? 1 : code & 0xff;

    private static int SignalNumber(string signal) =>
        SignalNumbers.TryGetValue(signal, out var number) ? number
        : int.TryParse(signal.StartsWith("SIG", StringComparison.OrdinalIgnoreCase) ? signal.AsSpan(3) : signal, out number) && number is > 0 and < 65 ? number
        : SignalNumbers["SIGKILL"];
}
