using System.Diagnostics;
using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;

namespace Tanjiren.Server.Tasks;

/// <summary>The trace of a task, as it is stored with it and handed to whoever works on it.</summary>
internal sealed record TaskTrace(string? Parent, string? State)
{
    private const int TraceIdStart = 3;
    private const int TraceIdLength = 32;

    /// <summary>Thirty-two hexadecimal digits; null for a task from before tasks had traces.</summary>
    public string? TraceId => Parent?.Substring(TraceIdStart, TraceIdLength);

    /// <summary>Of the request that is being handled. Asked before the transaction, which may run in somebody else's flow of control.</summary>
    public static TaskTrace OfRequest()
    {
        if (Activity.Current is not { IdFormat: ActivityIdFormat.W3C } request)
            return Of(new ActivityContext(ActivityTraceId.CreateRandom(), ActivitySpanId.CreateRandom(), ActivityTraceFlags.Recorded));
        // A client without a trace, and nobody here who would have decided for or against recording: see TraceContext.Start.
        var flags = request.ParentId is null && !Spans.Source.HasListeners() ? ActivityTraceFlags.Recorded : request.ActivityTraceFlags;
        return Of(new ActivityContext(request.TraceId, request.SpanId, flags, request.TraceStateString));
    }

    private static TaskTrace Of(ActivityContext context) => new(TraceContext.Format(context), TraceContext.State(context.TraceState));
}
