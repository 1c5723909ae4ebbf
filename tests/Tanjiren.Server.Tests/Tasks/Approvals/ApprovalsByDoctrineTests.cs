using Tanjiren.Protocol;
using Tanjiren.Server.Tasks;
using Tanjiren.Tests;
using static Tanjiren.Server.Tests.Tasks.Approvals.ApprovalTests;
using static Tanjiren.Server.Tests.Tasks.Approvals.DoctrineOfTasksTests;

namespace Tanjiren.Server.Tests.Tasks.Approvals;

/// <summary>Who may give an approval that the doctrine asks for, and how far one goes. The decisions are the test's.</summary>
public sealed class ApprovalsByDoctrineTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Rules_may_let_people_approve_their_own_but_not_more_than_the_rules_ask_for(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("one");
        await engine.AddMemberAsync("ann", Role.Admin);
        engine.Doctrine = _ => Wanting(ApprovalClass.ProductionMutation, 1) with { SelfApproval = true };
        var own = await AskAsync(engine, ApprovalClass.None);
        (await engine.Approvals.ApproveAsync(engine.Owner, own.Id, null, null, Token)).ShouldBeNull();
        (await engine.TaskAsync(own.Id)).Approvals!.Single().SelfApproved.ShouldBeTrue();

        engine.Doctrine = _ => Wanting(ApprovalClass.SensitiveWrite, 1) with { SelfApproval = true };
        var more = await AskAsync(engine, ApprovalClass.ProductionMutation);
        (await engine.Approvals.ApproveAsync(engine.Owner, more.Id, null, null, Token))!.Value.Is(ErrorCode.OwnApproval).ShouldBeTrue();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Rules_may_let_a_second_start_go_on_with_the_approval_of_the_first(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        foreach (var inherit in new[] { true, false })
        {
            engine.Doctrine = _ => Wanting(ApprovalClass.SensitiveWrite, 1) with { Inherit = inherit };
            var task = await ApprovedAsync(engine, t => t with { OnWorkerLost = OnWorkerLost.Requeue });
            await engine.ClaimAsync(machine, task.Execution!.Steps[0]);
            await engine.CompleteAsync(machine, task.Execution.Steps[0].Id, 1, StepOutcome.Failed, StepReason.UnknownOutcome);
            (await engine.ClaimAsync(machine, await engine.StepAsync(task))).Refusal.ShouldBe(inherit ? null : ClaimRefusal.NeedsApproval);
            await engine.CheckInvariantsAsync(task.Id);
        }
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_the_rules_allow_today_is_no_leave_for_a_higher_class_that_was_asked_for_before(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machines = new[] { await engine.AddWorkstationAsync("a"), await engine.AddWorkstationAsync("b") };
        await engine.AddMemberAsync("ann", Role.Admin);
        engine.Doctrine = question => question.TargetTags.Any(tags => tags.Contains("production")) ? Wanting(ApprovalClass.ProductionMutation, 1)
            : Wanting(ApprovalClass.SensitiveWrite, 1) with { SelfApproval = true };
        var task = await ApprovedAsync(engine, t => t with { Targets = new TargetSpec { Workstations = ["a", "b"] }, MaxParallel = 0 });
        await engine.ClaimAsync(machines[0], task.Execution!.Steps[0]);
        await TagAsync(engine, machines[1].InstanceId, "production");
        (await engine.ClaimAsync(machines[1], task.Execution.Steps[1])).Refusal.ShouldBe(ClaimRefusal.NeedsApproval);
        await TagAsync(engine, machines[1].InstanceId);
        (await engine.TaskAsync(task.Id)).Approvals![1].Class.ShouldBe(ApprovalClass.ProductionMutation);
        (await engine.Approvals.ApproveAsync(engine.Owner, task.Id, null, "mine", Token))!.Value.Is(ErrorCode.OwnApproval).ShouldBeTrue();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_second_start_inherits_no_approval_of_a_higher_class_than_the_rules_know_today(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var ann = await engine.AddMemberAsync("ann", Role.Admin);
        engine.Doctrine = _ => Wanting(ApprovalClass.ProductionMutation, 1);
        var task = await engine.CreateTaskAsync(Request() with { OnWorkerLost = OnWorkerLost.Requeue });
        (await engine.Approvals.ApproveAsync(ann, task.Id, null, null, Token)).ShouldBeNull();
        var step = await engine.StepAsync(task);
        (await engine.ClaimAsync(machine, step)).Refusal.ShouldBeNull();
        engine.Doctrine = _ => Wanting(ApprovalClass.SensitiveWrite, 1) with { Inherit = true };
        await engine.CompleteAsync(machine, step.Id, 1, StepOutcome.Failed, StepReason.UnknownOutcome);
        (await engine.ClaimAsync(machine, await engine.StepAsync(task))).Refusal.ShouldBe(ClaimRefusal.NeedsApproval);
        (await engine.TaskAsync(task.Id)).Approvals!.Select(a => (a.State, a.Class)).ShouldBe(
            [(ApprovalState.Consumed, ApprovalClass.ProductionMutation), (ApprovalState.Pending, ApprovalClass.ProductionMutation)]);
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Everybody_who_ever_changed_it_has_made_it_theirs(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("one");
        var (ann, bob, cid) = (await engine.AddMemberAsync("ann", Role.Admin), await engine.AddMemberAsync("bob", Role.Admin), await engine.AddMemberAsync("cid", Role.Admin));
        var task = await engine.CreateTaskAsync(Request());
        // Ann's change needed no approval, so nothing was asked for in her name.
        (await engine.Editor.UpdateAsync(ann, task.Id, new UpdateTaskRequest { Command = new CommandSpec { Argv = ["false"] } }, Token)).ShouldBeNull();
        engine.Doctrine = _ => Wanting(ApprovalClass.ProductionMutation, 1);
        (await engine.Editor.UpdateAsync(bob, task.Id, new UpdateTaskRequest { Priority = 1 }, Token)).ShouldBeNull();
        (await engine.Editor.UpdateAsync(engine.Owner, task.Id, new UpdateTaskRequest { Priority = 2 }, Token)).ShouldBeNull();
        foreach (var own in new[] { ann, bob, engine.Owner })
            (await engine.Approvals.ApproveAsync(own, task.Id, null, "fine", Token))!.Value.Is(ErrorCode.OwnApproval).ShouldBeTrue(own.Email);
        (await engine.Approvals.ApproveAsync(cid, task.Id, null, null, Token)).ShouldBeNull();
        await engine.CheckInvariantsAsync(task.Id);
    }
}
