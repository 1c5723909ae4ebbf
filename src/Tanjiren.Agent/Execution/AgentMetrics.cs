using System.Diagnostics.Metrics;
using Tanjiren.Agent.Outbox;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Execution;

/// <summary>The agent's metrics. Read when somebody collects them; nobody does unless an exporter is switched on.</summary>
internal sealed class AgentMetrics : IDisposable
{
    public const string MeterName = "Tanjiren.Agent";

    private readonly Meter meter = new(MeterName);
    private readonly Histogram<double> steps;

    public AgentMetrics(StepTable table, OutboxSender outbox, Func<bool> connected)
    {
        // The default buckets of exporters end at ten seconds; jobs take from milliseconds to days.
        steps = meter.CreateHistogram("tanjiren.agent.step.duration", "s", "How long the processes of steps ran.", null,
            new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.01, 0.1, 1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400] });
        meter.CreateObservableUpDownCounter("tanjiren.agent.steps.active", () => table.Active, "{step}", "Steps in work, from the claim to the server's answer.");
        meter.CreateObservableUpDownCounter("tanjiren.agent.outbox.size", () => outbox.Budget.Used, "By", "Output on disk that the server has not taken yet.");
        meter.CreateObservableUpDownCounter("tanjiren.agent.uploads.active", () => outbox.Count, "{upload}", "Claims whose output or result is not all with the server.");
        meter.CreateObservableGauge("tanjiren.agent.connected", () => connected() ? 1 : 0, "1", "Whether the last request to the server was answered.");
    }

    public void Ended(CompleteRequest result)
    {
        if (result.Outcome is not { } outcome) return;
        var words = Cicd.ResultOf(outcome, result.Reason);
        var how = new KeyValuePair<string, object?>(Cicd.TaskRunResult, words);
        var seconds = (result.DurationMs ?? 0) / 1000.0;
        if (Cicd.IsFailed(words)) steps.Record(seconds, how, new KeyValuePair<string, object?>(Cicd.ErrorType, Cicd.ErrorOf(result.Reason)));
        else steps.Record(seconds, how);
    }

    public void Dispose() => meter.Dispose();
}
