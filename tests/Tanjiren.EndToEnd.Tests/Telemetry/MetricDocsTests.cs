using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;

using Microsoft.Extensions.Logging;

using Tanjiren.Agent.Execution;
using Tanjiren.Server.Hosting;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Telemetry;

/// <summary>docs/concepts/observability.md and the instruments say the same.</summary>
public sealed partial class MetricDocsTests
{
    [Fact]
    public async Task Every_metric_is_documented_with_its_kind_and_unit_and_none_that_does_not_exist()
    {
        var instruments = new ConcurrentDictionary<string, bool>();
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, _) =>
            {
                if (instrument.Meter.Name is ControlPlane.TelemetryName or AgentMetrics.MeterName)
                    instruments[$"`{instrument.Name}` | {Kind(instrument)} | `{instrument.Unit}` |"] = true;
            },
        };
        listener.Start();
        using var directory = new TemporaryDirectory();
        await using var app = ControlPlane.Build(new ControlPlaneOptions
        {
            Urls = ["http://127.0.0.1:0"], Database = "sqlite:" + directory.File("tanjiren.db"), OfferSetup = false, ConfigureLogging = logging => logging.ClearProviders(),
        });
        await app.StartAsync(TestContext.Current.CancellationToken);
        using var agent = new AgentMetrics(new StepTable(1), null!, () => true);

        instruments.Count.ShouldBeGreaterThan(20);
        Row().Matches(await File.ReadAllTextAsync(Page(), TestContext.Current.CancellationToken)).Select(row => row.Groups["row"].Value).ShouldBe(instruments.Keys, ignoreOrder: true);
        await app.StopAsync(TestContext.Current.CancellationToken);
    }

    private static string Kind(Instrument instrument)
    {
        var name = instrument.GetType().Name;
        return name.Contains("UpDown") ? "up-down counter" : name.Contains("Counter") ? "counter" : name.Contains("Histogram") ? "histogram" : "gauge";
    }

    private static string Page([CallerFilePath] string here = "") => Path.Combine(Path.GetDirectoryName(here)!, "..", "..", "..", "docs", "concepts", "observability.md");

    [GeneratedRegex(@"^\| (?<row>`(cicd|tanjiren)\.[^|]+\|[^|]+\|[^|]+\|)", RegexOptions.Multiline | RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Row();
}
