using System.Diagnostics;
using Tanjiren.Protocol;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Hosting;

/// <summary>The server's own spans, beside those that the framework makes of requests.</summary>
internal static class Spans
{
    public static readonly ActivitySource Source = new(ControlPlane.TelemetryName);

    /// <summary>What the reconciler did to a step, in the trace of its task: there it is missed. Passes that change nothing are no spans.</summary>
    public static void Reconciled(TaskTrace trace, string stepId, string did, DateTimeOffset began) =>
        Source.StartActivity("reconcile step", ActivityKind.Internal, TraceContext.Parse(trace.Parent, trace.State) ?? default,
            [new(Cicd.TaskRunId, stepId), new(ServerMeter.Item, did)], startTime: began)?.Dispose();
}
