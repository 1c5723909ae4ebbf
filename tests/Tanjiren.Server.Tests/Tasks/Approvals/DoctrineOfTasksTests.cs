using Tanjiren.Protocol;
using Tanjiren.Server.Governance;
using Tanjiren.Server.Tasks;
using Tanjiren.Tests;
using static Tanjiren.Server.Tests.Tasks.Approvals.ApprovalTests;

namespace Tanjiren.Server.Tests.Tasks.Approvals;

/// <summary>What tasks make of the doctrine's decisions, at their creation, at the answer and at the claim. The decisions are the test's.</summary>
public sealed class DoctrineOfTasksTests
{
    internal static readonly DoctrineDecision Free = new(ApprovalClass.None, [], false, null, false, 1);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_is_forbidden_is_no_task_and_one_audit_row_names_the_rule(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("one", ["production"]);
        engine.Doctrine = question =>
        {
            question.TargetTags.ShouldHaveSingleItem().ShouldBe(["production"]);
            return Forbidding(2);
        };
        var refused = (await engine.TryCreateTaskAsync(Request())).Problem!.Value;
        (refused.Status, refused.Code).ShouldBe((403, "forbidden_by_doctrine"));
        refused.Detail!.ShouldContain("no-true (it says true)");
        (await engine.QueryAsync<long>("SELECT count(*) FROM tasks")).ShouldBe(0);
        (await engine.QueryAsync<string>("SELECT detail FROM audit_events WHERE action = 'task.forbidden' AND organization_id = @id", new { id = engine.Owner.OrganizationId }))
            .ShouldBe("true: no-true (it says true)");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_higher_class_counts_and_the_version_decided_by_is_kept(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("one");
        engine.Doctrine = _ => Wanting(ApprovalClass.SensitiveWrite, 7);
        foreach (var (asked, counts) in new[]
        {
            (ApprovalClass.None, ApprovalClass.SensitiveWrite), (ApprovalClass.SensitiveWrite, ApprovalClass.SensitiveWrite), (ApprovalClass.ProductionMutation, ApprovalClass.ProductionMutation),
        })
        {
            var task = await AskAsync(engine, asked);
            (task.ApprovalClass, task.Approvals!.Single().Class, task.DoctrineVersion, task.Approvals!.Single().DoctrineVersion).ShouldBe((counts, counts, 7, 7));
            task.Approvals!.Single().Findings[0].ShouldBe(new ApprovalFindingBody { Rule = "careful", Effect = "sensitive_write", Because = "it is Friday" });
        }
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_new_doctrine_between_question_and_answer_asks_again(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        engine.Doctrine = _ => Wanting(ApprovalClass.SensitiveWrite, 1);
        var task = await AskAsync(engine, ApprovalClass.None);
        engine.Doctrine = _ => Wanting(ApprovalClass.SensitiveWrite, 2);
        IsConflict(await engine.Approvals.ApproveAsync(engine.Owner, task.Id, null, null, Token), "pending");
        task = await engine.TaskAsync(task.Id);
        (task.State, task.DoctrineVersion).ShouldBe((TaskState.Planned, 2));
        task.Approvals!.Select(a => a.State).ShouldBe([ApprovalState.Withdrawn, ApprovalState.Pending]);
        task.Approvals![0].ActionHash.ShouldNotBe(task.Approvals[1].ActionHash);
        IsConflict(await engine.Approvals.ApproveAsync(engine.Owner, task.Id, task.Approvals[0].Id, null, Token), "pending");
        await engine.CheckInvariantsAsync(task.Id);

        // The newest forbids it: it is not approved, and stays.
        engine.Doctrine = _ => Forbidding(2);
        (await engine.Approvals.ApproveAsync(engine.Owner, task.Id, null, null, Token))!.Value.Is(ErrorCode.ForbiddenByDoctrine).ShouldBeTrue();
        (await engine.TaskAsync(task.Id)).State.ShouldBe(TaskState.Planned);

        // It needs none any more: it goes on without.
        engine.Doctrine = _ => Free with { Version = 3 };
        IsConflict(await engine.Approvals.ApproveAsync(engine.Owner, task.Id, null, null, Token), "not_required");
        (await engine.QueryAsync<long>("SELECT count(*) FROM audit_events WHERE action = 'task.asked_again' AND subject = @id AND actor = @by", new { id = task.Id, by = engine.Owner.UserId })).ShouldBe(2);
        (await engine.ClaimAsync(machine, await engine.StepAsync(task))).Refusal.ShouldBeNull();
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_machine_that_is_tagged_after_the_creation_can_not_claim_unapproved_work(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one", ["build"]);
        engine.Doctrine = TaggedProduction;
        var task = await engine.CreateTaskAsync(Request());
        task.State.ShouldBe(TaskState.Queued);
        await TagAsync(engine, machine.InstanceId, "build", "production");

        (await engine.ClaimAsync(machine, task.Execution!.Steps[0])).Refusal.ShouldBe(ClaimRefusal.NeedsApproval);
        task = await engine.TaskAsync(task.Id);
        (task.State, task.ApprovalStatus, task.ApprovalClass).ShouldBe((TaskState.Planned, ApprovalStatus.Pending, ApprovalClass.ProductionMutation));
        task.Approvals!.Single().Findings.Single().Rule.ShouldBe("careful");
        await engine.CheckInvariantsAsync(task.Id);

        var ann = await engine.AddMemberAsync("ann", Role.Admin);
        (await engine.Approvals.ApproveAsync(ann, task.Id, null, null, Token)).ShouldBeNull();
        (await engine.ClaimAsync(machine, await engine.StepAsync(task))).Refusal.ShouldBeNull();
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_approval_of_a_lower_class_is_not_enough_and_only_the_machine_that_needs_more_waits_once_others_run(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machines = new[] { await engine.AddWorkstationAsync("a"), await engine.AddWorkstationAsync("b"), await engine.AddWorkstationAsync("c") };
        engine.Doctrine = TaggedProduction;
        var task = await ApprovedAsync(engine, t => t with { Targets = new TargetSpec { Workstations = ["a", "b", "c"] }, MaxParallel = 0 });
        (await engine.ClaimAsync(machines[0], task.Execution!.Steps[0])).Refusal.ShouldBeNull();
        await TagAsync(engine, machines[1].InstanceId, "production");

        (await engine.ClaimAsync(machines[1], task.Execution.Steps[1])).Refusal.ShouldBe(ClaimRefusal.NeedsApproval);
        (await engine.ClaimAsync(machines[1], task.Execution.Steps[1])).Refusal.ShouldBe(ClaimRefusal.NeedsApproval);
        (await OfferedAsync(engine, machines[1].InstanceId)).ShouldBeEmpty();
        (await engine.ClaimAsync(machines[2], task.Execution.Steps[2])).Refusal.ShouldBeNull();
        task = await engine.TaskAsync(task.Id);
        (task.State, task.ApprovalStatus, task.ApprovalClass).ShouldBe((TaskState.Executing, ApprovalStatus.Pending, ApprovalClass.ProductionMutation));
        task.Approvals!.Select(a => (a.State, a.Class)).ShouldBe([(ApprovalState.Consumed, ApprovalClass.SensitiveWrite), (ApprovalState.Pending, ApprovalClass.ProductionMutation)]);
        await engine.CheckInvariantsAsync(task.Id);

        var ann = await engine.AddMemberAsync("ann", Role.Admin);
        (await engine.Approvals.ApproveAsync(ann, task.Id, null, null, Token)).ShouldBeNull();
        (await OfferedAsync(engine, machines[1].InstanceId)).ShouldBe([task.Execution!.Steps[1].Id]);
        (await engine.ClaimAsync(machines[1], task.Execution.Steps[1])).Refusal.ShouldBeNull();
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Forbid_holds_at_the_claim_by_the_present_and_by_the_snapshot(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        foreach (var strict in new[] { 1, 2 })
        {
            engine.Doctrine = _ => Free;
            var task = await engine.CreateTaskAsync(Request());
            engine.Doctrine = question => (question.AtVersion ?? 2) == strict ? Forbidding(strict) : Free with { Version = question.AtVersion ?? 2 };
            (await engine.ClaimAsync(machine, task.Execution!.Steps[0])).Refusal.ShouldBe(ClaimRefusal.Forbidden);
            task = await engine.TaskAsync(task.Id);
            (task.State, task.Execution!.Steps[0].Reason).ShouldBe((TaskState.Failed, StepReason.ForbiddenByDoctrine));
            task.Execution.Steps[0].Detail.ShouldBe("no-true (it says true)");
            await engine.CheckInvariantsAsync(task.Id);
        }
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_doctrine_that_can_not_be_read_neither_stops_the_loops_nor_passes_an_approval_on(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var (machine, second) = (await engine.AddWorkstationAsync("one"), await engine.AddWorkstationAsync("two"));
        engine.Doctrine = _ => Wanting(ApprovalClass.SensitiveWrite, 1) with { Inherit = true };
        var lost = await ApprovedAsync(engine, t => t with { OnWorkerLost = OnWorkerLost.Requeue });
        await engine.ClaimAsync(machine, lost.Execution!.Steps[0]);
        var unused = await ApprovedAsync(engine, t => t with { Targets = new TargetSpec { Workstations = ["two"] } });
        engine.Doctrine = _ => throw new InvalidOperationException("no such zone");

        await engine.ServeAsync(Engine.TtlSeconds + Engine.GraceSeconds + 2);
        lost = await engine.TaskAsync(lost.Id);
        (lost.Execution!.Steps[0].State, lost.ApprovalStatus).ShouldBe((StepState.Queued, ApprovalStatus.Pending), "what is lost is found, and what can't be decided is asked for");
        await PassAsync(engine, TimeSpan.FromMinutes(16));
        unused = await engine.TaskAsync(unused.Id);
        (unused.State, unused.ApprovalStatus).ShouldBe((TaskState.Planned, ApprovalStatus.Pending));
        await engine.CheckInvariantsAsync(lost.Id);
        await engine.CheckInvariantsAsync(unused.Id);

        engine.Doctrine = _ => Wanting(ApprovalClass.SensitiveWrite, 1);
        (await engine.Approvals.ApproveAsync(engine.Owner, unused.Id, null, null, Token)).ShouldBeNull();
        (await engine.ClaimAsync(second, await engine.StepAsync(unused))).Refusal.ShouldBeNull();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_row_that_fails_does_not_keep_the_rows_behind_it_from_their_pass(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("one");
        var tasks = new List<TaskBody>();
        for (var i = 0; i < 3; i++) tasks.Add(await AskAsync(engine));
        // What is stored of the first can't be read, which is no failure of the database; and it comes first.
        await engine.ExecuteAsync("UPDATE approvals SET state = 'approved', decided_by = 'x', decided_at = 1, expires_at = 1, findings = 'no json' WHERE task_id = @id", new { id = tasks[0].Id });
        await engine.ExecuteAsync("UPDATE tasks SET state = 'queued' WHERE id = @id", new { id = tasks[0].Id });
        await PassAsync(engine, TimeSpan.FromDays(8));
        foreach (var task in tasks.Skip(1)) (await engine.TaskAsync(task.Id)).State.ShouldBe(TaskState.Failed);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_any_machine_may_run_outlives_the_one_that_is_forbidden_it_and_ends_with_the_last(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machines = new[] { await engine.AddWorkstationAsync("a", ["gpu"]), await engine.AddWorkstationAsync("b", ["gpu"]) };
        var request = Request() with { Targets = new TargetSpec { Tags = ["gpu"], Placement = Placement.Any } };
        var (first, second) = (await engine.CreateTaskAsync(request), await engine.CreateTaskAsync(request));
        engine.Doctrine = question => question.TargetTags.Any(tags => tags.Contains("production")) ? Forbidding(0) : Free with { Version = 0 };
        await TagAsync(engine, machines[0].InstanceId, "gpu", "production");
        foreach (var task in new[] { first, second }) (await engine.ClaimAsync(machines[0], task.Execution!.Steps[0])).Refusal.ShouldBe(ClaimRefusal.Forbidden);
        (await OfferedAsync(engine, machines[0].InstanceId)).ShouldBeEmpty();
        (await OfferedAsync(engine, machines[1].InstanceId)).Order().ShouldBe(new[] { first, second }.Select(t => t.Execution!.Steps[0].Id).Order());
        (await engine.ClaimAsync(machines[1], first.Execution!.Steps[0])).Refusal.ShouldBeNull();
        await engine.CheckInvariantsAsync(first.Id);

        await TagAsync(engine, machines[1].InstanceId, "gpu", "production");
        (await engine.ClaimAsync(machines[1], second.Execution!.Steps[0])).Refusal.ShouldBe(ClaimRefusal.Forbidden);
        second = await engine.TaskAsync(second.Id);
        (second.State, second.Execution!.Steps[0].Reason).ShouldBe((TaskState.Failed, StepReason.ForbiddenByDoctrine));
        await engine.CheckInvariantsAsync(second.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_an_approval_that_just_ran_out_would_cover_is_not_offered_again_and_again(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machines = new[] { await engine.AddWorkstationAsync("a"), await engine.AddWorkstationAsync("b"), await engine.AddWorkstationAsync("c") };
        engine.Doctrine = TaggedProduction;
        var task = await engine.CreateTaskAsync(machines, maxParallel: 0);
        await engine.ClaimAsync(machines[0], task.Execution!.Steps[0]);
        foreach (var machine in machines) await TagAsync(engine, machine.InstanceId, "production");
        (await engine.ClaimAsync(machines[1], task.Execution.Steps[1])).Refusal.ShouldBe(ClaimRefusal.NeedsApproval);
        (await engine.Approvals.ApproveAsync(await engine.AddMemberAsync("ann", Role.Admin), task.Id, null, null, Token)).ShouldBeNull();
        await engine.MoveClocksAsync(TimeSpan.FromMinutes(15));
        (await OfferedAsync(engine, machines[2].InstanceId)).ShouldBe([task.Execution.Steps[2].Id]);
        (await engine.ClaimAsync(machines[2], task.Execution.Steps[2])).Refusal.ShouldBe(ClaimRefusal.NeedsApproval);
        (await OfferedAsync(engine, machines[2].InstanceId)).ShouldBeEmpty();

        await engine.ApprovalLoop.RunOnceAsync(Token);
        (await engine.TaskAsync(task.Id)).Approvals!.Select(a => a.State).ShouldBe([ApprovalState.Expired, ApprovalState.Pending]);
        await engine.CheckInvariantsAsync(task.Id);
    }

    internal static DoctrineDecision TaggedProduction(DoctrineQuestion question) =>
        question.TargetTags.Any(tags => tags.Contains("production")) ? Wanting(ApprovalClass.ProductionMutation, 1) : Free;

    internal static DoctrineDecision Wanting(ApprovalClass wanted, int version) =>
        new(wanted, [new DoctrineFinding("careful", WireNames.Of(wanted), "it is Friday")], false, null, false, version);

    internal static DoctrineDecision Forbidding(int version) => new(ApprovalClass.None, [new DoctrineFinding("no-true", "forbid", "it says true")], true, null, false, version);

    internal static Task TagAsync(Engine engine, string instanceId, params string[] tags) =>
        engine.ExecuteAsync("UPDATE instances SET tags = @tags WHERE id = @instanceId", new { instanceId, tags = System.Text.Json.JsonSerializer.Serialize(tags) });
}
