using System.Collections.Concurrent;
using System.Data.Common;
using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Hosting;

/// <summary>What a server's metrics say of what happened.</summary>
public sealed class MetricTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Tasks_are_counted_in_each_state_and_by_how_they_ended(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var metrics = new Collected(server.App.Services.GetRequiredService<IMeterFactory>());
        using var agent = await server.NewAgentAsync("box");
        var good = await server.Client.CreateTaskAsync(agent);
        await agent.ClaimAsync(good.StepId());
        await agent.CompleteAsync(good.StepId());
        var bad = await server.Client.CreateTaskAsync(agent);
        await agent.ClaimAsync(bad.StepId());
        (await agent.TryCompleteAsync(bad.StepId(), AgentCalls.Result(bad.StepId(), r => r with { Outcome = StepOutcome.Failed, Reason = StepReason.Timeout, ExitCode = null }))).EnsureSuccessStatusCode();
        var never = await server.Client.CreateTaskAsync(agent);
        (await server.Client.CancelAsync(never.Id)).EnsureSuccessStatusCode();

        metrics.Tags("cicd.pipeline.run.duration").ShouldBe(
        [
            "cicd.pipeline.name=command cicd.pipeline.run.state=pending",
            "cicd.pipeline.name=command cicd.pipeline.run.state=executing cicd.pipeline.result=success",
            "cicd.pipeline.name=command cicd.pipeline.run.state=pending",
            "cicd.pipeline.name=command cicd.pipeline.run.state=executing cicd.pipeline.result=timeout error.type=timeout",
            "cicd.pipeline.name=command cicd.pipeline.run.state=pending cicd.pipeline.result=cancellation",
        ]);
        metrics.Tags("cicd.pipeline.run.errors").ShouldBe(["cicd.pipeline.name=command error.type=timeout"]);
        metrics.Tags("tanjiren.dispatch.duration").Count.ShouldBe(2);
        metrics.Read();
        metrics.Last("tanjiren.claims", "tanjiren.result=granted").ShouldBe(2);
        metrics.Last("tanjiren.completions", "tanjiren.result=applied").ShouldBe(2);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Open_tasks_and_workstations_are_counted_while_somebody_collects(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var gauges = server.App.Services.GetRequiredService<WorkGauges>();
        using var busy = await server.NewAgentAsync("busy");
        using var idle = await server.NewAgentAsync("idle");
        await server.NewInstanceAsync("never seen");
        await busy.ClaimAsync((await server.Client.CreateTaskAsync(busy)).StepId());
        await server.Client.CreateTaskAsync(idle);
        await server.Client.CreateTaskAsync(idle);
        var ended = await server.Client.CreateTaskAsync(idle);
        (await server.Client.CancelAsync(ended.Id)).EnsureSuccessStatusCode();

        using var metrics = new Collected(server.App.Services.GetRequiredService<IMeterFactory>());
        await gauges.RunOnceAsync(Cancelled);
        metrics.Read();

        metrics.Last("cicd.pipeline.run.active", "cicd.pipeline.name=command cicd.pipeline.run.state=pending").ShouldBe(2);
        metrics.Last("cicd.pipeline.run.active", "cicd.pipeline.name=command cicd.pipeline.run.state=executing").ShouldBe(1);
        foreach (var task in (await server.Client.GetBodyAsync<Page<TaskBody>>("/api/tasks?status=queued")).Items) (await server.Client.CancelAsync(task.Id)).EnsureSuccessStatusCode();
        await gauges.RunOnceAsync(Cancelled);
        metrics.Read();
        metrics.Last("cicd.pipeline.run.active", "cicd.pipeline.name=command cicd.pipeline.run.state=pending").ShouldBe(0);
        foreach (var state in new[] { "busy", "available", "offline" }) metrics.Last("cicd.worker.count", "cicd.worker.state=" + state).ShouldBe(1, state);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_can_not_be_counted_is_not_reported_from_memory(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var gauges = server.App.Services.GetRequiredService<WorkGauges>();
        await server.NewInstanceAsync("box");
        using var metrics = new Collected(server.App.Services.GetRequiredService<IMeterFactory>());
        (int Runs, int Workers) Reported()
        {
            var before = (metrics.Tags("cicd.pipeline.run.active").Count, metrics.Tags("cicd.worker.count").Count);
            metrics.Read();
            return (metrics.Tags("cicd.pipeline.run.active").Count - before.Item1, metrics.Tags("cicd.worker.count").Count - before.Item2);
        }
        await gauges.RunOnceAsync(Cancelled);
        Reported().ShouldBe((2, 3));

        await server.Database.WriteAsync(tx => tx.ExecuteAsync("ALTER TABLE tasks RENAME TO gone"), Cancelled);
        await Should.ThrowAsync<DbException>(() => gauges.RunOnceAsync(Cancelled));
        Reported().ShouldBe((0, 0));

        await server.Database.WriteAsync(tx => tx.ExecuteAsync("ALTER TABLE gone RENAME TO tasks"), Cancelled);
        await gauges.RunOnceAsync(Cancelled);
        Reported().ShouldBe((2, 3));
    }

    [Fact]
    public async Task The_status_and_the_metrics_say_the_same()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite);
        using var metrics = new Collected(server.App.Services.GetRequiredService<IMeterFactory>());
        using var agent = await server.NewAgentAsync("box");
        (await server.NewClient("tnv_wrong").GetAsync("/api/tasks", Cancelled)).Dispose();
        server.App.Services.GetRequiredService<WorkGauges>().Record.Failed(new TimeoutException("secret"));

        var status = await server.Client.GetBodyAsync<StatusBody>("/api/status");
        metrics.Read();
        var counted = status.Loops.Single(l => l.Name == "requests").Counters;
        counted["noncesAsked"].ShouldBeGreaterThan(0);
        foreach (var (name, value) in counted)
        {
            var what = Counted.All.Single(c => c.Name == name);
            metrics.Last(what.Metric, what.Result is null ? "" : "tanjiren.result=" + what.Result).ShouldBe(value, name);
        }
        metrics.Last("tanjiren.loop.runs", "tanjiren.loop.name=expired-rows").ShouldBe(1);
        metrics.Last("cicd.system.errors", "cicd.system.component=gauges error.type=System.TimeoutException").ShouldBe(1);
    }

    /// <summary>The measurements of one server: its meters are its factory's.</summary>
    private sealed class Collected : IDisposable
    {
        private readonly ConcurrentQueue<(string Name, string Tags, double Value)> _measured = new();
        private readonly MeterListener _listener = new();

        public Collected(IMeterFactory ofServer)
        {
            _listener.InstrumentPublished = (instrument, listener) =>
            {
                if (ReferenceEquals(instrument.Meter.Scope, ofServer)) listener.EnableMeasurementEvents(instrument);
            };
            _listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Add(instrument, value, tags));
            _listener.SetMeasurementEventCallback<int>((instrument, value, tags, _) => Add(instrument, value, tags));
            _listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Add(instrument, value, tags));
            _listener.Start();
        }

        public void Read() => _listener.RecordObservableInstruments();

        public List<string> Tags(string name) => [.. _measured.Where(m => m.Name == name).Select(m => m.Tags)];

        public double Last(string name, string tags) => _measured.Last(m => m.Name == name && m.Tags == tags).Value;

        public void Dispose() => _listener.Dispose();

        private void Add(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags) =>
            _measured.Enqueue((instrument.Name, string.Join(' ', tags.ToArray().Select(t => $"{t.Key}={t.Value}")), value));
    }
}
