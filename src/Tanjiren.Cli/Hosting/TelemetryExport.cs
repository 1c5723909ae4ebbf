using OpenTelemetry;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

using Tanjiren.Agent.Execution;
using Tanjiren.Cli.Jobs;
using Tanjiren.Server.Hosting;

namespace Tanjiren.Cli.Hosting;

/// <summary>
/// The OpenTelemetry SDK with its OTLP exporter. The only class that names its types, so that they are loaded with it. The SDK reads address, protocol, headers,
/// sampler and intervals from the environment itself. The exporter's own requests are no spans: the source of HTTP clients is not listened to.
/// </summary>
internal sealed class TelemetryExport : IDisposable
{
    private readonly TracerProvider? tracer;
    private readonly MeterProvider? meter;

    public TelemetryExport(TelemetryRole role, bool traces, bool metrics, Func<string, string?> variable)
    {
        if (traces)
            tracer = Sdk.CreateTracerProviderBuilder()
                .SetResourceBuilder(Resource(role))
                .AddSource(JobTrace.SourceName, StepTrace.SourceName, ControlPlane.TelemetryName, ControlPlane.RequestSource)
                .AddOtlpExporter()
                .Build();
        if (!metrics) return;
        try
        {
            meter = Sdk.CreateMeterProviderBuilder()
                .SetResourceBuilder(Resource(role))
                .AddMeter(ControlPlane.TelemetryName, AgentMetrics.MeterName, "Microsoft.AspNetCore.Hosting", "Microsoft.AspNetCore.Server.Kestrel", "System.Runtime")
                .AddOtlpExporter()
                .Build();
        }
        catch
        {
            // Both or none: the caller says that nothing is exported.
            Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        // Not Dispose of the providers, which waits for a collector that hangs longer than anybody wants to.
        var began = TimeProvider.System.GetTimestamp();
        tracer?.Shutdown((int)Telemetry.FlushLimit.TotalMilliseconds);
        var left = Telemetry.FlushLimit - TimeProvider.System.GetElapsedTime(began);
        meter?.Shutdown(Math.Max(1, (int)left.TotalMilliseconds));
    }

    /// <summary>The environment's words win: <c>OTEL_SERVICE_NAME</c>, <c>OTEL_RESOURCE_ATTRIBUTES</c>.</summary>
    private static ResourceBuilder Resource(TelemetryRole role) => ResourceBuilder.CreateEmpty()
        .AddService(ServiceName(role), serviceVersion: CommandTree.Version)
        .AddTelemetrySdk()
        .AddEnvironmentVariableDetector();

    private static string ServiceName(TelemetryRole role) => role switch
    {
        TelemetryRole.Server => "tanjiren-server",
        TelemetryRole.Agent => "tanjiren-agent",
        TelemetryRole.Up => "tanjiren-up",
        _ => "tanjiren-cli",
    };
}
