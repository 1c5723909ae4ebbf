using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Governance;
using Tanjiren.Server.Tasks;
using Tanjiren.Tests;
using static Tanjiren.Server.Tests.Tasks.Approvals.ApprovalTests;

namespace Tanjiren.Server.Tests.Tasks.Approvals;

/// <summary>Changing a task that nobody has claimed: what was approved is not what it is now.</summary>
public sealed class TaskEditorTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_change_of_an_approved_task_asks_again_and_what_was_offered_is_gone(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var task = await ApprovedAsync(engine);
        var offered = task.Execution!.Steps[0];
        (await engine.Editor.UpdateAsync(engine.Owner, task.Id, new UpdateTaskRequest { Command = new CommandSpec { Argv = ["rm", "-r", "x"] } }, Token)).ShouldBeNull();

        (await engine.ClaimAsync(machine, offered)).Refusal.ShouldBe(ClaimRefusal.NotFound);
        task = await engine.TaskAsync(task.Id);
        (task.State, task.ApprovalStatus, task.Command!.Argv![0], task.Intent, task.ChangedBy).ShouldBe((TaskState.Planned, ApprovalStatus.Pending, "rm", "rm -r x", engine.Owner.UserId));
        task.Approvals!.Select(a => a.State).ShouldBe([ApprovalState.Withdrawn, ApprovalState.Pending]);
        task.Approvals![0].ActionHash.ShouldNotBe(task.Approvals[1].ActionHash);
        // Who saw the first does not approve the second unseen.
        IsConflict(await engine.Approvals.ApproveAsync(engine.Owner, task.Id, task.Approvals[0].Id, null, Token), "pending");
        await engine.CheckInvariantsAsync(task.Id);
        (await engine.QueryAsync<string>("SELECT detail FROM audit_events WHERE action = 'task.updated' AND subject = @id", new { id = task.Id })).ShouldBe("command");

        (await engine.Approvals.ApproveAsync(engine.Owner, task.Id, task.Approvals[1].Id, null, Token)).ShouldBeNull();
        var claim = await engine.ClaimAsync(machine, await engine.StepAsync(task));
        claim.Response!.Command!.Argv.ShouldBe(["rm", "-r", "x"]);
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Every_field_can_be_changed_and_the_steps_follow(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("one");
        // In the order of their ids: two of one millisecond have none of their own.
        Device[] machines = [await engine.AddWorkstationAsync("a", ["gpu"]), await engine.AddWorkstationAsync("b", ["gpu"])];
        Array.Sort(machines, (x, y) => string.CompareOrdinal(x.InstanceId, y.InstanceId));
        var (a, b) = (machines[0], machines[1]);
        var task = await engine.CreateTaskAsync(Request() with { Intent = "mine" });
        (await engine.Editor.UpdateAsync(engine.Owner, task.Id, new UpdateTaskRequest
        {
            Command = new CommandSpec { Shell = "echo hi" }, Targets = new TargetSpec { Tags = ["gpu"], Placement = Placement.All }, WorkingDirectory = "/tmp",
            Environment = new Dictionary<string, string> { ["A"] = "b" }, EnvironmentFromMachine = ["HOME"], MaxParallel = 0, StopAfterFailures = 2, TimeoutSeconds = 60, QueueTimeoutSeconds = 61,
            LeaseGraceSeconds = 62, OnWorkerLost = OnWorkerLost.Requeue, Priority = 9,
        }, Token)).ShouldBeNull();
        task = await engine.TaskAsync(task.Id);
        (task.State, task.Intent, task.Command!.Shell, task.WorkingDirectory, task.MaxParallel, task.StopAfterFailures, task.TimeoutSeconds, task.QueueTimeoutSeconds, task.LeaseGraceSeconds,
            task.OnWorkerLost, task.Priority).ShouldBe((TaskState.Queued, "mine", "echo hi", "/tmp", 0, 2, 60, 61, 62, OnWorkerLost.Requeue, 9));
        task.Execution!.Steps.Select(s => s.InstanceId).ShouldBe([a.InstanceId, b.InstanceId]);
        foreach (var (machine, step) in new[] { (a, task.Execution.Steps[0]), (b, task.Execution.Steps[1]) })
        {
            var claim = (await engine.ClaimAsync(machine, step)).Response!;
            (claim.Command!.Shell, claim.WorkingDirectory, claim.TimeoutMs, claim.LeaseGraceMs, claim.Environment!["A"]).ShouldBe(("echo hi", "/tmp", 60_000, 62_000, "b"));
        }
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_change_that_changes_nothing_asks_nobody_again(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("one");
        var task = await ApprovedAsync(engine);
        (await engine.Editor.UpdateAsync(engine.Owner, task.Id, new UpdateTaskRequest { Priority = 0, Command = new CommandSpec { Argv = ["true"] } }, Token)).ShouldBeNull();
        var after = await engine.TaskAsync(task.Id);
        (after.State, after.ChangedBy, after.Execution!.Steps[0].Id).ShouldBe((TaskState.Queued, null, task.Execution!.Steps[0].Id));
    }

    /// <summary>It says how often the action runs: who approved one start has not approved twenty.</summary>
    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Retries_are_replaced_and_taken_away_as_a_whole_and_each_change_of_them_asks_again(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("one");
        var task = await ApprovedAsync(engine);
        async Task<TaskBody> ChangeAsync(RetryPolicy? retry, int? priority = null)
        {
            (await engine.Editor.UpdateAsync(engine.Owner, task.Id, new UpdateTaskRequest { Retry = retry, Priority = priority }, Token)).ShouldBeNull();
            await engine.CheckInvariantsAsync(task.Id);
            return await engine.TaskAsync(task.Id);
        }

        var given = await ChangeAsync(new RetryPolicy { MaxAttempts = 3, BackoffSeconds = 5, Backoff = BackoffKind.Exponential, On = [StepReason.WorkerLost] });
        (given.State, given.ApprovalStatus, given.Retry!.MaxAttempts, given.Retry.BackoffSeconds, given.Retry.Backoff).ShouldBe((TaskState.Planned, ApprovalStatus.Pending, 3, 5, BackoffKind.Exponential));
        given.Approvals![0].ActionHash.ShouldNotBe(given.Approvals[1].ActionHash);
        (await engine.Approvals.ApproveAsync(engine.Owner, task.Id, null, null, Token)).ShouldBeNull();
        (await ChangeAsync(new RetryPolicy { MaxAttempts = 3, BackoffSeconds = 5, Backoff = BackoffKind.Exponential, On = [StepReason.WorkerLost] }))
            .ApprovalStatus.ShouldBe(ApprovalStatus.Approved, "it says what it said");

        var replaced = (await ChangeAsync(new RetryPolicy { MaxAttempts = 2 })).Retry!;
        (replaced.MaxAttempts, replaced.BackoffSeconds, replaced.Backoff).ShouldBe((2, 30, BackoffKind.Fixed));
        replaced.On.ShouldBe([StepReason.ExitCode, StepReason.Timeout]);
        (await ChangeAsync(null, priority: 7)).Retry!.MaxAttempts.ShouldBe(2, "what is absent stays");
        (await engine.Approvals.ApproveAsync(engine.Owner, task.Id, null, null, Token)).ShouldBeNull();
        var taken = await ChangeAsync(new RetryPolicy());
        (taken.Retry, taken.ApprovalStatus).ShouldBe((null, ApprovalStatus.Pending));
        (await ChangeAsync(new RetryPolicy())).Approvals!.Count.ShouldBe(taken.Approvals!.Count, "there was none");
        (await engine.Editor.UpdateAsync(engine.Owner, task.Id, new UpdateTaskRequest { Retry = new RetryPolicy { MaxAttempts = 21, BackoffSeconds = -1, On = [] } }, Token))!.Value
            .Errors!.Keys.Order().ShouldBe(["retry.backoffSeconds", "retry.maxAttempts", "retry.on"]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Once_anything_was_claimed_or_has_ended_nothing_is_changed(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var task = await engine.CreateTaskAsync(Request());
        await engine.ClaimAsync(machine, task.Execution!.Steps[0]);
        IsConflict(await engine.Editor.UpdateAsync(engine.Owner, task.Id, new UpdateTaskRequest { Priority = 1 }, Token), "executing");
        await engine.Resolver.ReleaseAsync(machine, task.Execution.Steps[0].Id, 1, null, Token);
        IsConflict(await engine.Editor.UpdateAsync(engine.Owner, task.Id, new UpdateTaskRequest { Priority = 1 }, Token), "executing");
        await engine.Canceller.CancelAsync(engine.Owner, task.Id, null, Token);
        IsConflict(await engine.Editor.UpdateAsync(engine.Owner, task.Id, new UpdateTaskRequest { Priority = 1 }, Token), "cancelled");
        (await engine.TaskAsync(task.Id)).Priority.ShouldBe(0);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_role_of_now_decides_not_the_one_that_the_request_came_with(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("one");
        var ann = await engine.AddMemberAsync("ann", Role.Admin);
        var task = await engine.CreateTaskAsync(Request());
        Role? asked = null;
        engine.Doctrine = question =>
        {
            asked = question.ActorRole;
            return new DoctrineDecision(ApprovalClass.None, [], false, null, false, 0);
        };
        await engine.ExecuteAsync("UPDATE memberships SET role = 'member' WHERE user_id = @id", new { id = ann.UserId });
        (await engine.Editor.UpdateAsync(ann, task.Id, new UpdateTaskRequest { Priority = 1 }, Token)).ShouldBeNull();
        asked.ShouldBe(Role.Member);
        foreach (var loss in new[] { "UPDATE memberships SET role = 'viewer' WHERE user_id = @id", "DELETE FROM memberships WHERE user_id = @id" })
        {
            await engine.ExecuteAsync(loss, new { id = ann.UserId });
            (await engine.Editor.UpdateAsync(ann, task.Id, new UpdateTaskRequest { Priority = 2 }, Token))!.Value.Is(ErrorCode.Forbidden).ShouldBeTrue();
        }
        (await engine.TaskAsync(task.Id)).Priority.ShouldBe(1);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_is_wrong_is_named_and_nothing_changes_and_a_class_is_never_lowered(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("one");
        var task = await AskAsync(engine);
        async Task<IEnumerable<string>> FieldsAsync(UpdateTaskRequest change) => (await engine.Editor.UpdateAsync(engine.Owner, task.Id, change, Token))!.Value.Errors!.Keys.Order();
        (await FieldsAsync(new() { Priority = 101, Command = new CommandSpec(), Intent = " " })).ShouldBe(["command", "intent", "priority"]);
        (await FieldsAsync(new() { Targets = new TargetSpec { Workstations = ["nobody"] } })).ShouldBe(["targets.workstations[0]"]);
        (await FieldsAsync(new() { ApprovalClass = ApprovalClass.None })).ShouldBe(["approvalClass"]);
        var after = await engine.TaskAsync(task.Id);
        (after.Approvals!.Single().State, after.ChangedBy).ShouldBe((ApprovalState.Pending, null));

        (await engine.Editor.UpdateAsync(engine.Owner, task.Id, new UpdateTaskRequest { ApprovalClass = ApprovalClass.ProductionMutation }, Token)).ShouldBeNull();
        (await engine.TaskAsync(task.Id)).Approvals!.Select(a => (a.State, a.Class)).ShouldBe(
            [(ApprovalState.Withdrawn, ApprovalClass.SensitiveWrite), (ApprovalState.Pending, ApprovalClass.ProductionMutation)]);
        await engine.CheckInvariantsAsync(task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_task_whose_targets_went_is_not_approved_until_it_has_others(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        await engine.AddWorkstationAsync("two");
        var task = await AskAsync(engine);
        await engine.ExecuteAsync("UPDATE instances SET removed_at = 1 WHERE id = @id", new { id = machine.InstanceId });
        var problem = (await engine.Approvals.ApproveAsync(engine.Owner, task.Id, null, null, Token))!.Value;
        (problem.Status, problem.CurrentState).ShouldBe((409, "pending"));
        problem.Detail!.ShouldContain("there is no workstation 'one'");
        (await engine.Editor.UpdateAsync(engine.Owner, task.Id, new UpdateTaskRequest { Targets = new TargetSpec { Workstations = ["two"] } }, Token)).ShouldBeNull();
        (await engine.Approvals.ApproveAsync(engine.Owner, task.Id, null, null, Token)).ShouldBeNull();
        (await engine.TaskAsync(task.Id)).Execution!.Steps.Single().InstanceName.ShouldBe("two");
    }
}
