using Tanjiren.Protocol;
using Tanjiren.Server.Tasks;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Tasks;

public sealed class ClaimTests
{
    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_claim_raises_the_token_and_starts_the_task(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var task = await engine.CreateTaskAsync([machine]);
        task.State.ShouldBe(TaskState.Queued);

        var claim = await engine.ClaimAsync(machine, task.Execution!.Steps[0]);

        claim.Response!.LeaseGeneration.ShouldBe(1);
        claim.Response.LeaseTtlMs.ShouldBe(Engine.TtlSeconds * 1000);
        claim.Response.LeaseGraceMs.ShouldBe(Engine.GraceSeconds * 1000);
        claim.Response.Command!.Argv.ShouldBe(["true"]);
        (await engine.TaskAsync(task.Id)).State.ShouldBe(TaskState.Executing);
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_same_claim_id_again_gets_the_same_answer(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var step = (await engine.CreateTaskAsync([machine])).Execution!.Steps[0];
        var claimId = engine.NewClaimId();

        var first = await engine.ClaimAsync(machine, step, claimId);
        var second = await engine.ClaimAsync(machine, step, claimId);

        second.Repeated.ShouldBeTrue();
        second.Response!.LeaseGeneration.ShouldBe(first.Response!.LeaseGeneration);
        (await engine.ClaimAsync(machine, step)).Refusal.ShouldBe(ClaimRefusal.Moved, "another claim id is another claim");
        (await engine.QueryAsync<long>("SELECT count(*) FROM step_claims")).ShouldBe(1);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_claim_that_is_repeated_after_the_deadline_starts_nothing(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("a");
        var task = await engine.CreateTaskAsync(new CreateTaskRequest
        {
            Command = new CommandSpec { Argv = ["true"] }, Targets = new TargetSpec { Workstations = ["a"] }, TimeoutSeconds = 60,
        });
        var claimId = engine.NewClaimId();
        (await engine.ClaimAsync(machine, task.Execution!.Steps[0], claimId)).Refusal.ShouldBeNull();
        await engine.MoveClocksAsync(TimeSpan.FromSeconds(30));
        (await engine.ClaimAsync(machine, task.Execution.Steps[0], claimId)).Response!.TimeoutMs.ShouldBeInRange(1, 30_000);
        await engine.MoveClocksAsync(TimeSpan.FromSeconds(30));
        (await engine.ClaimAsync(machine, task.Execution.Steps[0], claimId)).Refusal.ShouldBe(ClaimRefusal.Lost);
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_claim_id_of_another_step_is_refused(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var (first, second) = (await engine.CreateTaskAsync([machine]), await engine.CreateTaskAsync([machine]));
        var claimId = engine.NewClaimId();
        await engine.ClaimAsync(machine, first.Execution!.Steps[0], claimId);

        (await engine.ClaimAsync(machine, second.Execution!.Steps[0], claimId)).Refusal.ShouldBe(ClaimRefusal.Moved);
        (await engine.StepAsync(second)).State.ShouldBe(StepState.Queued);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_claim_delayed_past_a_requeue_is_refused(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var (slow, quick) = (await engine.AddWorkstationAsync("slow", ["gpu"]), await engine.AddWorkstationAsync("quick", ["gpu"]));
        var task = await engine.CreateTaskAsync(AnyGpu(OnWorkerLost.Requeue));
        var offered = task.Execution!.Steps[0];

        (await engine.ClaimAsync(quick, offered)).Refusal.ShouldBeNull();
        await engine.ServeAsync(Engine.TtlSeconds + Engine.GraceSeconds + 2);
        (await engine.StepAsync(task)).State.ShouldBe(StepState.Queued, "the silent holder has lost it");

        (await engine.ClaimAsync(slow, offered)).Refusal.ShouldBe(ClaimRefusal.Moved);
        (await engine.ClaimAsync(slow, await engine.StepAsync(task))).Refusal.ShouldBeNull();
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Of_many_claimers_of_one_step_exactly_one_wins(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machines = await Task.WhenAll(Enumerable.Range(0, 8).Select(i => engine.AddWorkstationAsync($"m{i}", ["gpu"])));
        var task = await engine.CreateTaskAsync(AnyGpu());

        var claims = await Task.WhenAll(machines.Select(m => engine.ClaimAsync(m, task.Execution!.Steps[0])));

        claims.Count(c => c.Refusal is null).ShouldBe(1);
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Two_claims_racing_under_maxParallel_1_never_both_win(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machines = await Task.WhenAll(Enumerable.Range(0, 2).Select(i => engine.AddWorkstationAsync($"m{i}")));
        for (var round = 0; round < 25; round++)
        {
            var task = await engine.CreateTaskAsync(machines, maxParallel: 1);

            var claims = await Task.WhenAll(machines.Select((m, i) => engine.ClaimAsync(m, task.Execution!.Steps[i])));

            claims.Count(c => c.Refusal is null).ShouldBe(1);
            claims.Count(c => c.Refusal == ClaimRefusal.MaxParallel).ShouldBe(1);
            await engine.CheckInvariantsAsync(task.Id);
            var (winner, step) = claims[0].Refusal is null ? (0, 0) : (1, 1);
            (await engine.CompleteAsync(machines[winner], task.Execution!.Steps[step].Id, 1)).Kind.ShouldBe(StepMoveKind.Applied);
        }
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_machine_never_holds_more_than_its_capacity_however_many_tasks_race(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("small", maxConcurrent: 2);
        var tasks = new List<TaskBody>();
        for (var i = 0; i < 6; i++) tasks.Add(await engine.CreateTaskAsync([machine]));

        var claims = await Task.WhenAll(tasks.Select(t => engine.ClaimAsync(machine, t.Execution!.Steps[0])));

        claims.Count(c => c.Refusal is null).ShouldBe(2);
        claims.Count(c => c.Refusal == ClaimRefusal.AtCapacity).ShouldBe(4);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Draining_refuses_and_undraining_admits(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var step = (await engine.CreateTaskAsync([machine])).Execution!.Steps[0];

        await engine.ExecuteAsync("UPDATE instances SET draining = 1");
        (await engine.ClaimAsync(machine, step)).Refusal.ShouldBe(ClaimRefusal.Draining);
        (await engine.BeatAsync(machine))!.PendingTasks.ShouldBeEmpty();

        await engine.ExecuteAsync("UPDATE instances SET draining = 0");
        (await engine.BeatAsync(machine))!.PendingTasks.Single().StepId.ShouldBe(step.Id);
        (await engine.ClaimAsync(machine, step)).Refusal.ShouldBeNull();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_selector_is_judged_on_the_tags_of_the_moment(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one", ["gpu"]);
        var task = await engine.CreateTaskAsync(AnyGpu());

        await engine.ExecuteAsync("UPDATE instances SET tags = '[]'");

        (await engine.ClaimAsync(machine, task.Execution!.Steps[0])).Refusal.ShouldBe(ClaimRefusal.NotFound);
        (await engine.BeatAsync(machine))!.PendingTasks.ShouldBeEmpty();
    }

    internal static CreateTaskRequest AnyGpu(OnWorkerLost onWorkerLost = OnWorkerLost.Fail) => new()
    {
        Command = new CommandSpec { Shell = "true" },
        Targets = new TargetSpec { Tags = ["gpu"], Placement = Placement.Any },
        OnWorkerLost = onWorkerLost,
    };
}
