using Tanjiren.Protocol;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Tasks;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Tasks.Approvals;

/// <summary>The first half of a task's life: planned, asked about, answered, used or lapsed. On both databases, in virtual time.</summary>
public sealed class ApprovalTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_task_that_asks_waits_without_steps_is_approved_claimed_and_has_used_its_approval(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var admin = await engine.AddMemberAsync("ann", Role.Admin);
        var task = await AskAsync(engine);
        (task.State, task.ApprovalStatus, task.Execution!.Steps.Count).ShouldBe((TaskState.Planned, ApprovalStatus.Pending, 0));
        task.Approvals!.Single().Findings.Single().Rule.ShouldBe("request");
        (await OfferedAsync(engine, machine.InstanceId)).ShouldBeEmpty();
        await engine.CheckInvariantsAsync(task.Id);

        (await engine.Approvals.ApproveAsync(admin, task.Id, null, "looks right", Token)).ShouldBeNull();
        task = await engine.TaskAsync(task.Id);
        (task.State, task.ApprovalStatus).ShouldBe((TaskState.Queued, ApprovalStatus.Approved));
        (await OfferedAsync(engine, machine.InstanceId)).ShouldBe([task.Execution!.Steps.Single().Id]);
        await engine.CheckInvariantsAsync(task.Id);

        (await engine.ClaimAsync(machine, task.Execution.Steps[0])).Refusal.ShouldBeNull();
        task = await engine.TaskAsync(task.Id);
        var used = task.Approvals!.Single();
        (task.State, task.ApprovalStatus, used.State, used.DecidedBy, used.Reason).ShouldBe((TaskState.Executing, ApprovalStatus.Consumed, ApprovalState.Consumed, admin.UserId, "looks right"));
        used.ConsumedAt.ShouldNotBeNull();
        await engine.CompleteAsync(machine, task.Execution!.Steps[0].Id, 1);
        (await engine.TaskAsync(task.Id)).State.ShouldBe(TaskState.Completed);
        await engine.CheckInvariantsAsync(task.Id);
        (await engine.QueryAsync<string>("SELECT actor FROM audit_events WHERE action = 'task.approved' AND subject = @id", new { id = task.Id })).ShouldBe(admin.UserId);
        (await KindsAsync(engine, task.Id)).ShouldBe("planned approvalRequested queued approved claimed succeeded taskEnded");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task One_approval_covers_every_step_of_the_execution(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machines = new[] { await engine.AddWorkstationAsync("a"), await engine.AddWorkstationAsync("b") };
        var task = await ApprovedAsync(engine, t => t with { Targets = new TargetSpec { Workstations = ["a", "b"] }, MaxParallel = 0 });
        for (var i = 0; i < machines.Length; i++) (await engine.ClaimAsync(machines[i], task.Execution!.Steps[i])).Refusal.ShouldBeNull();
        // Also long after the quarter of an hour: it is for the first start.
        task = await ApprovedAsync(engine, t => t with { Targets = new TargetSpec { Workstations = ["a", "b"] } });
        (await engine.ClaimAsync(machines[0], task.Execution!.Steps[0])).Refusal.ShouldBeNull();
        await engine.CompleteAsync(machines[0], task.Execution.Steps[0].Id, 1);
        await PassAsync(engine, TimeSpan.FromHours(3));
        (await engine.ClaimAsync(machines[1], task.Execution.Steps[1])).Refusal.ShouldBeNull();
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_second_answer_is_told_the_first_and_the_same_answer_again_is_none(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("one");
        var (ann, bob) = (await engine.AddMemberAsync("ann", Role.Admin), await engine.AddMemberAsync("bob", Role.Admin));
        var task = await AskAsync(engine);
        (await engine.Approvals.ApproveAsync(ann, task.Id, task.Approvals![0].Id, null, Token)).ShouldBeNull();
        (await engine.Approvals.ApproveAsync(ann, task.Id, task.Approvals[0].Id, null, Token)).ShouldBeNull("its answer may have been lost");
        IsConflict(await engine.Approvals.RejectAsync(ann, task.Id, null, "on second thoughts", Token), "approved");
        IsConflict(await engine.Approvals.ApproveAsync(bob, task.Id, null, null, Token), "approved");
        IsConflict(await engine.Approvals.RejectAsync(bob, task.Id, null, "no", Token), "approved");
        (await engine.QueryAsync<long>("SELECT count(*) FROM audit_events WHERE subject = @id AND action LIKE 'task.appr%'", new { id = task.Id })).ShouldBe(1);

        var other = await AskAsync(engine);
        (await engine.Approvals.RejectAsync(bob, other.Id, null, "not today", Token)).ShouldBeNull();
        (await engine.Approvals.RejectAsync(bob, other.Id, null, "not today", Token)).ShouldBeNull();
        IsConflict(await engine.Approvals.ApproveAsync(ann, other.Id, null, null, Token), "rejected");
        other = await engine.TaskAsync(other.Id);
        (other.State, other.ApprovalStatus).ShouldBe((TaskState.Failed, ApprovalStatus.Rejected));
        other.OutcomeSummary.ShouldBe("Rejected by bob@example.test: not today");
        await engine.CheckInvariantsAsync(other.Id);
        IsConflict(await engine.Approvals.ApproveAsync(ann, (await engine.CreateTaskAsync(Request())).Id, null, null, Token), "not_required");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Nobody_approves_a_production_mutation_of_their_own_but_who_is_alone_and_says_why(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("one");
        var alone = await AskAsync(engine, ApprovalClass.ProductionMutation);
        var problem = await engine.Approvals.ApproveAsync(engine.Owner, alone.Id, null, null, Token);
        problem!.Value.Errors!.Keys.ShouldBe(["reason"]);
        (await engine.TaskAsync(alone.Id)).State.ShouldBe(TaskState.Planned);
        (await engine.Approvals.ApproveAsync(engine.Owner, alone.Id, null, "I am on call alone", Token)).ShouldBeNull();
        (await engine.TaskAsync(alone.Id)).Approvals!.Single().SelfApproved.ShouldBeTrue();
        (await engine.QueryAsync<long>("SELECT count(*) FROM audit_events WHERE action = 'task.self_approved' AND subject = @id AND detail LIKE '%I am on call alone'", new { id = alone.Id })).ShouldBe(1);

        var ann = await engine.AddMemberAsync("ann", Role.Admin);
        var own = await AskAsync(engine, ApprovalClass.ProductionMutation);
        (await engine.Approvals.ApproveAsync(engine.Owner, own.Id, null, "still", Token))!.Value.Is(ErrorCode.OwnApproval).ShouldBeTrue();
        // Who changed it has made it theirs too; who made it stays its maker.
        (await engine.Editor.UpdateAsync(ann, own.Id, new UpdateTaskRequest { Priority = 3 }, Token)).ShouldBeNull();
        (await engine.Approvals.ApproveAsync(ann, own.Id, null, "fine", Token))!.Value.Is(ErrorCode.OwnApproval).ShouldBeTrue();
        (await engine.Approvals.ApproveAsync(engine.Owner, own.Id, null, "fine", Token))!.Value.Is(ErrorCode.OwnApproval).ShouldBeTrue();
        (await engine.Approvals.ApproveAsync(await engine.AddMemberAsync("bob", Role.Admin), own.Id, null, null, Token)).ShouldBeNull();

        var lesser = await AskAsync(engine, ApprovalClass.SensitiveWrite);
        (await engine.Approvals.ApproveAsync(engine.Owner, lesser.Id, null, null, Token)).ShouldBeNull();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_role_that_was_lost_meanwhile_and_another_organization_answer_nothing(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("one");
        var ann = await engine.AddMemberAsync("ann", Role.Admin);
        var stranger = await engine.CreateOrganizationAsync("elsewhere");
        var task = await AskAsync(engine);
        (await engine.Approvals.ApproveAsync(stranger, task.Id, null, null, Token))!.Value.Is(ErrorCode.NotFound).ShouldBeTrue();
        (await engine.Approvals.RejectAsync(stranger, task.Id, null, "x", Token))!.Value.Is(ErrorCode.NotFound).ShouldBeTrue();
        (await engine.Editor.UpdateAsync(stranger, task.Id, new UpdateTaskRequest { Priority = 1 }, Token))!.Value.Is(ErrorCode.NotFound).ShouldBeTrue();
        await engine.ExecuteAsync("UPDATE memberships SET role = 'member' WHERE user_id = @id", new { id = ann.UserId });
        (await engine.Approvals.ApproveAsync(ann, task.Id, null, null, Token))!.Value.Is(ErrorCode.Forbidden).ShouldBeTrue();
        (await engine.TaskAsync(task.Id)).State.ShouldBe(TaskState.Planned);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_approval_that_nothing_used_in_time_sends_the_task_back_and_asks_again(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var task = await ApprovedAsync(engine);
        var step = task.Execution!.Steps[0];
        await PassAsync(engine, TimeSpan.FromMinutes(15) - TimeSpan.FromSeconds(1));
        (await engine.TaskAsync(task.Id)).State.ShouldBe(TaskState.Queued);

        await engine.MoveClocksAsync(TimeSpan.FromSeconds(1));
        // Whether or not the loop has come by: from this moment on it starts nothing.
        (await OfferedAsync(engine, machine.InstanceId)).ShouldBeEmpty();
        (await engine.ClaimAsync(machine, step)).Refusal.ShouldBe(ClaimRefusal.NeedsApproval);
        await engine.ApprovalLoop.RunOnceAsync(Token);

        task = await engine.TaskAsync(task.Id);
        (task.State, task.ApprovalStatus, task.Execution!.Steps.Count).ShouldBe((TaskState.Planned, ApprovalStatus.Pending, 0));
        task.Approvals!.Select(a => a.State).ShouldBe([ApprovalState.Expired, ApprovalState.Pending]);
        (await engine.ClaimAsync(machine, step)).Refusal.ShouldBe(ClaimRefusal.NotFound);
        (await KindsAsync(engine, task.Id)).ShouldBe("planned approvalRequested queued approved approvalExpired approvalRequested");
        await engine.CheckInvariantsAsync(task.Id);
        await engine.ApprovalLoop.RunOnceAsync(Token);
        (await engine.TaskAsync(task.Id)).Approvals!.Count.ShouldBe(2);

        (await engine.Approvals.ApproveAsync(engine.Owner, task.Id, null, null, Token)).ShouldBeNull();
        (await engine.ClaimAsync(machine, await engine.StepAsync(task))).Refusal.ShouldBeNull();
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_question_that_nobody_answers_for_seven_days_fails_the_task(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("one");
        var task = await AskAsync(engine);
        await PassAsync(engine, TimeSpan.FromDays(7) - TimeSpan.FromSeconds(1));
        (await engine.TaskAsync(task.Id)).State.ShouldBe(TaskState.Planned);
        await engine.MoveClocksAsync(TimeSpan.FromSeconds(1));
        IsConflict(await engine.Approvals.ApproveAsync(engine.Owner, task.Id, null, null, Token), "expired");
        await engine.ApprovalLoop.RunOnceAsync(Token);
        task = await engine.TaskAsync(task.Id);
        (task.State, task.ApprovalStatus, task.Approvals!.Single().State, task.OutcomeSummary).ShouldBe((TaskState.Failed, ApprovalStatus.Expired, ApprovalState.Expired, "Nobody answered within 7 days."));
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Cancel_ends_a_planned_task_and_its_question(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("one");
        var task = await AskAsync(engine);
        (await engine.Canceller.CancelAsync(engine.Owner, task.Id, "no", Token)).Kind.ShouldBe(CancelResultKind.Applied);
        task = await engine.TaskAsync(task.Id);
        (task.State, task.ApprovalStatus, task.Approvals!.Single().State).ShouldBe((TaskState.Cancelled, ApprovalStatus.Expired, ApprovalState.Withdrawn));
        IsConflict(await engine.Approvals.ApproveAsync(engine.Owner, task.Id, null, null, Token), "withdrawn");
        await engine.CheckInvariantsAsync(task.Id);

        task = await ApprovedAsync(engine);
        await engine.Canceller.CancelAsync(engine.Owner, task.Id, "no", Token);
        (await engine.TaskAsync(task.Id)).Approvals!.Single().State.ShouldBe(ApprovalState.Withdrawn, "it was not used and never will be");
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_start_that_may_have_happened_uses_the_approval_up_and_one_that_provably_did_not_gives_it_back(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var (machine, neighbour) = (await engine.AddWorkstationAsync("one"), await engine.AddWorkstationAsync("two"));
        var task = await ApprovedAsync(engine, t => t with { OnWorkerLost = OnWorkerLost.Requeue, Targets = new TargetSpec { Workstations = ["one", "two"] }, MaxParallel = 0 });
        var (step, other) = (task.Execution!.Steps[0], task.Execution.Steps[1]);

        await engine.ClaimAsync(machine, step);
        (await engine.Resolver.ReleaseAsync(machine, step.Id, 1, "never started", Token)).Kind.ShouldBe(StepMoveKind.Applied);
        (await engine.ClaimAsync(machine, await engine.StepAsync(task))).Refusal.ShouldBeNull("the execution began under this approval");

        await engine.CompleteAsync(machine, step.Id, 3, StepOutcome.Failed, StepReason.UnknownOutcome);
        task = await engine.TaskAsync(task.Id);
        (task.State, task.ApprovalStatus).ShouldBe((TaskState.Executing, ApprovalStatus.Pending));
        (await OfferedAsync(engine, machine.InstanceId)).ShouldBeEmpty();
        (await engine.ClaimAsync(machine, await engine.StepAsync(task))).Refusal.ShouldBe(ClaimRefusal.NeedsApproval, "a used approval is no second start");
        (await engine.ClaimAsync(neighbour, other)).Refusal.ShouldBeNull("its neighbour has not run: the first approval covers it");
        await engine.CheckInvariantsAsync(task.Id);

        await engine.ServeAsync(Engine.TtlSeconds + Engine.GraceSeconds + 2);
        task = await engine.TaskAsync(task.Id);
        task.Execution!.Steps[1].State.ShouldBe(StepState.Queued, "the neighbour was silent, and is to start again too");
        task.Approvals!.Select(a => a.State).ShouldBe([ApprovalState.Consumed, ApprovalState.Withdrawn, ApprovalState.Pending], "one question for both, and another one than for the first alone");
        (await engine.Approvals.ApproveAsync(engine.Owner, task.Id, null, null, Token)).ShouldBeNull();
        (await engine.ClaimAsync(machine, await engine.StepAsync(task))).Refusal.ShouldBeNull();
        (await engine.ClaimAsync(neighbour, await engine.StepAsync(task, 1))).Refusal.ShouldBeNull();
        (await engine.TaskAsync(task.Id)).Approvals!.Select(a => a.State).ShouldBe([ApprovalState.Consumed, ApprovalState.Withdrawn, ApprovalState.Consumed]);
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_waits_for_a_second_approval_fails_alone_when_it_is_refused_and_is_asked_for_again_when_it_lapses(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var task = await ApprovedAsync(engine, t => t with { OnWorkerLost = OnWorkerLost.Requeue });
        await engine.ClaimAsync(machine, task.Execution!.Steps[0]);
        await engine.CompleteAsync(machine, task.Execution.Steps[0].Id, 1, StepOutcome.Failed, StepReason.UnknownOutcome);
        (await engine.Approvals.ApproveAsync(engine.Owner, task.Id, null, null, Token)).ShouldBeNull();
        await PassAsync(engine, TimeSpan.FromMinutes(15));
        task = await engine.TaskAsync(task.Id);
        (task.State, task.ApprovalStatus).ShouldBe((TaskState.Executing, ApprovalStatus.Pending));
        task.Approvals!.Select(a => a.State).ShouldBe([ApprovalState.Consumed, ApprovalState.Expired, ApprovalState.Pending]);
        await engine.CheckInvariantsAsync(task.Id);

        (await engine.Approvals.RejectAsync(engine.Owner, task.Id, null, "once was enough", Token)).ShouldBeNull();
        task = await engine.TaskAsync(task.Id);
        (task.State, task.Execution!.Steps[0].Reason, task.ApprovalStatus).ShouldBe((TaskState.Failed, StepReason.NotApproved, ApprovalStatus.Rejected));
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_first_start_goes_on_under_what_is_used_and_leaves_anothers_second_approval_alone(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var (machine, neighbour) = (await engine.AddWorkstationAsync("one"), await engine.AddWorkstationAsync("two"));
        var task = await ApprovedAsync(engine, OnBoth);
        await engine.ClaimAsync(machine, task.Execution!.Steps[0]);
        await engine.CompleteAsync(machine, task.Execution.Steps[0].Id, 1, StepOutcome.Failed, StepReason.UnknownOutcome);
        (await engine.Approvals.ApproveAsync(engine.Owner, task.Id, null, null, Token)).ShouldBeNull();

        (await engine.ClaimAsync(neighbour, task.Execution.Steps[1])).Refusal.ShouldBeNull();
        (await engine.TaskAsync(task.Id)).Approvals!.Select(a => a.State).ShouldBe([ApprovalState.Consumed, ApprovalState.Approved]);
        (await engine.ClaimAsync(machine, await engine.StepAsync(task))).Refusal.ShouldBeNull();
        (await engine.TaskAsync(task.Id)).Approvals!.Select(a => a.State).ShouldBe([ApprovalState.Consumed, ApprovalState.Consumed]);
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_step_that_is_lost_after_an_answer_is_not_covered_by_it_and_both_are_asked_for_by_name(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var (machine, neighbour) = (await engine.AddWorkstationAsync("one"), await engine.AddWorkstationAsync("two"));
        var task = await ApprovedAsync(engine, OnBoth);
        var (step, other) = (task.Execution!.Steps[0], task.Execution.Steps[1]);
        await engine.ClaimAsync(machine, step);
        await engine.ClaimAsync(neighbour, other);
        await engine.CompleteAsync(machine, step.Id, 1, StepOutcome.Failed, StepReason.UnknownOutcome);
        (await engine.Approvals.ApproveAsync(engine.Owner, task.Id, null, "the first may", Token)).ShouldBeNull();
        await engine.CompleteAsync(neighbour, other.Id, 1, StepOutcome.Failed, StepReason.UnknownOutcome);

        (await engine.ClaimAsync(neighbour, await engine.StepAsync(task, 1))).Refusal.ShouldBe(ClaimRefusal.NeedsApproval, "nobody has approved its second start");
        task = await engine.TaskAsync(task.Id);
        task.Approvals!.Select(a => a.State).ShouldBe([ApprovalState.Consumed, ApprovalState.Withdrawn, ApprovalState.Pending]);
        task.Approvals![2].Findings.Select(f => f.Because).ShouldBe([.. new[] { step, other }.Select(s => $"Step {s.Id} lost its workstation and may have run; it shall start again.")]);
        (await engine.ClaimAsync(machine, await engine.StepAsync(task))).Refusal.ShouldBe(ClaimRefusal.NeedsApproval);
        await engine.CheckInvariantsAsync(task.Id);

        (await engine.Approvals.ApproveAsync(engine.Owner, task.Id, null, null, Token)).ShouldBeNull();
        (await engine.ClaimAsync(neighbour, await engine.StepAsync(task, 1))).Refusal.ShouldBeNull();
        (await engine.ClaimAsync(machine, await engine.StepAsync(task))).Refusal.ShouldBeNull();
        await engine.CheckInvariantsAsync(task.Id);
    }

    internal static CreateTaskRequest OnBoth(CreateTaskRequest request) =>
        request with { OnWorkerLost = OnWorkerLost.Requeue, Targets = new TargetSpec { Workstations = ["one", "two"] }, MaxParallel = 0 };

    internal static CreateTaskRequest Request() => new() { Command = new CommandSpec { Argv = ["true"] }, Targets = new TargetSpec { Workstations = ["one"] } };

    internal static Task<TaskBody> AskAsync(Engine engine, ApprovalClass wanted = ApprovalClass.SensitiveWrite, Caller? by = null) =>
        engine.CreateTaskAsync(Request() with { ApprovalClass = wanted }, by);

    /// <summary>Asked for and approved by the owner.</summary>
    internal static async Task<TaskBody> ApprovedAsync(Engine engine, Func<CreateTaskRequest, CreateTaskRequest>? change = null)
    {
        var request = Request() with { ApprovalClass = ApprovalClass.SensitiveWrite };
        var task = await engine.CreateTaskAsync(change?.Invoke(request) ?? request);
        (await engine.Approvals.ApproveAsync(engine.Owner, task.Id, null, null, Token)).ShouldBeNull();
        return await engine.TaskAsync(task.Id);
    }

    internal static async Task PassAsync(Engine engine, TimeSpan time)
    {
        await engine.MoveClocksAsync(time);
        await engine.ApprovalLoop.RunOnceAsync(Token);
    }

    internal static async Task<IEnumerable<string>> OfferedAsync(Engine engine, string instanceId)
    {
        await engine.ExecuteAsync("UPDATE instances SET last_heartbeat_at = @now", new { now = engine.Clock.GetUtcNow().ToUnixTimeMilliseconds() });
        return (await engine.Database.ReadAsync(sql => engine.Work.PendingAsync(sql, engine.Owner.OrganizationId, instanceId), Token)).Select(p => p.StepId);
    }

    internal static async Task<string> KindsAsync(Engine engine, string taskId) => string.Join(' ',
        await engine.Database.ReadAsync(sql => sql.ListAsync<string>("SELECT kind FROM step_events WHERE task_id = @taskId ORDER BY event_seq", new { taskId }), Token));

    internal static void IsConflict(Problem? problem, string state) =>
        (problem!.Value.Status, problem.Value.CurrentState).ShouldBe((409, state), problem.Value.Detail);
}
