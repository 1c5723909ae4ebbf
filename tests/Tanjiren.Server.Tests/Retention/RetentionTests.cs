using Microsoft.Extensions.Logging.Abstractions;
using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Retention;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tests.Audit;
using Tanjiren.Server.Tests.Tasks;
using Tanjiren.Server.Tests.Tasks.Approvals;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Retention;

/// <summary>What is old goes, in small pieces; what has not ended stays however old it is, and 0 keeps for ever.</summary>
public sealed class RetentionTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Output_goes_first_then_the_task_and_open_tasks_never(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("a");
        var old = await RunAsync(engine, machine, chunks: 230);
        // Claimed and silent: the reconciler would end it, but none runs here, so it stays open for years.
        var running = await engine.CreateTaskAsync([machine]);
        (await engine.ClaimAsync(machine, running.Execution!.Steps[0])).Refusal.ShouldBeNull();
        await AppendAsync(engine, machine, running.StepId(), 3);
        var waiting = await engine.CreateTaskAsync([machine]);
        engine.Clock.Advance(TimeSpan.FromDays(60));
        var young = await RunAsync(engine, machine, chunks: 2);

        engine.Clock.Advance(TimeSpan.FromDays(31));
        await PassAsync(engine, new RetentionOptions());
        (await ChunksAsync(engine, old), await ChunksAsync(engine, young), await ChunksAsync(engine, running)).ShouldBe((0, 2, 3));
        var kept = await engine.TaskAsync(old.Id);
        (kept.State, kept.LogsDeletedAt, kept.Execution!.Steps[0].LogBytes > 0).ShouldBe((TaskState.Completed, engine.Clock.GetUtcNow(), true));
        (await engine.TaskAsync(young.Id)).LogsDeletedAt.ShouldBeNull();

        engine.Clock.Advance(TimeSpan.FromDays(365 - 91 + 1));
        await PassAsync(engine, new RetentionOptions());
        (await engine.QueryAsync<long>("SELECT count(*) FROM tasks WHERE id = @id", new { id = old.Id })).ShouldBe(0);
        foreach (var table in new[] { "executions", "steps", "step_events", "step_logs" })
            (await engine.QueryAsync<long>($"SELECT count(*) FROM {table} WHERE task_id = @id", new { id = old.Id })).ShouldBe(0, table);
        (await engine.QueryAsync<long>("SELECT count(*) FROM step_claims WHERE step_id = @id", new { id = old.StepId() })).ShouldBe(0);
        (await engine.TaskAsync(young.Id)).LogsDeletedAt.ShouldNotBeNull();

        engine.Clock.Advance(TimeSpan.FromDays(10_000));
        await PassAsync(engine, new RetentionOptions());
        ((await engine.TaskAsync(running.Id)).State, (await engine.TaskAsync(waiting.Id)).State).ShouldBe((TaskState.Executing, TaskState.Queued));
        (await ChunksAsync(engine, running)).ShouldBe(3);
        await engine.CheckInvariantsAsync(running.Id);
        (await engine.QueryAsync<long>("SELECT count(*) FROM tasks")).ShouldBe(2);
        // What it did is on record for ever.
        (await engine.QueryAsync<long>("SELECT count(*) FROM audit_events WHERE subject = @id", new { id = old.Id })).ShouldBe(1);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_was_asked_about_a_task_goes_with_it_and_one_that_waits_for_its_next_attempt_stays(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var approved = await ApprovalTests.ApprovedAsync(engine);
        await engine.Canceller.CancelAsync(engine.Owner, approved.Id, null, Cancelled);
        engine.Doctrine = null;
        var failed = await engine.CreateTaskAsync(new CreateTaskRequest
        {
            Command = new CommandSpec { Argv = ["true"] }, Targets = new TargetSpec { Workstations = ["one"] }, Retry = new RetryPolicy { MaxAttempts = 2, BackoffSeconds = 10, On = [StepReason.ExitCode] },
        });
        await engine.ClaimAsync(machine, failed.Execution!.Steps[0]);
        (await engine.CompleteAsync(machine, failed.StepId(), 1, StepOutcome.Failed)).Kind.ShouldBe(StepMoveKind.Applied);
        engine.Clock.Advance(TimeSpan.FromDays(1000));
        await PassAsync(engine, new RetentionOptions());
        (await engine.QueryAsync<string>("SELECT id FROM tasks")).ShouldBe(failed.Id);
        (await engine.QueryAsync<long>("SELECT count(*) FROM approvals")).ShouldBe(0);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Zero_keeps_for_ever_and_more_than_a_batch_goes_in_one_pass(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("a");
        for (var i = 0; i < 60; i++) await RunAsync(engine, machine, chunks: 1);
        engine.Clock.Advance(TimeSpan.FromDays(20_000));
        await PassAsync(engine, new RetentionOptions { LogDays = 0, TaskDays = 0 });
        (await engine.QueryAsync<long>("SELECT count(*) FROM step_logs")).ShouldBe(60);
        await PassAsync(engine, new RetentionOptions { LogDays = 0, TaskDays = 10 });
        (await engine.QueryAsync<long>("SELECT count(*) FROM tasks")).ShouldBe(0);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Of_the_audit_log_a_sealed_prefix_goes_and_the_rest_verifies_from_its_checkpoint(DatabaseKind kind)
    {
        using var directory = new TemporaryDirectory();
        await using var database = await TestDatabase.CreateAsync(kind, ServerFixture.MigrateAsync);
        var clock = new ManualTimeProvider();
        await using var one = await SealingProcess.StartAsync(database, clock, directory.File("heads"));
        for (var i = 1; i <= 250; i++) await one.WriteAsync("org_a", "old " + i);
        await one.PassAsync();
        clock.Advance(TimeSpan.FromDays(100));
        for (var i = 1; i <= 5; i++) await one.WriteAsync("org_a", "new " + i);
        clock.StepWall(TimeSpan.FromDays(-100));
        await one.WriteAsync("org_a", "old, and not sealed");
        clock.StepWall(TimeSpan.FromDays(100));

        (await one.Purge.RunAsync(clock.GetUtcNow() - TimeSpan.FromDays(50), Cancelled)).ShouldBe(250);
        await one.PassAsync();
        (await one.SubjectsAsync("org_a")).ShouldBe(["new 1", "new 2", "new 3", "new 4", "new 5", "old, and not sealed"], ignoreOrder: true);
        var export = await one.ExportAsync("org_a");
        var heads = HeadFile.Read(await File.ReadAllLinesAsync(directory.File("heads"), Cancelled));
        var verifier = new ChainVerifier(heads, null);
        foreach (var line in export) verifier.Add(line);
        var report = verifier.Finish();
        (report.Fault, report.StartsAfter, report.Last).ShouldBe((null, 250, 256));
        heads.CheckpointsOf("org_a").ShouldHaveSingleItem().Sequence.ShouldBe(250);

        // Until the whole chain is old; it goes on from its head.
        clock.Advance(TimeSpan.FromDays(1000));
        (await one.Purge.RunAsync(clock.GetUtcNow() - TimeSpan.FromDays(50), Cancelled)).ShouldBe(6);
        await one.WriteAsync("org_a", "after all");
        SealedLines.Verify(await one.ExportAsync("org_a")).ShouldSatisfyAllConditions(r => r.Fault.ShouldBeNull(), r => (r.StartsAfter, r.Last).ShouldBe((256, 257)));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_hole_is_not_hidden_under_a_checkpoint(DatabaseKind kind)
    {
        await using var database = await TestDatabase.CreateAsync(kind, ServerFixture.MigrateAsync);
        var clock = new ManualTimeProvider();
        await using var one = await SealingProcess.StartAsync(database, clock);
        for (var i = 1; i <= 6; i++) await one.WriteAsync("org_a", "s" + i);
        await one.PassAsync();
        await one.Database.WriteAsync(tx => tx.ExecuteAsync("DELETE FROM audit_events WHERE chain_seq = 3"), Cancelled);
        (await one.Purge.RunAsync(clock.GetUtcNow(), Cancelled)).ShouldBe(1, "nothing vouches for the row before the hole");
        (await one.Purge.RunAsync(clock.GetUtcNow(), Cancelled)).ShouldBe(0);
        SealedLines.Verify(await one.ExportAsync("org_a")).Fault.ShouldSatisfyAllConditions(f => f!.Kind.ShouldBe(ChainFaultKind.Missing), f => f!.Sequence.ShouldBe(3));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Nor_is_an_altered_row_also_when_it_was_hashed_anew(DatabaseKind kind)
    {
        await using var database = await TestDatabase.CreateAsync(kind, ServerFixture.MigrateAsync);
        var clock = new ManualTimeProvider();
        await using var one = await SealingProcess.StartAsync(database, clock);
        for (var i = 1; i <= 6; i++) await one.WriteAsync("org_a", "s" + i);
        await one.PassAsync();
        await one.Database.WriteAsync(async tx =>
        {
            var row = (await tx.FirstAsync<AuditRow>("SELECT * FROM audit_events WHERE chain_seq = 3"))!.ToBody() with { Actor = "usr_2" };
            await tx.ExecuteAsync("UPDATE audit_events SET actor = @Actor, hash = @hash WHERE chain_seq = 3", new { row.Actor, hash = AuditChain.HashOf("org_a", row) });
            await tx.ExecuteAsync("UPDATE audit_events SET actor = 'usr_2' WHERE chain_seq = 5");
        }, Cancelled);
        (await one.Purge.RunAsync(clock.GetUtcNow(), Cancelled)).ShouldBe(2);
        (await one.Purge.RunAsync(clock.GetUtcNow(), Cancelled)).ShouldBe(0);
        SealedLines.Verify(await one.ExportAsync("org_a")).Fault.ShouldSatisfyAllConditions(f => f!.Kind.ShouldBe(ChainFaultKind.Altered), f => f!.Sequence.ShouldBe(3));
    }

    [Fact]
    public async Task An_export_whose_rows_are_deleted_while_it_reads_them_breaks_off_and_accuses_nobody()
    {
        await using var database = await TestDatabase.CreateAsync(DatabaseKind.Postgres, ServerFixture.MigrateAsync);
        var clock = new ManualTimeProvider();
        await using var one = await SealingProcess.StartAsync(database, clock);
        for (var i = 1; i <= 6; i++) await one.WriteAsync("org_a", "s" + i);
        await one.PassAsync();
        await using var lines = one.OpenExport("org_a").GetAsyncEnumerator(Cancelled);
        (await lines.MoveNextAsync()).ShouldBeTrue();
        Task<bool> next = null!;
        // Its next query of the rows waits for this transaction, which deletes some of them as the purge does.
        await one.Database.WriteAsync(async tx =>
        {
            await tx.ExecuteAsync("LOCK TABLE audit_events IN ACCESS EXCLUSIVE MODE");
            next = lines.MoveNextAsync().AsTask();
            await Eventually.TrueAsync(() => one.Database.ReadAsync(sql => sql.FirstAsync<bool>(
                "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')"), Cancelled));
            await tx.ExecuteAsync("""
                UPDATE audit_chains SET start_seq = 3, start_hash = (SELECT hash FROM audit_events WHERE chain_seq = 3);
                DELETE FROM audit_events WHERE chain_seq <= 3;
                """);
        }, Cancelled);
        (await Should.ThrowAsync<IOException>(() => next)).Message.ShouldContain("Retention deleted rows");
    }

    private static async Task PassAsync(Engine engine, RetentionOptions options)
    {
        using var loop = new RetentionLoop(new TaskPurge(engine.Database, engine.Clock), null!, options, engine.Clock, NullLogger<RetentionLoop>.Instance);
        await loop.RunOnceAsync(Cancelled);
    }

    private static async Task<TaskBody> RunAsync(Engine engine, Device machine, int chunks)
    {
        var task = await engine.CreateTaskAsync([machine]);
        (await engine.ClaimAsync(machine, task.Execution!.Steps[0])).Refusal.ShouldBeNull();
        await AppendAsync(engine, machine, task.StepId(), chunks);
        (await engine.CompleteAsync(machine, task.StepId(), 1)).Kind.ShouldBe(StepMoveKind.Applied);
        return task;
    }

    private static async Task AppendAsync(Engine engine, Device machine, string stepId, int chunks)
    {
        foreach (var part in Enumerable.Range(1, chunks).Chunk(200))
            (await engine.Logs.AppendAsync(machine, stepId, 1, [.. part.Select(i => AgentCalls.Chunk(i, "line\n"))], Cancelled)).Kind.ShouldBe(AppendKind.Stored);
    }

    private static Task<long> ChunksAsync(Engine engine, TaskBody task) => engine.QueryAsync<long>("SELECT count(*) FROM step_logs WHERE task_id = @Id", new { task.Id });
}
