using Tanjiren.Protocol;

namespace Tanjiren.Server.Tasks;

/// <summary>One paragraph on how a task ended, for people.</summary>
internal static class OutcomeSummary
{
    private const int MaxNamed = 10;

    public static string Of(TaskState state, IReadOnlyList<StepRow> steps)
    {
        var succeeded = steps.Count(s => s.State == "succeeded");
        var text = state switch
        {
            TaskState.Completed => steps.Count == 1 ? $"Succeeded on {Name(steps[0])}{After(steps[0])}." : $"All {steps.Count} steps succeeded.",
            TaskState.Cancelled => $"Cancelled by an operator; {succeeded} of {steps.Count} steps had succeeded.",
            _ => steps.Count == 1 ? "Failed." : $"Failed: {succeeded} of {steps.Count} steps succeeded.",
        };
        var others = steps.Where(s => s.State is "failed" or "cancelled").ToList();
        if (others.Count == 0) return text;
        text += " " + string.Join("; ", others.Take(MaxNamed).Select(Describe)) + ".";
        if (others.Count > MaxNamed) text += $" And {others.Count - MaxNamed} more.";
        return text;
    }

    /// <summary>Of a step that failed or was cancelled: why, in a few words.</summary>
    public static string HowItEnded(StepRow step) => step.Reason switch
    {
        "exitCode" when step.Signal is not null => $"ended by {step.Signal}",
        "exitCode" => $"exit code {step.ExitCode}{(step.Detail is null ? "" : $" ({step.Detail.TrimEnd('.')})")}",
        null => step.State,
        _ => step.Detail is null ? step.Reason : $"{step.Reason} ({step.Detail.TrimEnd('.')})",
    };

    /// <summary>How long it ran; null when nobody knows.</summary>
    public static string? Took(StepRow step) => step.DurationMs is { } ms ? $"{ms / 1000.0:0.###} s" : null;

    private static string Describe(StepRow step) => $"{Name(step)}: {HowItEnded(step)}{(step.Reason == "exitCode" ? After(step) : "")}";

    private static string Name(StepRow step) => step.InstanceName ?? "no workstation";

    private static string After(StepRow step) => Took(step) is { } took ? $" after {took}" : "";
}
