using System.Diagnostics;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Hosting;

/// <summary>Marks a route whose requests are a span only within somebody else's trace: heartbeats, polls and probes would drown the traces that people look for.</summary>
internal sealed class NotTraced
{
    public static readonly NotTraced Instance = new();
}

/// <summary>
/// Names the framework's span of each request after its route, and takes out what may hold a secret: of the address only the route stays, for queries and
/// mistyped paths hold codes. Headers and bodies are never recorded.
/// </summary>
internal sealed class RequestSpans(RequestDelegate next)
{
    private static readonly string[] OfTheClient = ["url.path", "url.query", "url.full", "http.target", "http.url", "http.request.method_original"];
    private static readonly string[] Methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

    public async Task InvokeAsync(HttpContext context)
    {
        // Without a listener the framework makes an activity of no source, for the ids alone.
        if (Activity.Current is not { IsAllDataRequested: true } span || span.Source.Name != ControlPlane.RequestSource)
        {
            await next(context);
            return;
        }
        foreach (var tag in OfTheClient) span.SetTag(tag, null);
        try
        {
            await next(context);
        }
        finally
        {
            Describe(span, context);
        }
    }

    private static void Describe(Activity span, HttpContext context)
    {
        var endpoint = context.GetEndpoint();
        if (endpoint?.Metadata.GetMetadata<NotTraced>() is not null && span.ParentId is null)
        {
            span.ActivityTraceFlags &= ~ActivityTraceFlags.Recorded;
            span.IsAllDataRequested = false;
            return;
        }
        var route = (endpoint as RouteEndpoint)?.RoutePattern.RawText;
        var method = Methods.Contains(context.Request.Method) ? context.Request.Method : null;
        span.DisplayName = route is null ? method ?? "HTTP" : $"{method ?? "HTTP"} {route}";
        if (route is not null) span.SetTag("http.route", route);
        span.SetTag("http.request.method", method ?? "_OTHER");
        span.SetTag("http.response.status_code", context.Response.StatusCode);
        if (context.Request.RouteValues.GetValueOrDefault("id") is string id)
        {
            if (Ids.IsValid(id, Ids.Task)) span.SetTag(Cicd.RunId, id);
            else if (Ids.IsValid(id, Ids.Step)) span.SetTag(Cicd.TaskRunId, id);
        }
        if (context.Response.StatusCode < 500) return;
        span.SetStatus(ActivityStatusCode.Error);
        span.SetTag(Cicd.ErrorType, context.Response.StatusCode.ToString(System.Globalization.CultureInfo.InvariantCulture));
    }
}
