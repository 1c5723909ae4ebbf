using System.Collections.Concurrent;
using System.Net;

using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;

namespace Tanjiren.EndToEnd.Tests.Telemetry;

/// <summary>A span as it was exported.</summary>
internal sealed record ExportedSpan(string Service, string Scope, string Name, string TraceId, string SpanId, string ParentSpanId, IReadOnlyDictionary<string, string> Tags);

/// <summary>A collector on loopback that takes OTLP over HTTP and keeps what it gets.</summary>
internal sealed class OtlpReceiver : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly ConcurrentQueue<ExportedSpan> _spans = new();

    private OtlpReceiver()
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        _app = builder.Build();
        _app.Run(TakeAsync);
    }

    public IReadOnlyList<ExportedSpan> Spans => [.. _spans];

    /// <summary>Names of metrics, led by the service that exported them.</summary>
    public ConcurrentDictionary<string, bool> Metrics { get; } = new();

    /// <summary>Requests that carried a trace: an exporter that traces itself never comes to rest.</summary>
    public ConcurrentQueue<string> Traced { get; } = new();

    /// <summary>What makes a process export here, soon.</summary>
    public IReadOnlyDictionary<string, string?> Environment => new Dictionary<string, string?>
    {
        ["OTEL_EXPORTER_OTLP_ENDPOINT"] = _app.Urls.First(), ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf", ["OTEL_BSP_SCHEDULE_DELAY"] = "100",
        ["OTEL_METRIC_EXPORT_INTERVAL"] = "500",
    };

    public static async Task<OtlpReceiver> StartAsync()
    {
        var receiver = new OtlpReceiver();
        await receiver._app.StartAsync(TestContext.Current.CancellationToken);
        return receiver;
    }

    public string Describe() => string.Join(System.Environment.NewLine, Spans.Select(s => s.ToString()));

    public async ValueTask DisposeAsync()
    {
        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await _app.StopAsync(now.Token);
        await _app.DisposeAsync();
    }

    private async Task TakeAsync(HttpContext context)
    {
        using var body = new MemoryStream();
        await context.Request.Body.CopyToAsync(body);
        if (context.Request.Headers.ContainsKey("traceparent")) Traced.Enqueue(context.Request.Path);
        if (context.Request.Path == "/v1/traces") TakeTraces(body.ToArray());
        else if (context.Request.Path == "/v1/metrics") TakeMetrics(body.ToArray());
        context.Response.ContentType = "application/x-protobuf";
    }

    // The numbers are those of opentelemetry-proto: resource 1, scopes 2; in each scope its own words 1, its spans or metrics 2.
    private void TakeTraces(ReadOnlyMemory<byte> request)
    {
        foreach (var resource in ProtoMessage.Parse(request).Messages(1))
        {
            var service = Attributes(resource.Message(1), 1).GetValueOrDefault("service.name", "");
            foreach (var scope in resource.Messages(2))
                foreach (var span in scope.Messages(2))
                    _spans.Enqueue(new ExportedSpan(service, scope.Message(1).Text(1), span.Text(5), span.Hex(1), span.Hex(2), span.Hex(4), Attributes(span, 9)));
        }
    }

    private void TakeMetrics(ReadOnlyMemory<byte> request)
    {
        foreach (var resource in ProtoMessage.Parse(request).Messages(1))
            foreach (var metric in resource.Messages(2).SelectMany(scope => scope.Messages(2)))
                Metrics[$"{Attributes(resource.Message(1), 1).GetValueOrDefault("service.name", "")} {metric.Text(1)}"] = true;
    }

    /// <summary>Those whose value is text.</summary>
    private static Dictionary<string, string> Attributes(ProtoMessage message, int number) =>
        message.Messages(number).ToDictionary(attribute => attribute.Text(1), attribute => attribute.Message(2).Text(1));
}
