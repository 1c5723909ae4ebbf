using System.Net;
using System.Net.Sockets;

using Tanjiren.EndToEnd.Tests.Cli.Agents;
using Tanjiren.EndToEnd.Tests.Faults;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Telemetry;

/// <summary>Real command line, server and agent that export to a collector: one trace, down to the job's own process.</summary>
public sealed class TelemetryTests(ExportingFixture scene) : IClassFixture<ExportingFixture>
{
    private const string Trace = "0af7651916cd43dd8448eb211c80319c";
    private const string Parent = "b7ad6b7169203331";

    private readonly OtlpReceiver _collector = scene.Collector;

    [Fact]
    public async Task One_trace_goes_from_the_command_line_over_server_and_agent_to_the_job()
    {
        var job = await RunAsync(_collector.Environment);

        var id = job.TraceId.ToString();
        var root = await SpanAsync(id, "tanjiren-cli", "jobs run");
        var created = await SpanAsync(id, "tanjiren-server", "POST /api/tasks/");
        var claim = await SpanAsync(id, "tanjiren-agent", "step claim");
        var claimed = await SpanAsync(id, "tanjiren-server", "POST /api/steps/{id}/claim");
        var run = await SpanAsync(id, "tanjiren-agent", "step run");
        var spawn = await SpanAsync(id, "tanjiren-agent", "step spawn");
        var upload = await SpanAsync(id, "tanjiren-agent", "step upload");
        var completed = await SpanAsync(id, "tanjiren-server", "POST /api/steps/{id}/complete");
        (root.ParentSpanId, created.ParentSpanId, claim.ParentSpanId, claimed.ParentSpanId, run.ParentSpanId, spawn.ParentSpanId, upload.ParentSpanId, completed.ParentSpanId)
            .ShouldBe(("", root.SpanId, created.SpanId, claim.SpanId, created.SpanId, run.SpanId, created.SpanId, upload.SpanId), _collector.Describe());
        job.SpanId.ToString().ShouldBe(run.SpanId);
        run.Tags[Cicd.TaskRunResult].ShouldBe("success");

        foreach (var metric in new[] { "tanjiren-server cicd.pipeline.run.duration", "tanjiren-server cicd.worker.count", "tanjiren-agent tanjiren.agent.step.duration" })
            await Eventually.TrueAsync(() => _collector.Metrics.ContainsKey(metric), () => string.Join(", ", _collector.Metrics.Keys.Order()), FaultScene.StartLimit, metric);
        _collector.Traced.ShouldBeEmpty();
        _collector.Spans.ShouldAllBe(span => span.Scope != "System.Net.Http");
    }

    [Fact]
    public async Task The_trace_of_the_environment_is_continued_and_its_words_on_the_service_win()
    {
        var job = await RunAsync(new Dictionary<string, string?>(_collector.Environment)
        {
            ["TRACEPARENT"] = $"00-{Trace}-{Parent}-01", ["OTEL_SERVICE_NAME"] = "nightly",
        });

        job.TraceId.ToString().ShouldBe(Trace);
        (await SpanAsync(Trace, "nightly", "jobs run")).ParentSpanId.ShouldBe(Parent);
    }

    [Fact]
    public async Task A_collector_that_is_away_or_hangs_changes_nothing()
    {
        using var hangs = new TcpListener(IPAddress.Loopback, 0);
        hangs.Start();
        foreach (var endpoint in new[] { "http://127.0.0.1:1", $"http://127.0.0.1:{((IPEndPoint)hangs.LocalEndpoint).Port}", "no address", "https://127.0.0.1:1" })
        {
            // The exporter itself would wait ten minutes, longer than this test waits for the command.
            await using var cli = Start(new Dictionary<string, string?>
            {
                ["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint, ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf", ["OTEL_EXPORTER_OTLP_TIMEOUT"] = "600000",
                ["OTEL_EXPORTER_OTLP_CERTIFICATE"] = endpoint.StartsWith("https", StringComparison.Ordinal) ? scene.File("no such certificate") : null,
            }, "echo out; exit 3");
            (await cli.EndAsync()).ShouldBe(3, cli.Describe());
            (cli.Output.Text, WaitingNotices.Without(cli.Error.Text)).ShouldBe(("out\n", ""), endpoint);
        }
    }

    [Fact]
    public async Task Nothing_of_it_is_loaded_unless_it_is_asked_for()
    {
        Loaded(scene.Server.Process.Id).ShouldBeTrue();
        await using var plain = await RealServer.StartAsync("sqlite:" + scene.File("plain.db"), new Dictionary<string, string?>());
        Loaded(plain.Process.Id).ShouldBeFalse();
        await using var disabled = await RealServer.StartAsync("sqlite:" + scene.File("disabled.db"), new Dictionary<string, string?>(_collector.Environment) { ["OTEL_SDK_DISABLED"] = "true" });
        Loaded(disabled.Process.Id).ShouldBeFalse();

        static bool Loaded(int process) => File.ReadAllText($"/proc/{process}/maps").Contains("OpenTelemetry");
    }

    private async Task<System.Diagnostics.ActivityContext> RunAsync(IReadOnlyDictionary<string, string?> environment)
    {
        await using var cli = Start(environment, "echo $TRACEPARENT");
        (await cli.EndAsync()).ShouldBe(0, cli.Describe());
        WaitingNotices.Without(cli.Error.Text).ShouldBeEmpty();
        return TraceContext.Parse(cli.Output.Text.Trim())!.Value;
    }

    private CliProcess Start(IReadOnlyDictionary<string, string?> environment, string shell) =>
        CliProcess.Start(scene.Server.Url, scene.Workspace.Token, scene.File("cli"), ["jobs", "run", "--workstation", "box", "--", "sh", "-c", shell], environment);

    private async Task<ExportedSpan> SpanAsync(string traceId, string service, string name)
    {
        ExportedSpan? found = null;
        await Eventually.TrueAsync(() => (found = _collector.Spans.FirstOrDefault(s => (s.TraceId, s.Service, s.Name) == (traceId, service, name))) is not null,
            _collector.Describe, FaultScene.StartLimit, $"{service} has exported '{name}' of {traceId}");
        return found!;
    }
}
