using System.Diagnostics;

using Tanjiren.Protocol;

using static Tanjiren.EndToEnd.Tests.Cli.FakeControlPlane;

namespace Tanjiren.EndToEnd.Tests.Cli;

/// <summary>The command line's part of the one trace.</summary>
public sealed class JobTraceTests : IAsyncLifetime
{
    private const string Trace = "0af7651916cd43dd8448eb211c80319c";
    private const string Parent = "b7ad6b7169203331";
    private const string Tasks = "/api/tasks";
    private const string Events = $"/api/tasks/{Wire.TaskId}/events";

    private readonly CliRun cli = new();
    private FakeControlPlane server = null!;

    public async ValueTask InitializeAsync()
    {
        server = await FakeControlPlane.StartAsync();
        server.On("POST", Tasks, Wire.Task(TaskState.Queued, Wire.Step(StepState.Queued)), 201);
        server.On("GET", Events, (context, _) => EventAsync(context, 1, "end", Wire.Event(Wire.Task(TaskState.Completed, Wire.Step(StepState.Succeeded)))));
        cli.SignedIn(server);
    }

    public async ValueTask DisposeAsync()
    {
        await server.DisposeAsync();
        cli.Dispose();
    }

    [Theory]
    [InlineData(null)]
    [InlineData("not a trace")]
    public async Task A_job_begins_a_trace_that_all_its_requests_are_in(string? ofEnvironment)
    {
        if (ofEnvironment is not null) cli.Variables["TRACEPARENT"] = ofEnvironment;
        (await cli.InvokeAsync("jobs", "run", "-w", "a", "--", "true")).ShouldBe(0);

        var created = Sent("POST", Tasks);
        created.TraceFlags.ShouldBe(ActivityTraceFlags.Recorded);
        Sent("GET", Events).ShouldBe(created);
        (await cli.InvokeAsync("jobs", "run", "-w", "a", "--", "true")).ShouldBe(0);
        server.To("POST", Tasks).Select(r => TraceContext.Parse(r["traceparent"])!.Value.TraceId).Distinct().Count().ShouldBe(2);
    }

    [Fact]
    public async Task The_trace_of_the_environment_is_continued()
    {
        (cli.Variables["TRACEPARENT"], cli.Variables["TRACESTATE"]) = ($"00-{Trace}-{Parent}-00", "vendor=1");
        (await cli.InvokeAsync("jobs", "run", "-w", "a", "--", "true")).ShouldBe(0);

        var sent = Sent("POST", Tasks);
        (sent.TraceId.ToString(), sent.TraceFlags, server.To("POST", Tasks).Single()["tracestate"]).ShouldBe((Trace, ActivityTraceFlags.None, "vendor=1"));
        sent.SpanId.ToString().ShouldNotBe(Parent);
    }

    [Fact]
    public async Task Show_prints_the_trace()
    {
        server.On("GET", $"/api/tasks/{Wire.TaskId}", Wire.Task(TaskState.Completed, Wire.Step(StepState.Succeeded)) with { TraceId = Trace });
        (await cli.InvokeAsync("jobs", "show", Wire.TaskId)).ShouldBe(0);
        cli.Output.Text.ShouldContain(Trace);
    }

    private ActivityContext Sent(string method, string path) => TraceContext.Parse(server.To(method, path)[^1]["traceparent"])!.Value;
}
