using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Investigations;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tests.Tasks;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Records;

/// <summary>Who holds an investigation on PostgreSQL, and who need not wait for that. (SQLite has one writer at a time.)</summary>
public sealed class InvestigationLockTests
{
    private const string Id = "ivg_00000000000000000000000001";

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_task_ends_while_somebody_joins_or_changes_its_investigation(bool changes)
    {
        await using var engine = await Engine.StartAsync(DatabaseKind.Postgres);
        var box = await engine.AddWorkstationAsync("box");
        var directory = (InvestigationDirectory)engine.Service(typeof(InvestigationDirectory));
        await engine.ExecuteAsync("""
            INSERT INTO investigations (id, organization_id, title, objective, hypothesis, findings, status, version, created_by, created_at, updated_at)
            VALUES (@Id, @OrganizationId, 'Slow', '', '', '', 'open', 1, @UserId, 0, 0)
            """, new { Id, engine.Owner.OrganizationId, engine.Owner.UserId });
        var task = await engine.CreateTaskAsync(new CreateTaskRequest
        {
            Command = new CommandSpec { Argv = ["true"] }, Targets = new TargetSpec { Workstations = ["box"] }, InvestigationId = Id,
        });
        await engine.ClaimAsync(box, task.Execution!.Steps[0]);

        // The transaction of who makes the next task of it goes on to lock workstations, which the one that ends this task may hold: neither may wait for the other.
        await engine.Database.WriteAsync(async tx =>
        {
            var row = changes ? await directory.LockToChangeAsync(tx, engine.Owner.OrganizationId, Id) : await directory.LockToJoinAsync(tx, engine.Owner.OrganizationId, Id);
            row.ShouldNotBeNull();
            (await engine.CompleteAsync(box, task.Execution.Steps[0].Id, 1).WaitAsync(TimeSpan.FromSeconds(90), Token)).Kind.ShouldBe(StepMoveKind.Applied);
        }, Token);
        (await engine.TaskAsync(task.Id)).State.ShouldBe(TaskState.Completed);
        (await engine.QueryAsync<long>("SELECT count(*) FROM artifacts WHERE investigation_id = @Id", new { Id })).ShouldBe(1);
    }

    [Fact]
    public async Task Two_join_at_once_and_who_closes_it_waits_for_them()
    {
        await using var engine = await Engine.StartAsync(DatabaseKind.Postgres);
        var directory = (InvestigationDirectory)engine.Service(typeof(InvestigationDirectory));
        await engine.ExecuteAsync("""
            INSERT INTO investigations (id, organization_id, title, objective, hypothesis, findings, status, version, created_by, created_at, updated_at)
            VALUES (@Id, @OrganizationId, 'Slow', '', '', '', 'open', 1, @UserId, 0, 0)
            """, new { Id, engine.Owner.OrganizationId, engine.Owner.UserId });
        Task<InvestigationRow?> HoldAsync(Func<WriteTransaction, Task<InvestigationRow?>> hold) => engine.Database.WriteAsync(hold, Token);
        Task<InvestigationRow?>? closing = null;
        await engine.Database.WriteAsync(async tx =>
        {
            await directory.LockToJoinAsync(tx, engine.Owner.OrganizationId, Id);
            (await HoldAsync(other => directory.LockToJoinAsync(other, engine.Owner.OrganizationId, Id)).WaitAsync(TimeSpan.FromSeconds(90), Token)).ShouldNotBeNull();
            closing = HoldAsync(other => directory.LockToChangeAsync(other, engine.Owner.OrganizationId, Id));
            await Eventually.TrueAsync(async () => await engine.QueryAsync<long>(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") > 0);
            closing.IsCompleted.ShouldBeFalse();
        }, Token);
        (await closing!).ShouldNotBeNull();
    }
}
