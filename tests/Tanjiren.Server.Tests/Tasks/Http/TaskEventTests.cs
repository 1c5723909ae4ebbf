using Tanjiren.Protocol;
using Tanjiren.Tests;
using static Tanjiren.Server.Tests.Tasks.Http.AgentCalls;

namespace Tanjiren.Server.Tests.Tasks.Http;

/// <summary>The stream of a task's events: nothing lost, nothing twice, whenever the line breaks.</summary>
public sealed class TaskEventTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task It_tells_the_task_first_then_every_change_and_chunk_in_order_and_ends(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var task = await server.Client.CreateTaskAsync(agent);
        await using var live = await EventReader.OpenAsync(server.Client, task.Id);
        (await live.ReadAsync())!.Body.Task!.State.ShouldBe(TaskState.Queued);

        await agent.ClaimAsync(task.StepId());
        (await live.ReadAsync())!.Body.Task!.State.ShouldBe(TaskState.Executing);
        var bytes = Enumerable.Range(0, 256).Select(b => (byte)b).ToArray();
        await agent.AppendAsync(task.StepId(), Chunk(1, bytes));
        var log = (await live.ReadAsync())!;
        (log.Name, log.Body.Log!.Seq, log.Body.Log.LeaseGeneration, log.Body.Log.StepId).ShouldBe(("log", 1, 1, task.StepId()));
        log.Body.Log.Data.ShouldBe(bytes);
        await agent.CompleteAsync(task.StepId(), finalLogSeq: 1);
        (await live.ReadAsync())!.Body.Task!.State.ShouldBe(TaskState.Completed);
        var end = (await live.ReadAsync())!;
        (end.Name, end.Body.Task!.State, end.Body.Task.Execution!.Steps[0].LogsComplete).ShouldBe(("end", TaskState.Completed, true));
        (await live.ReadAsync()).ShouldBeNull();

        // Whoever comes late is told the same order: the task, its output, the end.
        await using var late = await EventReader.OpenAsync(server.Client, task.Id);
        (await late.ReadToEndAsync()).Select(e => e.Name).ShouldBe(["task", "log", "task", "end"]);
        (await server.Client.GetBodyAsync<Page<LogChunkBody>>($"/api/tasks/{task.Id}/steps/{task.StepId()}/logs")).Items.Single().Data.ShouldBe(bytes);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Cut_and_resumed_anywhere_while_output_arrives_it_loses_and_repeats_nothing(DatabaseKind kind)
    {
        var seed = Environment.TickCount;
        TestContext.Current.TestOutputHelper!.WriteLine($"seed {seed}");
        var cuts = new Random(seed);
        const int Chunks = 240;
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var task = await server.Client.CreateTaskAsync(agent);

        var events = new List<TaskEvent>();
        var writer = WriteAsync(agent, task.StepId(), Chunks, new Random(seed + 1));
        while (events.Count == 0 || events[^1].Name != "end")
        {
            await using var reader = await EventReader.OpenAsync(server.Client, task.Id, events.Count == 0 ? null : events[^1].Id);
            // Sometimes cut at once, sometimes after more than a batch of the server's.
            for (var left = cuts.Next(0, 50); left > 0 && await reader.ReadAsync() is { } one; left--) events.Add(one);
        }
        await writer;

        var logs = events.Where(e => e.Name == "log").Select(e => e.Body.Log!).ToList();
        logs.Select(l => l.Seq).ShouldBe(Enumerable.Range(1, Chunks).Select(i => (long)i), $"seed {seed}");
        logs.ShouldAllBe(l => l.Data.SequenceEqual(Content(l.Seq)), $"seed {seed}");
        var numbered = events.Where(e => e.Name != "end").Select(e => e.Id).ToList();
        numbered.Zip(numbered.Skip(1)).ShouldAllBe(pair => pair.First < pair.Second, $"seed {seed}: {string.Join(' ', numbered)}");
        events.Last(e => e.Name == "task").Body.Task!.State.ShouldBe(TaskState.Completed, $"seed {seed}: the last change must not be lost to a cut");
        events.Count(e => e.Name == "end").ShouldBe(1);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_change_before_a_chunk_is_told_before_it(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var task = await server.Client.CreateTaskAsync(agent);
        await agent.ClaimAsync(task.StepId());
        await agent.AppendAsync(task.StepId(), Chunk(1, "a"), Chunk(2, "b"));
        // A reader that knows the creation only, and is cut at the first chunk, must have been told of the claim: resuming never goes back.
        await using var reader = await EventReader.OpenAsync(server.Client, task.Id, lastEventId: 1);
        (await reader.ReadAsync())!.Body.Task!.State.ShouldBe(TaskState.Executing);
        (await reader.ReadAsync())!.Body.Log!.Seq.ShouldBe(1);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_revoked_token_ends_an_open_stream(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        using var reader = await server.NewMemberAsync(Role.Viewer);
        var task = await server.Client.CreateTaskAsync(agent);
        await agent.ClaimAsync(task.StepId());
        await using var stream = await EventReader.OpenAsync(reader, task.Id);
        (await stream.ReadAsync())!.Id.ShouldBe(1, "the creation");
        (await stream.ReadAsync())!.Id.ShouldBe(2, "the claim");

        var token = (await reader.GetBodyAsync<Page<TokenBody>>("/api/auth/tokens")).Items.Single();
        (await reader.DeleteAsync("/api/auth/tokens/" + token.Id, Cancelled)).EnsureSuccessStatusCode();
        await agent.AppendAsync(task.StepId(), Chunk(1, "not for you"));

        (await stream.ReadAsync()).ShouldBeNull();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_bad_Last_Event_ID_is_named(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var task = await server.Client.CreateTaskAsync(agent);
        foreach (var bad in new[] { "x", "-1", "1.5", "99999999999999999999" })
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, $"/api/tasks/{task.Id}/events");
            request.Headers.TryAddWithoutValidation("Last-Event-ID", bad);
            (await server.Client.SendAsync(request, Cancelled).ProblemAsync(System.Net.HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed))
                .Errors!.Keys.ShouldBe(["Last-Event-ID"]);
        }
    }

    private static async Task WriteAsync(DeviceClient agent, string stepId, int chunks, Random sizes)
    {
        await agent.ClaimAsync(stepId);
        for (var seq = 1; seq <= chunks;)
        {
            var batch = Enumerable.Range(seq, Math.Min(sizes.Next(1, 20), chunks - seq + 1)).Select(s => Chunk(s, Content(s))).ToArray();
            await agent.AppendAsync(stepId, batch);
            seq += batch.Length;
        }
        await agent.CompleteAsync(stepId, chunks);
    }

    /// <summary>Bytes that are no UTF-8, another length for each number.</summary>
    private static byte[] Content(long seq) => [.. Enumerable.Range(0, 1 + (int)(seq % 300)).Select(i => (byte)(0x80 + (seq + i) % 0x80))];
}
