using System.Text;
using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Tasks;
using Tanjiren.Tests;
using static Tanjiren.Server.Tests.Tasks.FencingTests;

namespace Tanjiren.Server.Tests.Tasks;

public sealed class LogAppenderTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Chunks_are_stored_once_in_order_and_byte_for_byte(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var (machine, task, step) = await RunningAsync(engine);
        byte[] bytes = [0xff, 0x00, 0x1b, 0x5b, 0x33, 0x31, 0x6d, 0xc3];

        (await AppendAsync(engine, machine, step, Chunk(1, "a"), Chunk(2, "b", LogStream.Stderr))).ShouldBe(new AppendResult(AppendKind.Stored, 2));
        (await AppendAsync(engine, machine, step, Chunk(2, "b", LogStream.Stderr), Chunk(3, "") with { Data = bytes }))
            .ShouldBe(new AppendResult(AppendKind.Stored, 3));

        var page = await engine.Store.LogsAsync(engine.Owner.OrganizationId, task.Id, step.Id, (0, 0), 100, Token);
        page!.Items.Select(c => c.Seq).ShouldBe([1, 2, 3]);
        page.Items[1].Stream.ShouldBe(LogStream.Stderr);
        page.Items[2].Data.ShouldBe(bytes);
        (await engine.StepAsync(task)).LogBytes.ShouldBe(10);
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Another_chunk_under_a_used_number_and_a_gap_are_refused(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var (machine, _, step) = await RunningAsync(engine);
        await AppendAsync(engine, machine, step, Chunk(1, "a"));

        (await AppendAsync(engine, machine, step, Chunk(1, "A"))).Kind.ShouldBe(AppendKind.Conflict);
        (await AppendAsync(engine, machine, step, Chunk(1, "a", LogStream.Stderr))).Kind.ShouldBe(AppendKind.Conflict);
        (await AppendAsync(engine, machine, step, Chunk(3, "c"))).ShouldBe(new AppendResult(AppendKind.Gap, 1));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Output_up_to_the_final_number_is_taken_after_the_result_and_none_beyond(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var (machine, task, step) = await RunningAsync(engine);
        var result = Engine.Result(step.Id, 1) with { FinalLogSeq = 2, ResultDigest = null };
        result = result with { ResultDigest = ResultDigest.Compute(step.Id, result) };
        await engine.Resolver.CompleteAsync(machine, step.Id, result, Token);
        (await engine.StepAsync(task)).LogsComplete.ShouldBeFalse();

        (await AppendAsync(engine, machine, step, Chunk(1, "a"), Chunk(2, "b"))).Kind.ShouldBe(AppendKind.Stored);
        (await AppendAsync(engine, machine, step, Chunk(3, "c"))).Kind.ShouldBe(AppendKind.Conflict);

        (await engine.StepAsync(task)).LogsComplete.ShouldBeTrue();
        (await engine.StepAsync(task)).LogBytes.ShouldBe(2);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_servers_own_limit_holds_against_an_agent_that_ignores_it(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var (machine, _, step) = await RunningAsync(engine);
        await engine.ExecuteAsync("UPDATE step_claims SET log_bytes = @bytes", new { bytes = WireLimits.MaxStepLogBytes });

        (await AppendAsync(engine, machine, step, Chunk(1, new string('x', 60_000)))).Kind.ShouldBe(AppendKind.Stored);
        (await AppendAsync(engine, machine, step, Chunk(2, new string('x', 60_000)))).Kind.ShouldBe(AppendKind.LimitReached);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Pages_resume_where_they_ended_across_generations(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var (machine, task, step) = await RunningAsync(engine);
        await AppendAsync(engine, machine, step, [.. Enumerable.Range(1, 150).Select(i => Chunk(i, $"{i},"))]);

        var text = new StringBuilder();
        (long, long) after = (0, 0);
        for (Page<LogChunkBody>? page = null; page is null || page.NextCursor is not null;)
        {
            page = await engine.Store.LogsAsync(engine.Owner.OrganizationId, task.Id, step.Id, after, 40, Token);
            foreach (var chunk in page!.Items) text.Append(Encoding.UTF8.GetString(chunk.Data));
            after = (page.Items[^1].LeaseGeneration, page.Items[^1].Seq);
        }

        text.ToString().ShouldBe(string.Concat(Enumerable.Range(1, 150).Select(i => $"{i},")));
    }

    private static async Task<(Device Machine, TaskBody Task, StepBody Step)> RunningAsync(Engine engine)
    {
        var machine = await engine.AddWorkstationAsync("one");
        var task = await engine.CreateTaskAsync([machine]);
        await engine.ClaimAsync(machine, task.Execution!.Steps[0]);
        return (machine, task, task.Execution.Steps[0]);
    }

    private static Task<AppendResult> AppendAsync(Engine engine, Device machine, StepBody step, params LogChunk[] chunks) =>
        engine.Logs.AppendAsync(machine, step.Id, 1, chunks, Token);
}
