using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Workstations.Sessions;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Tasks;

public sealed class SessionTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_successor_on_the_same_boot_takes_over_and_the_leases_follow(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var (old, task) = await RunningAsync(engine);
        var step = task.Execution!.Steps[0];
        var next = old with { SessionId = Ids.New(Ids.Session, engine.Clock) };

        var opened = await engine.Sessions.OpenAsync(next, Request(next, previous: old.SessionId, steps: Report(step, StepReportState.Running)), Token);

        opened.Kind.ShouldBe(OpenSessionKind.Opened);
        opened.Leases.Single().Standing.ShouldBe(LeaseStanding.Held);
        (await engine.BeatAsync(old, (step.Id, 1))).ShouldBeNull("the old session has ended");
        (await engine.CompleteAsync(next, step.Id, 1)).Kind.ShouldBe(Server.Tasks.StepMoveKind.Applied);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_lost_answer_is_repeated_with_the_same_session_id(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var old = await engine.AddWorkstationAsync("one");
        var next = old with { SessionId = Ids.New(Ids.Session, engine.Clock) };

        (await engine.Sessions.OpenAsync(next, Request(next, old.SessionId), Token)).Kind.ShouldBe(OpenSessionKind.Opened);
        (await engine.Sessions.OpenAsync(next, Request(next, old.SessionId), Token)).Kind.ShouldBe(OpenSessionKind.Opened);
        (await engine.Sessions.OpenAsync(old, Request(old, next.SessionId), Token)).Kind.ShouldBe(OpenSessionKind.Ended, "an ended session never opens again");
    }

    [Theory]
    [InlineData(DatabaseKind.Sqlite, "copy", "boot", true)]
    [InlineData(DatabaseKind.Sqlite, "one", "other boot", true)]
    [InlineData(DatabaseKind.Sqlite, "one", "boot", false)]
    [InlineData(DatabaseKind.Postgres, "copy", "boot", true)]
    [InlineData(DatabaseKind.Postgres, "one", "other boot", true)]
    [InlineData(DatabaseKind.Postgres, "one", "boot", false)]
    public async Task A_copy_cannot_act_as_a_living_original(DatabaseKind kind, string machineId, string bootId, bool knowsSession)
    {
        await using var engine = await Engine.StartAsync(kind);
        var original = await engine.AddWorkstationAsync("one");
        var copy = original with { SessionId = Ids.New(Ids.Session, engine.Clock) };
        var request = Request(copy, knowsSession ? original.SessionId : Ids.New(Ids.Session, engine.Clock)) with { MachineId = machineId, BootId = bootId };

        var refused = await engine.Sessions.OpenAsync(copy, request, Token);

        (refused.Kind, refused.OtherHost).ShouldBe((OpenSessionKind.InUse, "one"));
        (await engine.BeatAsync(original)).ShouldNotBeNull("the original lives on");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_dead_session_gives_way_only_after_its_leases_have_run_out(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var (dead, task) = await RunningAsync(engine);
        var heir = dead with { SessionId = Ids.New(Ids.Session, engine.Clock) };
        var request = Request(heir, Ids.New(Ids.Session, engine.Clock)) with { MachineId = "new disk" };

        await engine.MoveClocksAsync(SessionStore.LiveFor + TimeSpan.FromSeconds(1));
        (await engine.Sessions.OpenAsync(heir, request, Token)).Kind.ShouldBe(OpenSessionKind.InUse, "its processes may still run");

        await engine.ServeAsync(Engine.TtlSeconds + Engine.GraceSeconds + 2);
        (await engine.StepAsync(task)).State.ShouldBe(StepState.Failed);
        (await engine.Sessions.OpenAsync(heir, request, Token)).Kind.ShouldBe(OpenSessionKind.Opened);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_answer_tells_what_stands_of_every_step_in_the_journal_and_of_those_it_forgot(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var steps = new List<StepBody>();
        for (var i = 0; i < 4; i++)
        {
            var step = (await engine.CreateTaskAsync([machine])).Execution!.Steps[0];
            steps.Add(step);
        }
        var claimId = engine.NewClaimId();
        await engine.ClaimAsync(machine, steps[0]);
        await engine.ClaimAsync(machine, steps[1], claimId);
        await engine.ClaimAsync(machine, steps[2]);
        await engine.CompleteAsync(machine, steps[2].Id, 1);
        await engine.ClaimAsync(machine, steps[3]);
        var next = machine with { SessionId = Ids.New(Ids.Session, engine.Clock) };

        var opened = await engine.Sessions.OpenAsync(next, Request(next, machine.SessionId,
            Report(steps[0], StepReportState.UnknownOutcome),
            new StepReport { StepId = steps[1].Id, ClaimId = claimId, State = StepReportState.NeverStarted },
            Report(steps[2], StepReportState.Exited)), Token);

        opened.Leases.Select(l => (l.StepId, l.Standing)).ShouldBe(
        [
            (steps[0].Id, LeaseStanding.Held), (steps[1].Id, LeaseStanding.Held), (steps[2].Id, LeaseStanding.Completed), (steps[3].Id, LeaseStanding.Held),
        ]);
        opened.Leases[1].LeaseGeneration.ShouldBe(1, "the claim whose answer was lost was granted after all");
    }

    private static async Task<(Device Machine, TaskBody Task)> RunningAsync(Engine engine)
    {
        var machine = await engine.AddWorkstationAsync("one");
        var task = await engine.CreateTaskAsync([machine]);
        await engine.ClaimAsync(machine, task.Execution!.Steps[0]);
        return (machine, task);
    }

    private static StepReport Report(StepBody step, StepReportState state) => new() { StepId = step.Id, LeaseGeneration = 1, State = state };

    private static OpenSessionRequest Request(Device device, string previous, params StepReport[] steps) => new()
    {
        SessionId = device.SessionId, MachineId = "one", BootId = "boot", HostName = "one", PreviousSessionIds = [previous], Steps = steps,
    };
}
