using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Governance;
using Tanjiren.Server.Tasks;
using Tanjiren.Tests;
using static Tanjiren.Server.Tests.Tasks.Approvals.ApprovalTests;

namespace Tanjiren.Server.Tests.Tasks.Approvals;

/// <summary>Nobody's answer starts a step that they were not told of: what a task that executes needs more is asked for under a new id, together with what was open.</summary>
public sealed class GrowingQuestionTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_step_that_is_lost_while_somebody_looks_at_the_question_makes_it_another_one(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var (machine, neighbour) = (await engine.AddWorkstationAsync("one"), await engine.AddWorkstationAsync("two"));
        var task = await ApprovedAsync(engine, OnBoth);
        var (step, other) = (task.Execution!.Steps[0], task.Execution.Steps[1]);
        await engine.ClaimAsync(machine, step);
        await engine.ClaimAsync(neighbour, other);
        await engine.CompleteAsync(machine, step.Id, 1, StepOutcome.Failed, StepReason.UnknownOutcome);
        var seen = (await engine.TaskAsync(task.Id)).Approvals![^1];
        await engine.CompleteAsync(neighbour, other.Id, 1, StepOutcome.Failed, StepReason.UnknownOutcome);

        IsConflict(await engine.Approvals.ApproveAsync(engine.Owner, task.Id, seen.Id, "the first may", Token), "pending");
        (await engine.ClaimAsync(neighbour, await engine.StepAsync(task, 1))).Refusal.ShouldBe(ClaimRefusal.NeedsApproval);
        var asked = (await engine.TaskAsync(task.Id)).Approvals![^1];
        (asked.Id == seen.Id, asked.State).ShouldBe((false, ApprovalState.Pending));
        asked.Findings.Select(f => f.Because).ShouldBe([.. new[] { step, other }.Select(s => $"Step {s.Id} lost its workstation and may have run; it shall start again.")]);
        (await engine.Approvals.ApproveAsync(engine.Owner, task.Id, asked.Id, "both", Token)).ShouldBeNull();
        (await engine.ClaimAsync(machine, await engine.StepAsync(task))).Refusal.ShouldBeNull();
        (await engine.ClaimAsync(neighbour, await engine.StepAsync(task, 1))).Refusal.ShouldBeNull();
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Who_waits_for_anothers_question_is_named_in_it_and_who_is_not_named_does_not_start_by_its_answer(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var ann = await engine.AddMemberAsync("ann", Role.Admin);
        var machines = new List<Device>();
        foreach (var name in new[] { "a", "b", "c", "d" }) machines.Add(await engine.AddWorkstationAsync(name));
        engine.Doctrine = DoctrineOfTasksTests.TaggedProduction;
        var task = await engine.CreateTaskAsync(machines, maxParallel: 0);
        var steps = task.Execution!.Steps;
        Task<ClaimResult> ClaimAsync(int which) => engine.ClaimAsync(machines[which], steps[which]);
        async Task<ApprovalBody> AskedAsync() => (await engine.TaskAsync(task.Id)).Approvals![^1];
        (await ClaimAsync(0)).Refusal.ShouldBeNull();
        await engine.ExecuteAsync("UPDATE instances SET tags = '[\"production\"]'");

        (await ClaimAsync(1)).Refusal.ShouldBe(ClaimRefusal.NeedsApproval);
        var first = await AskedAsync();
        first.Findings.ShouldHaveSingleItem().Because.ShouldStartWith($"Step {steps[1].Id}: ");
        (await ClaimAsync(2)).Refusal.ShouldBe(ClaimRefusal.NeedsApproval);
        for (var again = 0; again < 2; again++)
            foreach (var which in new[] { 1, 2 }) (await ClaimAsync(which)).Refusal.ShouldBe(ClaimRefusal.NeedsApproval);
        var second = await AskedAsync();
        second.Findings.Select(f => f.Because[..f.Because.IndexOf(':')]).ShouldBe([$"Step {steps[1].Id}", $"Step {steps[2].Id}"], "who was named is not named again");
        (await engine.TaskAsync(task.Id)).Approvals!.Count.ShouldBe(2);
        IsConflict(await engine.Approvals.ApproveAsync(ann, task.Id, first.Id, null, Token), "pending");

        (await engine.Approvals.ApproveAsync(ann, task.Id, second.Id, null, Token)).ShouldBeNull();
        (await ClaimAsync(1)).Refusal.ShouldBeNull();
        (await ClaimAsync(3)).Refusal.ShouldBe(ClaimRefusal.NeedsApproval, "nobody has been told of the fourth");
        (await ClaimAsync(2)).Refusal.ShouldBeNull("a new question takes nothing from who was named in the one that is used");
        var third = await AskedAsync();
        (third.State, third.Findings.ShouldHaveSingleItem().Because.StartsWith($"Step {steps[3].Id}: ", StringComparison.Ordinal)).ShouldBe((ApprovalState.Pending, true));
        (await engine.Approvals.ApproveAsync(ann, task.Id, third.Id, null, Token)).ShouldBeNull();
        (await ClaimAsync(3)).Refusal.ShouldBeNull();
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_answer_that_ran_out_and_a_higher_class_are_asked_for_anew_with_what_was_asked_before(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machines = new[] { await engine.AddWorkstationAsync("one"), await engine.AddWorkstationAsync("two") };
        engine.Doctrine = DoctrineOfTasksTests.TaggedProduction;
        var queued = await ApprovedAsync(engine);
        await engine.ExecuteAsync("UPDATE instances SET tags = '[\"production\"]' WHERE id = @InstanceId", new { machines[0].InstanceId });
        (await engine.ClaimAsync(machines[0], queued.Execution!.Steps[0])).Refusal.ShouldBe(ClaimRefusal.NeedsApproval);
        (await engine.TaskAsync(queued.Id)).Approvals![^1].Findings.Select(f => f.Rule).ShouldBe(["request", "careful"]);

        await engine.ExecuteAsync("UPDATE instances SET tags = '[]'");
        var task = await ApprovedAsync(engine, OnBoth);
        await engine.ClaimAsync(machines[0], task.Execution!.Steps[0]);
        await engine.CompleteAsync(machines[0], task.Execution.Steps[0].Id, 1, StepOutcome.Failed, StepReason.UnknownOutcome);
        (await engine.Approvals.ApproveAsync(engine.Owner, task.Id, null, null, Token)).ShouldBeNull();
        await engine.MoveClocksAsync(TimeSpan.FromMinutes(15));
        await engine.ExecuteAsync("UPDATE instances SET tags = '[\"production\"]'");
        // Before the loop comes by.
        (await engine.ClaimAsync(machines[1], task.Execution.Steps[1])).Refusal.ShouldBe(ClaimRefusal.NeedsApproval);
        task = await engine.TaskAsync(task.Id);
        task.Approvals!.Select(a => (a.State, a.Class)).ShouldBe([(ApprovalState.Consumed, ApprovalClass.SensitiveWrite), (ApprovalState.Expired, ApprovalClass.SensitiveWrite), (ApprovalState.Pending, ApprovalClass.ProductionMutation)]);
        task.Approvals![^1].Findings.Select(f => f.Rule).ShouldBe(["onWorkerLost", "careful"]);
        await engine.ApprovalLoop.RunOnceAsync(Token);
        (await engine.TaskAsync(task.Id)).Approvals!.Count.ShouldBe(3);
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_machine_that_is_forbidden_what_another_may_run_leaves_one_event(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var forbidden = await engine.AddWorkstationAsync("a", ["gpu", "production"]);
        await engine.AddWorkstationAsync("b", ["gpu"]);
        var task = await engine.CreateTaskAsync(Request() with { Targets = new TargetSpec { Tags = ["gpu"], Placement = Placement.Any } });
        engine.Doctrine = question => question.TargetTags.Any(tags => tags.Contains("production"))
            ? new DoctrineDecision(ApprovalClass.None, [new DoctrineFinding("not-here", "forbid", "it is production")], true, null, false, 0)
            : new DoctrineDecision(ApprovalClass.None, [], false, null, false, 0);
        for (var i = 0; i < 2; i++) (await engine.ClaimAsync(forbidden, task.Execution!.Steps[0])).Refusal.ShouldBe(ClaimRefusal.Forbidden);
        (await engine.ListAsync<string>("SELECT kind || ' ' || step_id || ' ' || instance_id || ' ' || detail FROM step_events WHERE task_id = @Id AND event_seq > 1", new { task.Id }))
            .ShouldBe([$"forbidden {task.Execution!.Steps[0].Id} {forbidden.InstanceId} not-here"]);
        await engine.CheckInvariantsAsync(task.Id);
    }
}
