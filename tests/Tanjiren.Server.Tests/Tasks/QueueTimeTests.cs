using Tanjiren.Protocol;
using Tanjiren.Server.Governance;
using Tanjiren.Server.Tasks;
using Tanjiren.Tests;
using static Tanjiren.Server.Tests.Tasks.Approvals.ApprovalTests;

namespace Tanjiren.Server.Tests.Tasks;

/// <summary>What <c>queueTimeoutSeconds</c> counts: time in which a workstation could have claimed the step, anew whenever it is queued.</summary>
public sealed class QueueTimeTests
{
    private const int QueueTimeout = 60;

    private static readonly DoctrineDecision Free = new(ApprovalClass.None, [], false, null, false, 1);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(DatabaseKind.Sqlite, true)]
    [InlineData(DatabaseKind.Postgres, true)]
    [InlineData(DatabaseKind.Sqlite, false)]
    [InlineData(DatabaseKind.Postgres, false)]
    public async Task A_step_that_is_queued_again_has_its_whole_time_again(DatabaseKind kind, bool neverStarted)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var task = await engine.CreateTaskAsync(Brief() with { OnWorkerLost = OnWorkerLost.Requeue });
        var step = task.Execution!.Steps[0];
        await engine.ServeAsync(QueueTimeout - 20);
        await engine.ClaimAsync(machine, step);
        await engine.MoveClocksAsync(TimeSpan.FromSeconds(QueueTimeout));
        if (neverStarted) (await engine.Resolver.ReleaseAsync(machine, step.Id, 1, null, Token)).Kind.ShouldBe(StepMoveKind.Applied);
        else await engine.CompleteAsync(machine, step.Id, 1, StepOutcome.Failed, StepReason.UnknownOutcome);
        await EndsAfterAsync(engine, task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_lost_step_that_is_queued_again_has_its_whole_time_again(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var task = await engine.CreateTaskAsync(Brief() with { OnWorkerLost = OnWorkerLost.Requeue, QueueTimeoutSeconds = 15 });
        await engine.ClaimAsync(machine, task.Execution!.Steps[0]);
        await engine.ServeAsync(Engine.TtlSeconds + Engine.GraceSeconds + 3);
        (await engine.StepAsync(task)).State.ShouldBe(StepState.Queued);
        await engine.ServeAsync(20);
        (await engine.StepAsync(task)).Reason.ShouldBe(StepReason.QueueTimeout);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task It_does_not_run_out_while_an_approval_is_waited_for(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var task = await ApprovedAsync(engine, t => t with { OnWorkerLost = OnWorkerLost.Requeue, QueueTimeoutSeconds = QueueTimeout });
        await engine.ClaimAsync(machine, task.Execution!.Steps[0]);
        await engine.CompleteAsync(machine, task.Execution.Steps[0].Id, 1, StepOutcome.Failed, StepReason.UnknownOutcome);
        await engine.ServeAsync(2 * QueueTimeout);
        (await engine.StepAsync(task)).State.ShouldBe(StepState.Queued);
        (await engine.Approvals.ApproveAsync(engine.Owner, task.Id, null, null, Token)).ShouldBeNull();
        await EndsAfterAsync(engine, task.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task It_does_not_run_out_in_a_freeze(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var end = engine.Clock.GetUtcNow() + TimeSpan.FromSeconds(3 * QueueTimeout);
        engine.Doctrine = question => question.Now < end ? Free with { FrozenUntil = end } : Free;
        var frozen = await engine.CreateTaskAsync(Brief());
        engine.Doctrine = null;
        var held = await engine.CreateTaskAsync(Brief() with { Intent = "held" });
        engine.Doctrine = question => question.Spec.Intent == "held" ? Free with { FrozenUntil = question.Now + TimeSpan.FromDays(1) } : Free;
        (await engine.ClaimAsync(machine, held.Execution!.Steps[0])).Refusal.ShouldBe(ClaimRefusal.Frozen);

        await engine.ServeAsync(3 * QueueTimeout);
        foreach (var task in new[] { frozen, held }) (await engine.StepAsync(task)).State.ShouldBe(StepState.Queued);
        await engine.ApprovalLoop.RunOnceAsync(Token);
        await EndsAfterAsync(engine, frozen.Id);
        // The machine asks again when its five minutes are over, and is told the same.
        await engine.ServeAsync(QueueTimeout);
        (await engine.ClaimAsync(machine, held.Execution.Steps[0])).Refusal.ShouldBe(ClaimRefusal.Frozen);
        await engine.ServeAsync(4 * QueueTimeout);
        (await engine.StepAsync(held)).State.ShouldBe(StepState.Queued);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task It_does_not_run_out_in_a_freeze_that_opened_while_no_machine_came(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("one");
        await engine.AddWorkstationAsync("a", ["gpu"]);
        await engine.AddWorkstationAsync("b", ["gpu", "production"]);
        var any = new TargetSpec { Tags = ["gpu"], Placement = Placement.Any };
        var (named, onProduction, onAny) = (await engine.CreateTaskAsync(Brief()), await engine.CreateTaskAsync(Brief() with { Targets = new TargetSpec { Workstations = ["b"] } }), await engine.CreateTaskAsync(Brief() with { Targets = any }));
        var end = engine.Clock.GetUtcNow() + TimeSpan.FromSeconds(3 * QueueTimeout);
        engine.Doctrine = question => question.Now < end && question.TargetTags.Any(tags => !tags.Contains("gpu") || tags.Contains("production")) ? Free with { FrozenUntil = end } : Free;

        await engine.ServeAsync(3 * QueueTimeout);
        foreach (var task in new[] { named, onProduction }) (await engine.StepAsync(task)).State.ShouldBe(StepState.Queued);
        (await engine.StepAsync(onAny)).Reason.ShouldBe(StepReason.QueueTimeout, "one of the machines that it may run on is not frozen");
        (await engine.QueryAsync<long>("SELECT count(*) FROM step_events WHERE kind = 'frozen' AND instance_id IS NULL")).ShouldBe(2);
        await EndsAfterAsync(engine, named.Id);
        (await engine.StepAsync(onProduction)).Reason.ShouldBe(StepReason.QueueTimeout);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task After_such_a_freeze_there_is_an_hour_at_most_and_a_far_end_is_looked_at_anew_each_day(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("one");
        var (waits, mistaken) = (await engine.CreateTaskAsync(Brief() with { QueueTimeoutSeconds = 7200 }), await engine.CreateTaskAsync(Brief() with { Intent = "mistaken" }));
        var (end, never) = (engine.Clock.GetUtcNow() + TimeSpan.FromHours(27), engine.Clock.GetUtcNow() + TimeSpan.FromDays(20_000));
        var corrected = false;
        // The present doctrine is version 2. In that of the task, which is asked for by name, the mistake stays.
        engine.Doctrine = question => Free with
        {
            Version = question.AtVersion ?? 2,
            FrozenUntil = question.Spec.Intent != "mistaken" ? end : corrected && question.AtVersion is null ? null : never,
        };
        await PassAsync(TimeSpan.FromHours(3) + TimeSpan.FromMinutes(1));
        await PassAsync(TimeSpan.FromHours(23));
        await PassAsync(TimeSpan.FromMinutes(118));
        (await engine.StepAsync(waits)).State.ShouldBe(StepState.Queued);
        await PassAsync(TimeSpan.FromMinutes(2));
        (await engine.StepAsync(waits)).Reason.ShouldBe(StepReason.QueueTimeout);

        (await engine.StepAsync(mistaken)).State.ShouldBe(StepState.Queued);
        corrected = true;
        await PassAsync(TimeSpan.FromHours(24));
        (await engine.StepAsync(mistaken)).Reason.ShouldBe(StepReason.QueueTimeout);
        foreach (var task in new[] { waits, mistaken }) await engine.CheckInvariantsAsync(task.Id);

        async Task PassAsync(TimeSpan time)
        {
            await engine.MoveClocksAsync(time);
            await engine.ServeAsync(1);
        }
    }

    /// <summary>A machine that does not come has as long as the task says, and no longer.</summary>
    private static async Task EndsAfterAsync(Engine engine, string taskId)
    {
        await engine.ServeAsync(QueueTimeout - 20);
        (await engine.TaskAsync(taskId)).Execution!.Steps[0].State.ShouldBe(StepState.Queued);
        await engine.ServeAsync(25);
        (await engine.TaskAsync(taskId)).Execution!.Steps[0].Reason.ShouldBe(StepReason.QueueTimeout);
        await engine.CheckInvariantsAsync(taskId);
    }

    private static CreateTaskRequest Brief() => Request() with { QueueTimeoutSeconds = QueueTimeout };
}
