using System.Diagnostics.Metrics;
using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;

namespace Tanjiren.Server.Hosting;

/// <summary>What <c>/api/status</c> shows, as metrics. They are read when somebody collects them and cost nothing else.</summary>
internal sealed class StatusMetrics(IMeterFactory meters, Counters counters, IEnumerable<ILoop> loops, UsedProofs proofs) : IHostedService
{
    public Task StartAsync(CancellationToken cancellationToken)
    {
        var meter = meters.Create(ServerMeter.Name);
        foreach (var metric in Counted.All.GroupBy(counted => counted.Metric))
        {
            var counted = metric.ToList();
            meter.CreateObservableCounter(metric.Key, () => counted.Select(Measure), counted[0].Unit, counted[0].Description);
        }
        var all = loops.Select(loop => loop.Record).ToList();
        meter.CreateObservableCounter("tanjiren.loop.runs", () => all.Select(loop => Of(loop.Status().Runs, loop.Name)), "{run}", "Passes of background loops that went through.");
        meter.CreateObservableCounter("tanjiren.loop.items", () => all.SelectMany(Items), "{item}", "What the passes did, by kind: leases gone stale, steps requeued, rows deleted.");
        meter.CreateObservableGauge("tanjiren.loop.duration", () => all.SelectMany(Duration), "s", "How long the last pass took.");
        meter.CreateObservableCounter("cicd.system.errors", () => all.SelectMany(Errors), "{error}", "Passes of background loops that failed.");
        meter.CreateObservableUpDownCounter("tanjiren.proofs.remembered", () => proofs.Count, "{proof}", "Proofs remembered against replay.");
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    private Measurement<long> Measure(Counted counted) =>
        counted.Result is { } result ? new(counters.Of(counted), new KeyValuePair<string, object?>(ServerMeter.Result, result)) : new(counters.Of(counted));

    private static Measurement<T> Of<T>(T value, string loop, params ReadOnlySpan<KeyValuePair<string, object?>> more) where T : struct =>
        new(value, [new(ServerMeter.Loop, loop), .. more]);

    private static IEnumerable<Measurement<long>> Items(LoopRecord loop) =>
        loop.Status().Counters.Select(item => Of(item.Value, loop.Name, new KeyValuePair<string, object?>(ServerMeter.Item, item.Key)));

    private static IEnumerable<Measurement<double>> Duration(LoopRecord loop)
    {
        if (loop.Status().LastDurationMs is { } milliseconds) yield return Of(milliseconds / 1000, loop.Name);
    }

    private static IEnumerable<Measurement<long>> Errors(LoopRecord loop) => loop.ErrorTypes()
        .Select(error => new Measurement<long>(error.Value, new(Cicd.Component, loop.Name), new KeyValuePair<string, object?>(Cicd.ErrorType, error.Key)));
}

/// <summary>Names that all meters of the server share.</summary>
internal static class ServerMeter
{
    public const string Name = ControlPlane.TelemetryName;
    public const string Result = "tanjiren.result";
    public const string Loop = "tanjiren.loop.name";
    public const string Item = "tanjiren.loop.item";
}
