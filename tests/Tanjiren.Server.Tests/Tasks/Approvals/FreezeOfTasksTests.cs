using Tanjiren.Protocol;
using Tanjiren.Server.Governance;
using Tanjiren.Server.Tasks;
using Tanjiren.Tests;
using static Tanjiren.Server.Tests.Tasks.Approvals.ApprovalTests;
using static Tanjiren.Server.Tests.Tasks.Approvals.DoctrineOfTasksTests;

namespace Tanjiren.Server.Tests.Tasks.Approvals;

/// <summary>What tasks make of freezes, of all machines and of one. The decisions are the test's.</summary>
public sealed class FreezeOfTasksTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_freeze_that_refuses_is_409_with_its_end_and_one_that_waits_holds_the_task_until_then(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var end = engine.Clock.GetUtcNow() + TimeSpan.FromHours(2);
        DoctrineDecision Frozen(DoctrineQuestion question, bool refuses) => question.Now < end
            ? Free with { FrozenUntil = end, FreezeRefuses = refuses, Findings = [new DoctrineFinding("weekend", "freeze", "it is Saturday")] } : Free;
        engine.Doctrine = question => Frozen(question, refuses: true);
        var refused = (await engine.TryCreateTaskAsync(Request())).Problem!.Value;
        (refused.Status, refused.Code).ShouldBe((409, "frozen"));
        refused.Detail!.ShouldContain(end.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'"));
        refused.Detail!.ShouldContain("weekend");
        engine.Doctrine = null;
        var standing = await engine.CreateTaskAsync(Request());
        engine.Doctrine = question => Frozen(question, refuses: true);
        (await engine.Editor.UpdateAsync(engine.Owner, standing.Id, new UpdateTaskRequest { Priority = 1 }, Token))!.Value.Is(ErrorCode.Frozen).ShouldBeTrue();
        (await engine.QueryAsync<long>("SELECT count(*) FROM audit_events WHERE action = 'task.frozen' AND subject = @id", new { id = standing.Id })).ShouldBe(1);
        await engine.Canceller.CancelAsync(engine.Owner, standing.Id, null, Token);

        engine.Doctrine = question => Frozen(question, refuses: false);
        var task = await engine.CreateTaskAsync(Request());
        (task.State, task.FrozenUntil).ShouldBe((TaskState.Queued, TaskMapping.Instant(end.ToUnixTimeMilliseconds())));
        (await OfferedAsync(engine, machine.InstanceId)).ShouldBeEmpty();
        (await engine.ClaimAsync(machine, task.Execution!.Steps[0])).Refusal.ShouldBe(ClaimRefusal.Frozen);
        // The window is shorter, says the present doctrine; the snapshot's is not over.
        engine.Doctrine = question => question.AtVersion == 1 ? Frozen(question, refuses: false) : Free with { Version = 2 };
        (await engine.ClaimAsync(machine, task.Execution.Steps[0])).Refusal.ShouldBe(ClaimRefusal.Frozen);
        await PassAsync(engine, TimeSpan.FromHours(2) - TimeSpan.FromSeconds(1));
        (await engine.TaskAsync(task.Id)).FrozenUntil.ShouldNotBeNull();

        await PassAsync(engine, TimeSpan.FromSeconds(1));
        (await engine.TaskAsync(task.Id)).FrozenUntil.ShouldBeNull();
        (await KindsAsync(engine, task.Id)).ShouldEndWith(" thawed");
        (await OfferedAsync(engine, machine.InstanceId)).ShouldBe([task.Execution.Steps[0].Id]);
        (await engine.ClaimAsync(machine, task.Execution.Steps[0])).Refusal.ShouldBeNull();
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_freeze_that_comes_later_holds_the_claim_and_an_approval_given_in_one_lasts_until_after_it(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var task = await engine.CreateTaskAsync(Request());
        var end = engine.Clock.GetUtcNow() + TimeSpan.FromHours(1);
        engine.Doctrine = question => question.Now < end ? Free with { FrozenUntil = end } : Free;
        (await engine.ClaimAsync(machine, task.Execution!.Steps[0])).Refusal.ShouldBe(ClaimRefusal.Frozen);
        (await OfferedAsync(engine, machine.InstanceId)).ShouldBeEmpty();

        var approved = await ApprovedAsync(engine);
        approved.Approvals!.Single().ExpiresAt.ShouldBe(TaskMapping.Instant(end.ToUnixTimeMilliseconds()) + TimeSpan.FromMinutes(15));
        await PassAsync(engine, TimeSpan.FromMinutes(70));
        (await engine.ClaimAsync(machine, approved.Execution!.Steps[0])).Refusal.ShouldBeNull();
        (await engine.ClaimAsync(machine, task.Execution.Steps[0])).Refusal.ShouldBeNull();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_freeze_of_one_machine_holds_no_other_back_and_does_not_outlive_its_correction(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machines = new[] { await engine.AddWorkstationAsync("a"), await engine.AddWorkstationAsync("b") };
        var task = await engine.CreateTaskAsync(machines, maxParallel: 0);
        await TagAsync(engine, machines[0].InstanceId, "production");
        engine.Doctrine = question => question.TargetTags.Any(tags => tags.Contains("production")) ? Free with { Version = 0, FrozenUntil = question.Now + TimeSpan.FromDays(2) } : Free with { Version = 0 };
        (await engine.ClaimAsync(machines[0], task.Execution!.Steps[0])).Refusal.ShouldBe(ClaimRefusal.Frozen);
        (await OfferedAsync(engine, machines[0].InstanceId)).ShouldBeEmpty();
        (await OfferedAsync(engine, machines[1].InstanceId)).ShouldBe([task.Execution.Steps[1].Id]);
        (await engine.ClaimAsync(machines[1], task.Execution.Steps[1])).Refusal.ShouldBeNull();

        await engine.MoveClocksAsync(TimeSpan.FromMinutes(5));
        (await engine.ClaimAsync(machines[0], task.Execution.Steps[0])).Refusal.ShouldBe(ClaimRefusal.Frozen);
        engine.Doctrine = null;
        await engine.MoveClocksAsync(TimeSpan.FromMinutes(5) - TimeSpan.FromSeconds(1));
        (await OfferedAsync(engine, machines[0].InstanceId)).ShouldBeEmpty();
        await engine.MoveClocksAsync(TimeSpan.FromSeconds(1));
        (await OfferedAsync(engine, machines[0].InstanceId)).ShouldBe([task.Execution.Steps[0].Id]);
        (await engine.ClaimAsync(machines[0], task.Execution.Steps[0])).Refusal.ShouldBeNull();
        (await KindsAsync(engine, task.Id)).Split(' ').Count(k => k == "frozen").ShouldBe(1, "a weekend of freezes is told once");
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_answer_to_an_executing_task_in_a_freeze_lasts_until_after_it(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        foreach (var frozenBy in new[] { 1, 2 })
        {
            engine.Doctrine = null;
            var task = await ApprovedAsync(engine, t => t with { OnWorkerLost = OnWorkerLost.Requeue });
            await engine.ClaimAsync(machine, task.Execution!.Steps[0]);
            var end = engine.Clock.GetUtcNow() + TimeSpan.FromHours(1);
            // The present doctrine is version 2; that of the task, which is asked for by name, is 0.
            engine.Doctrine = question => Free with { Version = question.AtVersion ?? 2, FrozenUntil = (question.AtVersion is null) == (frozenBy == 2) && question.Now < end ? end : null };
            await engine.CompleteAsync(machine, task.Execution.Steps[0].Id, 1, StepOutcome.Failed, StepReason.UnknownOutcome);
            (await engine.Approvals.ApproveAsync(engine.Owner, task.Id, null, null, Token)).ShouldBeNull();
            (await engine.TaskAsync(task.Id)).Approvals![1].ExpiresAt.ShouldBe(TaskMapping.Instant(end.ToUnixTimeMilliseconds()) + TimeSpan.FromMinutes(15));
            (await engine.ClaimAsync(machine, await engine.StepAsync(task))).Refusal.ShouldBe(ClaimRefusal.Frozen);
            await PassAsync(engine, TimeSpan.FromMinutes(70));
            (await engine.ClaimAsync(machine, await engine.StepAsync(task))).Refusal.ShouldBeNull();
            await engine.CheckInvariantsAsync(task.Id);
        }
    }
}
