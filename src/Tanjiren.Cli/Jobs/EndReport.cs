using Tanjiren.Cli.Output;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Jobs;

/// <summary>
/// What stderr says at a job's end. A single step that simply exited says nothing: its output and its code are the whole story, as with ssh. What the
/// code can't tell gets a line.
/// </summary>
internal static class EndReport
{
    public static void Write(CliContext cli, TaskBody task)
    {
        var steps = task.Execution?.Steps ?? [];
        foreach (var step in steps)
            if (step.State != StepState.Succeeded && (steps.Count > 1 || !SpeaksForItself(step)))
                cli.Say($"{Name(step)}: {Describe(step)}");
        foreach (var step in steps.Where(s => s.Truncated)) cli.Say($"{Name(step)}: the output passed its limit and was cut");
        if (JobExit.Of(task) != 0 && steps.All(s => s.State == StepState.Succeeded))
            cli.Say($"{task.Id} {Words.Of(task.State)}: {Text.Safe(task.OutcomeSummary ?? "no step ran")}");
    }

    public static string Describe(StepBody step)
    {
        var what = step switch
        {
            { State: StepState.Cancelled } => "cancelled",
            { Signal: { Length: > 0 } signal, Reason: null or StepReason.ExitCode } => $"ended by {signal}",
            { ExitCode: { } code, Reason: null or StepReason.ExitCode } => $"exit code {code}",
            { Reason: { } reason } => $"{Words.Of(step.State)} ({Words.Of(reason)})",
            _ => Words.Of(step.State),
        };
        return Text.Safe(string.IsNullOrEmpty(step.Detail) ? what : $"{what}: {step.Detail}");
    }

    private static bool SpeaksForItself(StepBody step) => step is { Reason: null or StepReason.ExitCode, ExitCode: not null, Signal: null, Detail: null or "" };

    private static string Name(StepBody step) => Text.Safe(step.InstanceName ?? step.Id);
}
