using System.Diagnostics;

namespace Tanjiren.Protocol;

/// <summary>
/// One trace from the command line over server and agent to the job's own process (W3C Trace Context). Its ids exist whether anybody records spans or not,
/// so that a job can always say to which trace it belongs.
/// </summary>
public static class TraceContext
{
    /// <summary>Read by the command line from its own environment, and set for each job.</summary>
    public const string ParentVariable = "TRACEPARENT";
    public const string StateVariable = "TRACESTATE";

    private const string ParentHeader = "traceparent";
    private const string StateHeader = "tracestate";

    /// <summary>What everybody must be able to pass on (W3C Trace Context §3.3.1.5); longer ones are left behind.</summary>
    public const int MaxStateLength = 512;

    /// <summary>Null when it is absent or no valid <c>traceparent</c>: then a new trace begins, which is what the standard asks for.</summary>
    public static ActivityContext? Parse(string? traceParent, string? traceState = null) =>
        ActivityContext.TryParse(traceParent, State(traceState), isRemote: true, out var context) ? context : null;

    public static string Format(ActivityContext context) =>
        $"00-{context.TraceId}-{context.SpanId}-{(context.TraceFlags.HasFlag(ActivityTraceFlags.Recorded) ? "01" : "00")}";

    /// <summary>The state, if it is one that may be passed on: printable ASCII of bounded length. It goes into a database and into environments.</summary>
    public static string? State(string? traceState) =>
        traceState is { Length: > 0 and <= MaxStateLength } && traceState.All(c => c is >= ' ' and <= '~') ? traceState : null;

    /// <summary>
    /// Makes the current span the parent of what the server does with this request. Clients do it themselves, with <c>ActivityHeadersPropagator</c> off: the
    /// runtime's own way puts a span of its own in between, which nobody exports and every viewer misses.
    /// </summary>
    public static void Carry(HttpRequestMessage request)
    {
        ArgumentNullException.ThrowIfNull(request);
        if (Activity.Current is not { IdFormat: ActivityIdFormat.W3C } span || request.Headers.Contains(ParentHeader)) return;
        request.Headers.TryAddWithoutValidation(ParentHeader, Format(span.Context));
        if (State(span.TraceStateString) is { } state) request.Headers.TryAddWithoutValidation(StateHeader, state);
    }

    /// <summary>
    /// Starts a span, and makes it the current one, under <paramref name="parent"/> or, without one, under the current one. Always returns one: with nobody
    /// listening it costs two random ids and is recorded nowhere.
    /// </summary>
    public static Activity Start(ActivitySource source, string name, ActivityContext? parent = null, ActivityKind kind = ActivityKind.Internal,
        IReadOnlyList<KeyValuePair<string, object?>>? tags = null)
    {
        ArgumentNullException.ThrowIfNull(source);
        if (source.StartActivity(name, kind, parent ?? default, tags) is { } recorded) return recorded;
        var span = new Activity(name);
        if (parent is { } above)
        {
            span.SetParentId(above.TraceId, above.SpanId, above.TraceFlags);
            span.TraceStateString = above.TraceState;
        }
        else if (Activity.Current is null && !source.HasListeners())
        {
            // Nobody decided against recording: who comes later (server, agent, the job's own SDK) drops what it is told not to be sampled.
            span.ActivityTraceFlags = ActivityTraceFlags.Recorded;
        }
        foreach (var (tag, value) in tags ?? []) span.SetTag(tag, value);
        return span.Start();
    }
}
