using System.Text;
using Tanjiren.Protocol;
using Tanjiren.Server.Artifacts;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tests.Tasks;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Records;

/// <summary>The artifact that a task leaves behind: one of each task, however it ends.</summary>
public sealed class SummaryTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task It_tells_each_steps_outcome_and_duration_and_the_last_output_of_what_failed(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var (good, bad) = (await engine.AddWorkstationAsync("good"), await engine.AddWorkstationAsync("b|ad"));
        var task = await engine.CreateTaskAsync([good, bad], maxParallel: 0);
        var steps = (await engine.TaskAsync(task.Id)).Execution!.Steps;
        await engine.ClaimAsync(good, steps[0]);
        await engine.CompleteAsync(good, steps[0].Id, 1);
        (await SummariesAsync(engine, task.Id)).ShouldBeEmpty("it has not ended");
        await engine.ClaimAsync(bad, steps[1]);
        var result = Engine.Result(steps[1].Id, 1, StepOutcome.Failed, exitCode: 3) with { DurationMs = 1500, OutputPreview = Convert.ToBase64String("no space\n\u001b[31m# left <b>\n"u8) };
        result = result with { ResultDigest = ResultDigest.Compute(steps[1].Id, result) };
        (await engine.Resolver.CompleteAsync(bad, steps[1].Id, result, Cancelled)).Kind.ShouldBe(StepMoveKind.Applied);
        (await engine.Resolver.CompleteAsync(bad, steps[1].Id, result, Cancelled)).Kind.ShouldBe(StepMoveKind.AlreadyDone);

        var text = (await SummariesAsync(engine, task.Id)).ShouldHaveSingleItem();
        text.ShouldStartWith("# Failed: true\n\nFailed: 1 of 2 steps succeeded.");
        text.ShouldContain("| 1 | good | succeeded | 0.005 s |\n");
        text.ShouldContain("| 2 | b\\|ad | failed: exit code 3 | 1.5 s |\n");
        text.ShouldEndWith("The last output of step 2 on b\\|ad:\n\n    no space\n    \uFFFD[31m# left <b>\n");
        var row = await engine.QueryAsync<ArtifactRow>("SELECT * FROM artifacts WHERE task_id = @Id", new { task.Id });
        (row.Title, row.TaskIntent, row.CreatedBy, row.SizeBytes).ShouldBe(("Failed: true", "true", null, Encoding.UTF8.GetByteCount(text)));
        row.Sha256.ShouldBe(Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(Encoding.UTF8.GetBytes(text))));
    }

    /// <summary>Nobody sent a result: what had come of its output says what it was at.</summary>
    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Of_a_lost_worker_it_tells_the_end_of_what_had_come(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var box = await engine.AddWorkstationAsync("box");
        var task = await engine.CreateTaskAsync([box]);
        var step = await engine.StepAsync(task);
        await engine.ClaimAsync(box, step);
        var padding = new string('x', WireLimits.MaxOutputPreviewBytes);
        await engine.Logs.AppendAsync(box, step.Id, 1, [Tasks.Http.AgentCalls.Chunk(1, "first\n" + padding + "\n"), Tasks.Http.AgentCalls.Chunk(2, "at 99 %\n")], Cancelled);
        await engine.ServeAsync(2 * Engine.TtlSeconds + 2 * Engine.GraceSeconds);

        (await engine.TaskAsync(task.Id)).State.ShouldBe(TaskState.Failed);
        var text = (await SummariesAsync(engine, task.Id)).ShouldHaveSingleItem();
        text.ShouldContain("workerLost");
        text.ShouldEndWith("x\n    at 99 %\n");
        text.ShouldNotContain("first");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_cancelled_task_has_one_too_and_it_joins_the_tasks_investigation(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var box = await engine.AddWorkstationAsync("box");
        var investigation = Ids.New(Ids.Investigation, engine.Clock);
        await engine.ExecuteAsync("""
            INSERT INTO investigations (id, organization_id, title, objective, hypothesis, findings, status, version, created_by, created_at, updated_at)
            VALUES (@investigation, @OrganizationId, 'x', '', '', '', 'open', 1, 'x', 0, 0)
            """, new { investigation, engine.Owner.OrganizationId });
        var task = await engine.CreateTaskAsync(new CreateTaskRequest
        {
            Command = new CommandSpec { Argv = ["true"] }, Targets = new TargetSpec { Workstations = ["box"] }, InvestigationId = investigation,
        });
        task.InvestigationId.ShouldBe(investigation);
        await engine.Canceller.CancelAsync(engine.Owner, task.Id, null, Cancelled);
        await engine.Canceller.CancelAsync(engine.Owner, task.Id, null, Cancelled);
        (await SummariesAsync(engine, task.Id)).ShouldHaveSingleItem().ShouldContain("| 1 | box | cancelled | - |");
        (await engine.QueryAsync<string>("SELECT investigation_id FROM artifacts WHERE task_id = @Id", new { task.Id })).ShouldBe(investigation);
    }

    private static async Task<IReadOnlyList<string>> SummariesAsync(Engine engine, string taskId) =>
        [.. (await engine.Database.ReadAsync(sql => sql.ListAsync<byte[]>("SELECT content FROM artifacts WHERE task_id = @taskId AND kind = 'summary'", new { taskId }), Cancelled)).Select(Encoding.UTF8.GetString)];
}
