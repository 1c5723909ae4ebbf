using System.Diagnostics;
using Tanjiren.Protocol;
using Tanjiren.Server.Tests.Hosting;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Tasks.Http;

/// <summary>The server's part of the one trace: from the request that creates a task to the agent that claims its step.</summary>
[Collection(SpanTests.Name)]
public sealed class TaskTraceTests
{
    private const string Trace = "0af7651916cd43dd8448eb211c80319c";
    private const string Parent = "b7ad6b7169203331";

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_task_is_of_the_trace_of_its_request_and_hands_it_on(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var task = await CreateAsync(server, $"00-{Trace}-{Parent}-01", "vendor=1");

        task.TraceId.ShouldBe(Trace);
        (await server.Client.TaskAsync(task.Id)).TraceId.ShouldBe(Trace);
        (await server.Client.GetBodyAsync<Page<TaskBody>>("/api/tasks")).Items.Single().TraceId.ShouldBe(Trace);
        var offered = (await agent.WorkAsync(waitSeconds: 0)).Assignments.Single();
        var claim = await agent.ClaimAsync(task.StepId());
        claim.TraceParent.ShouldBe(offered.TraceParent);
        claim.TraceState.ShouldBe("vendor=1");
        var context = TraceContext.Parse(claim.TraceParent)!.Value;
        (context.TraceId.ToString(), context.TraceFlags).ShouldBe((Trace, ActivityTraceFlags.Recorded));
        // The request has a span of its own under the client's.
        context.SpanId.ToString().ShouldNotBe(Parent);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("00-00000000000000000000000000000000-b7ad6b7169203331-01")]
    [InlineData("traceparent")]
    public async Task Without_a_valid_trace_one_begins_that_is_sampled(string? sent)
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite);
        using var agent = await server.NewAgentAsync("box");
        var task = await CreateAsync(server, sent, null);

        var context = TraceContext.Parse((await agent.ClaimAsync(task.StepId())).TraceParent)!.Value;
        (context.TraceId.ToString(), context.TraceFlags).ShouldBe((task.TraceId, ActivityTraceFlags.Recorded));
    }

    [Fact]
    public async Task What_the_client_does_not_sample_stays_unsampled_and_an_endless_state_is_left_behind()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite);
        using var agent = await server.NewAgentAsync("box");
        var task = await CreateAsync(server, $"00-{Trace}-{Parent}-00", "vendor=" + new string('x', 600));

        var claim = await agent.ClaimAsync(task.StepId());
        claim.TraceParent.ShouldEndWith("-00");
        (task.TraceId, claim.TraceState).ShouldBe((Trace, null));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_task_from_before_tasks_had_traces_is_claimed_without_one(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var task = await server.Client.CreateTaskAsync(agent);
        await server.Database.WriteAsync(tx => tx.ExecuteAsync("UPDATE tasks SET trace_parent = NULL"), Cancelled);

        (await agent.ClaimAsync(task.StepId())).TraceParent.ShouldBeNull();
        (await server.Client.TaskAsync(task.Id)).TraceId.ShouldBeNull();
    }

    private static async Task<TaskBody> CreateAsync(ServerFixture server, string? traceParent, string? traceState)
    {
        using var message = new HttpRequestMessage(HttpMethod.Post, "/api/tasks") { Content = JsonHttp.Content(TaskCalls.On("box")) };
        if (traceParent is not null) message.Headers.TryAddWithoutValidation("traceparent", traceParent);
        if (traceState is not null) message.Headers.TryAddWithoutValidation("tracestate", traceState);
        return await (await server.Client.SendAsync(message, Cancelled)).BodyAsync<TaskBody>();
    }
}
