using Tanjiren.Protocol;
using Tanjiren.Server.Governance;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Tasks;
using Tanjiren.Tests;
using static Tanjiren.Server.Tests.Tasks.Approvals.ApprovalTests;

namespace Tanjiren.Server.Tests.Tasks.Approvals;

/// <summary>A freeze that was a mistake ends with the version that corrects it, and who was kept from a step is woken when that is over.</summary>
public sealed class CorrectedFreezeTests
{
    private static readonly DateTimeOffset Never = new(2030, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_task_that_a_corrected_freeze_holds_is_free(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var task = await FrozenAsync(engine);
        (task.FrozenUntil, task.DoctrineVersion).ShouldBe((Never, 1));
        (await engine.ClaimAsync(machine, task.Execution!.Steps[0])).Refusal.ShouldBe(ClaimRefusal.Frozen);
        await PassAsync(engine, TimeSpan.FromSeconds(5));
        (await engine.TaskAsync(task.Id)).FrozenUntil.ShouldBe(Never, "nothing is corrected yet");

        await CorrectAsync(engine, version => Decision(version, version == 1 ? Never : null));
        await PassAsync(engine, TimeSpan.FromSeconds(5));
        task = await engine.TaskAsync(task.Id);
        (task.FrozenUntil, task.DoctrineVersion, task.State).ShouldBe((null, 2, TaskState.Queued));
        (await OfferedAsync(engine, machine.InstanceId)).ShouldBe([task.Execution!.Steps[0].Id], "and nothing keeps this machine from it");
        await PassAsync(engine, TimeSpan.FromSeconds(5));
        (await ThawedAsync(engine, task)).ShouldBe(1);
        (await engine.ClaimAsync(machine, task.Execution.Steps[0])).Refusal.ShouldBeNull();
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task One_that_the_new_version_freezes_too_waits_as_that_says(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("one");
        var task = await FrozenAsync(engine);
        var soon = engine.Clock.GetUtcNow().AddHours(1);
        await CorrectAsync(engine, version => Decision(version, version == 1 ? Never : soon));
        await PassAsync(engine, TimeSpan.FromSeconds(5));
        task = await engine.TaskAsync(task.Id);
        (task.FrozenUntil, task.DoctrineVersion, await ThawedAsync(engine, task)).ShouldBe((soon, 2, 0));
        engine.Doctrine = _ => Decision(2, null);
        await PassAsync(engine, TimeSpan.FromHours(1));
        ((await engine.TaskAsync(task.Id)).FrozenUntil, await ThawedAsync(engine, task)).ShouldBe((null, 1));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_the_new_version_asks_for_is_asked_at_once_and_what_it_forbids_is_told_at_the_claim(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var asked = await FrozenAsync(engine);
        await CorrectAsync(engine, version => version == 1 ? Decision(1, Never) : Decision(2, null) with { Class = ApprovalClass.SensitiveWrite });
        await PassAsync(engine, TimeSpan.FromSeconds(5));
        asked = await engine.TaskAsync(asked.Id);
        (asked.State, asked.ApprovalStatus, asked.DoctrineVersion, asked.FrozenUntil).ShouldBe((TaskState.Planned, ApprovalStatus.Pending, 2, null));
        await engine.CheckInvariantsAsync(asked.Id);

        engine.Doctrine = _ => Decision(2, Never);
        var forbidden = await engine.CreateTaskAsync(Request());
        await WriteVersionAsync(engine, 3);
        engine.Doctrine = question => (question.AtVersion ?? 3) == 2 ? Decision(2, Never) : Decision(3, null) with { Forbidden = true };
        await PassAsync(engine, TimeSpan.FromSeconds(5));
        (await engine.ClaimAsync(machine, forbidden.Execution!.Steps[0])).Refusal.ShouldBe(ClaimRefusal.Forbidden);
        await engine.CheckInvariantsAsync(forbidden.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task One_that_met_the_window_only_at_the_claim_keeps_its_snapshot_and_one_that_is_refused_is_judged_once(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        await WriteVersionAsync(engine, 1);
        engine.Doctrine = _ => Decision(1, null);
        var met = await engine.CreateTaskAsync(Request());
        engine.Doctrine = _ => Decision(1, Never);
        var refused = await engine.CreateTaskAsync(Request());
        await CorrectAsync(engine, version => version == 1 ? Decision(1, Never) : Decision(2, Never) with { FreezeRefuses = true });
        for (var i = 0; i < 3; i++)
        {
            await PassAsync(engine, TimeSpan.FromSeconds(5));
            foreach (var task in new[] { met, refused }) (await engine.ClaimAsync(machine, task.Execution!.Steps[0])).Refusal.ShouldBe(ClaimRefusal.Frozen);
        }
        ((await engine.TaskAsync(met.Id)).DoctrineVersion, await ThawedAsync(engine, met), await ThawedAsync(engine, refused)).ShouldBe((1, 0, 1));
        foreach (var task in new[] { met, refused }) await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_approved_one_keeps_to_the_version_that_it_was_approved_by(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("one");
        await WriteVersionAsync(engine, 1);
        engine.Doctrine = _ => Decision(1, Never);
        var task = await ApprovedAsync(engine);
        task.FrozenUntil.ShouldBe(Never);
        await CorrectAsync(engine, version => Decision(version, version == 1 ? Never : null));
        await PassAsync(engine, TimeSpan.FromSeconds(5));
        task = await engine.TaskAsync(task.Id);
        (task.FrozenUntil, task.ApprovalStatus).ShouldBe((Never, ApprovalStatus.Approved));
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_machine_is_woken_when_its_time_away_from_a_step_is_over(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var loop = engine.ApprovalLoop; // made now: it wakes for what ends from here on
        var task = await engine.CreateTaskAsync(Request());
        engine.Doctrine = question => Decision(0, question.Now.AddDays(2));
        (await engine.ClaimAsync(machine, task.Execution!.Steps[0])).Refusal.ShouldBe(ClaimRefusal.Frozen);
        await PassAsync(engine, TimeSpan.FromMinutes(4));
        Woken().ShouldBe(0);

        using var waiting = ((WakeUps)engine.Service(typeof(WakeUps))).Subscribe(WakeUps.Work(machine.InstanceId));
        await PassAsync(engine, TimeSpan.FromMinutes(1));
        (await waiting.WaitAsync(TimeSpan.FromSeconds(90), TimeProvider.System, Token)).ShouldBeTrue();
        (await OfferedAsync(engine, machine.InstanceId)).ShouldBe([task.Execution.Steps[0].Id]);
        await PassAsync(engine, TimeSpan.FromMinutes(1));
        Woken().ShouldBe(1, "once");

        long Woken() => loop.Record.Status().Counters.GetValueOrDefault("woken");
    }

    /// <summary>By version 1, until <see cref="Never"/>.</summary>
    private static async Task<TaskBody> FrozenAsync(Engine engine)
    {
        await WriteVersionAsync(engine, 1);
        engine.Doctrine = _ => Decision(1, Never);
        return await engine.CreateTaskAsync(Request());
    }

    private static async Task CorrectAsync(Engine engine, Func<int, DoctrineDecision> decide)
    {
        await WriteVersionAsync(engine, 2);
        engine.Doctrine = question => decide(question.AtVersion ?? 2);
    }

    private static DoctrineDecision Decision(int version, DateTimeOffset? frozenUntil) => new(ApprovalClass.None, [], false, frozenUntil, false, version);

    private static Task WriteVersionAsync(Engine engine, int version) => engine.ExecuteAsync(
        "INSERT INTO doctrine_versions (organization_id, version, document, created_at) VALUES (@OrganizationId, @version, '#', 0)", new { engine.Owner.OrganizationId, version });

    private static Task<long> ThawedAsync(Engine engine, TaskBody task) =>
        engine.QueryAsync<long>("SELECT count(*) FROM step_events WHERE task_id = @Id AND kind = 'thawed'", new { task.Id });
}
