using System.Diagnostics;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Execution;

/// <summary>
/// The spans of one claim, all in the trace of its task: <c>step claim</c>, <c>step run</c> with <c>step spawn</c> in it, and <c>step upload</c>, which runs
/// beside the step and ends with the server's last answer. The requests that are made meanwhile carry them. The job's own parent is <c>step run</c>.
/// </summary>
internal sealed class StepTrace(PendingStep pending, AgentMetrics metrics)
{
    public const string SourceName = "Tanjiren.Agent";

    public static readonly ActivitySource Source = new(SourceName);

    // A task from before tasks had traces begins one here, so that its spans are together all the same.
    private ActivityContext task = TraceContext.Parse(pending.TraceParent)
        ?? new ActivityContext(ActivityTraceId.CreateRandom(), ActivitySpanId.CreateRandom(), ActivityTraceFlags.Recorded);
    private Activity? run;

    /// <summary>What stands for the task's trace in journal and upload.</summary>
    public string TraceParent => TraceContext.Format(task);

    public Activity Claim() => Start("step claim", pending.StepId, task);

    public void Granted(ClaimResponse claim) => task = TraceContext.Parse(claim.TraceParent, claim.TraceState) ?? task;

    public Activity Run()
    {
        run = Start("step run", pending.StepId, task);
        run.SetTag(Cicd.RunId, pending.TaskId);
        return run;
    }

    /// <summary>From the intent in the journal to the process.</summary>
    public Activity Spawn() => Start("step spawn", pending.StepId, run!.Context);

    public void Ended(CompleteRequest result)
    {
        metrics.Ended(result);
        if (run is null || result.Outcome is not { } outcome) return;
        var words = Cicd.ResultOf(outcome, result.Reason);
        run.SetTag(Cicd.TaskRunResult, words);
        if (result.ExitCode is { } code) run.SetTag("process.exit.code", code);
        if (!Cicd.IsFailed(words)) return;
        run.SetTag(Cicd.ErrorType, Cicd.ErrorOf(result.Reason));
        run.SetStatus(ActivityStatusCode.Error);
    }

    public static Activity Upload(string stepId, string? traceParent) => Start("step upload", stepId, TraceContext.Parse(traceParent));

    private static Activity Start(string name, string stepId, ActivityContext? parent) =>
        TraceContext.Start(Source, name, parent, tags: [new(Cicd.TaskRunId, stepId)]);
}
