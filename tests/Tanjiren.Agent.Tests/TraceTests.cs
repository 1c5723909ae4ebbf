using System.Collections.Concurrent;
using System.Diagnostics;
using Tanjiren.Agent.Execution;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests;

/// <summary>The agent's part of the one trace: from the offer to the job's own environment, with an exporter and without.</summary>
public sealed class TraceTests : IAsyncLifetime
{
    private const string Trace = "0af7651916cd43dd8448eb211c80319c";
    private const string Parent = "b7ad6b7169203331";

    private FakeControlPlane server = null!;
    private AgentHarness agent = null!;

    public async ValueTask InitializeAsync()
    {
        Prerequisite.Linux();
        server = await FakeControlPlane.StartAsync();
        agent = await AgentHarness.PairedAsync(server);
    }

    public async ValueTask DisposeAsync()
    {
        if (agent is not null) await agent.DisposeAsync();
        if (server is not null) await server.DisposeAsync();
    }

    [Theory]
    [InlineData("01")]
    [InlineData("00")]
    public async Task The_job_and_every_request_for_it_are_in_the_trace_of_the_task(string flags)
    {
        await agent.StartAsync();
        var step = server.Add(Echo($"00-{Trace}-{Parent}-{flags}", "vendor=1"));

        await EndedAsync(step);

        var words = step.Output().TrimEnd().Split(' ');
        words[1].ShouldBe("vendor=1");
        var job = TraceContext.Parse(words[0])!.Value;
        (job.TraceId.ToString(), job.TraceFlags.HasFlag(ActivityTraceFlags.Recorded)).ShouldBe((Trace, flags == "01"));
        job.SpanId.ToString().ShouldNotBe(Parent);
        foreach (var route in new[] { "claim", "logs", "complete" })
            server.Traces.Where(t => t.Route == route).ShouldAllBe(t => t.TraceParent.StartsWith($"00-{Trace}-") && t.TraceParent.EndsWith("-" + flags), route);
        // What is done for all steps together is of no step's trace.
        server.Traces.Where(t => t.Route is "heartbeat" or "work" or "sessions").ShouldAllBe(t => t.TraceParent == "");
    }

    [Theory]
    [InlineData(null)]
    [InlineData("not a trace")]
    public async Task A_task_without_a_trace_begins_one_that_is_sampled(string? traceParent)
    {
        await agent.StartAsync();
        var step = server.Add(Echo(traceParent, null));

        await EndedAsync(step);

        var job = TraceContext.Parse(step.Output().Trim())!.Value;
        job.TraceFlags.ShouldBe(ActivityTraceFlags.Recorded);
        server.Traces.Single(t => t.Route == "complete").TraceParent.ShouldContain(job.TraceId.ToString());
    }

    [Fact]
    public async Task What_is_sent_after_a_restart_is_still_in_the_trace()
    {
        await agent.StartAsync();
        server.Refuse("complete", 503, ErrorCode.Unavailable, count: 10_000);
        var step = server.Add(Echo($"00-{Trace}-{Parent}-01", null));
        await Eventually.TrueAsync(() => server.Count("complete") > 0);
        await agent.AbortAsync();
        server.StopRefusing("complete");
        server.Traces.Clear();

        await agent.StartAsync();
        await EndedAsync(step);

        server.Traces.First(t => t.Route == "complete").TraceParent.ShouldContain(Trace);
    }

    [Fact]
    public async Task The_spans_of_a_step_stand_under_the_task_and_say_how_it_ended()
    {
        var spans = new ConcurrentQueue<Activity>();
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == StepTrace.SourceName,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = spans.Enqueue,
        };
        ActivitySource.AddActivityListener(listener);
        await agent.StartAsync();
        var trace = ActivityTraceId.CreateRandom().ToString();
        var step = server.Add(new FakeStep
        {
            Id = Ids.New(Ids.Step, TimeProvider.System), Command = new CommandSpec { Shell = "echo $TRACEPARENT; exit 3" }, TraceParent = $"00-{trace}-{Parent}-01",
        });

        await EndedAsync(step);
        await Eventually.TrueAsync(() => spans.Count(s => s.TraceId.ToString() == trace) == 4);

        var own = spans.Where(s => s.TraceId.ToString() == trace).ToDictionary(s => s.OperationName);
        own.Keys.ShouldBe(["step claim", "step spawn", "step run", "step upload"], ignoreOrder: true);
        var run = own["step run"];
        new[] { own["step claim"], run, own["step upload"] }.ShouldAllBe(s => s.ParentSpanId.ToString() == Parent);
        own["step spawn"].ParentSpanId.ShouldBe(run.SpanId);
        TraceContext.Parse(step.Output().Trim())!.Value.SpanId.ShouldBe(run.SpanId);
        (run.Status, run.GetTagItem(Cicd.TaskRunResult), run.GetTagItem(Cicd.ErrorType), run.GetTagItem("process.exit.code"), run.GetTagItem(Cicd.TaskRunId))
            .ShouldBe((ActivityStatusCode.Error, "failure", "exitCode", 3, step.Id));
        server.Traces.Single(t => t.Route == "claim").TraceParent.ShouldBe(TraceContext.Format(own["step claim"].Context));
        server.Traces.Where(t => t.Route is "logs" or "complete").ShouldAllBe(t => t.TraceParent == TraceContext.Format(own["step upload"].Context));
    }

    private static FakeStep Echo(string? traceParent, string? traceState) => new()
    {
        Id = Ids.New(Ids.Step, TimeProvider.System), Command = new CommandSpec { Shell = "echo $TRACEPARENT $TRACESTATE" }, TraceParent = traceParent, TraceState = traceState,
    };

    private static Task EndedAsync(FakeStep step) => Eventually.TrueAsync(() => step.Result is not null && step.Output().Contains('\n'));
}
