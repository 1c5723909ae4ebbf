using System.Diagnostics.Metrics;
using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;

namespace Tanjiren.Server.Tasks;

/// <summary>How long tasks waited and ran, and what went wrong in them. Told after the commit, by the server process that made it, so each once.</summary>
internal sealed class RunMetrics
{
    private readonly Histogram<double> _duration;
    private readonly Histogram<double> _dispatch;
    private readonly Counter<long> _errors;

    public RunMetrics(IMeterFactory meters)
    {
        var meter = meters.Create(ServerMeter.Name);
        // The default buckets of exporters end at ten seconds; jobs take from milliseconds to days.
        _duration = meter.CreateHistogram("cicd.pipeline.run.duration", "s", "Duration of a task in each of its states.", null,
            new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.01, 0.1, 1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400] });
        _dispatch = meter.CreateHistogram("tanjiren.dispatch.duration", "s", "From the creation of a step to its first claim.", null,
            new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30, 300, 3600, 86_400] });
        _errors = meter.CreateCounter<long>("cicd.pipeline.run.errors", "{error}", "Steps that failed.");
    }

    public void Dispatched(long queuedMs) => _dispatch.Record(queuedMs / 1000.0);

    public void Ended(EndedRun run)
    {
        var name = new KeyValuePair<string, object?>(Cicd.PipelineName, run.Mode);
        var result = new KeyValuePair<string, object?>(Cicd.PipelineResult, run.Result);
        if (run.StartedAt is { } startedAt)
        {
            Record(startedAt - run.CreatedAt, "pending");
            Record(run.EndedAt - startedAt, "executing", run.Errors.Count > 0 ? [result, Error(run.Errors[0])] : [result]);
        }
        else
        {
            Record(run.EndedAt - run.CreatedAt, "pending", run.Errors.Count > 0 ? [result, Error(run.Errors[0])] : [result]);
        }
        foreach (var error in run.Errors) _errors.Add(1, name, Error(error));

        void Record(long milliseconds, string state, params ReadOnlySpan<KeyValuePair<string, object?>> more) =>
            _duration.Record(milliseconds / 1000.0, [name, new(Cicd.RunState, state), .. more]);
    }

    private static KeyValuePair<string, object?> Error(string type) => new(Cicd.ErrorType, type);
}

/// <summary>A task that has ended. <see cref="Errors"/>: the reasons of its failed steps, the worst first.</summary>
internal sealed record EndedRun(string Mode, long CreatedAt, long? StartedAt, long EndedAt, string Result, IReadOnlyList<string> Errors)
{
    /// <summary>Ours before a timeout before the job's own.</summary>
    private static readonly string[] Worst = [Cicd.Error, Cicd.Timeout, Cicd.Failure];

    public static EndedRun Of(string mode, long createdAt, long? startedAt, long endedAt, TaskState state, IReadOnlyList<StepRow> steps)
    {
        var failed = steps.Where(s => s.Outcome == "FAILED").Select(s => (s.Reason, Result: ResultOf(s))).OrderBy(s => Array.IndexOf(Worst, s.Result)).ToList();
        var result = state switch
        {
            TaskState.Completed => Cicd.Success,
            TaskState.Cancelled => Cicd.Cancellation,
            _ => failed.Count > 0 ? failed[0].Result : Cicd.Failure,
        };
        return new EndedRun(mode, createdAt, startedAt, endedAt, result, [.. failed.Select(s => s.Reason ?? "_OTHER")]);
    }

    private static string ResultOf(StepRow step) => Cicd.ResultOf(StepOutcome.Failed, step.Reason is null ? null : WireNames.Parse<StepReason>(step.Reason));
}
