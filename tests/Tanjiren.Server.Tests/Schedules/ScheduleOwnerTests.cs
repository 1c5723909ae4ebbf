using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Tests.Tasks;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Schedules;

/// <summary>In whose name a tick runs: nothing that somebody else has said, about the schedule or the runbook that it names, runs in a person's name.</summary>
public sealed class ScheduleOwnerTests
{
    private const string Deploy = "rb_00000000000000000000000001";

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_member_who_edits_the_runbook_of_an_owners_schedule_runs_nothing_in_the_owners_name(DatabaseKind kind)
    {
        await using var engine = await StartAsync(kind);
        var mia = await engine.AddMemberAsync("mia", Role.Member);
        var id = (await MakeAsync(engine)).Id;
        (await TickAsync(engine)).ShouldBe([(engine.Owner.UserId, "deploy")]);

        await engine.ExecuteAsync("UPDATE runbooks SET fields = @fields, version = 2, updated_by = @UserId", new { fields = Fields("evil"), mia.UserId });
        (await TickAsync(engine)).Count.ShouldBe(1);
        var paused = await FindAsync(engine, id);
        paused.PauseReason.ShouldBe($"Its runbook deploy was changed by {mia.UserId} (version 2, not 1); look at it and resume.");
        (paused.OwnerId, paused.NextRunAt, paused.Runs, paused.Failed).ShouldBe((engine.Owner.UserId, null, 1, 0));
        (await engine.QueryAsync<string>("SELECT actor FROM audit_events WHERE action = 'schedule.paused'")).ShouldBe("server");

        // Whoever resumes it has looked at it, and it is theirs.
        var resumed = (await engine.Schedules.ResumeAsync(mia, id, Token)).Row!.ToBody();
        (resumed.OwnerId, resumed.RunbookVersion).ShouldBe((mia.UserId, 2));
        (await TickAsync(engine)).ShouldBe([(engine.Owner.UserId, "deploy"), (mia.UserId, "evil")]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_tick_that_waited_is_made_from_no_other_version_either(DatabaseKind kind)
    {
        await using var engine = await StartAsync(kind);
        var id = (await MakeAsync(engine, OverlapRule.Queue)).Id;
        await TickAsync(engine);
        await TickAsync(engine);
        (await FindAsync(engine, id)).WaitingTickAt.ShouldNotBeNull();
        await engine.ExecuteAsync("UPDATE runbooks SET fields = @fields, version = 2", new { fields = Fields("evil") });
        await engine.Canceller.CancelAsync(engine.Owner, (await engine.QueryAsync<string>("SELECT id FROM tasks"))!, null, Token);
        await engine.Ticks.RunOnceAsync(Token);
        (await TasksAsync(engine)).Count.ShouldBe(1);
        var paused = await FindAsync(engine, id);
        (paused.PausedAt is null, paused.WaitingTickAt, paused.Skipped).ShouldBe((false, null, 1));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task It_keeps_the_runbook_that_was_named_and_not_the_name(DatabaseKind kind)
    {
        await using var engine = await StartAsync(kind);
        var made = await MakeAsync(engine);
        (made.Task.RunbookId, made.RunbookVersion).ShouldBe((Deploy, 1));
        await engine.ExecuteAsync("UPDATE runbooks SET name = 'other'");
        await RunbookAsync(engine, "rb_00000000000000000000000002", "deploy", "evil");
        (await TickAsync(engine)).ShouldBe([(engine.Owner.UserId, "deploy")]);
    }

    [Theory]
    [InlineData(DatabaseKind.Sqlite, "UPDATE runbooks SET status = 'archived', version = 2", "Its runbook deploy is no longer active: usr_")]
    [InlineData(DatabaseKind.Postgres, "UPDATE runbooks SET status = 'archived', version = 2", "Its runbook deploy is no longer active: usr_")]
    [InlineData(DatabaseKind.Sqlite, "DELETE FROM runbooks", "Its runbook " + Deploy + " is gone.")]
    [InlineData(DatabaseKind.Postgres, "DELETE FROM runbooks", "Its runbook " + Deploy + " is gone.")]
    public async Task One_whose_runbook_is_out_of_use_is_paused_and_not_resumed(DatabaseKind kind, string loss, string reason)
    {
        await using var engine = await StartAsync(kind);
        var id = (await MakeAsync(engine)).Id;
        await engine.ExecuteAsync(loss);
        (await TickAsync(engine)).ShouldBeEmpty();
        (await FindAsync(engine, id)).PauseReason!.ShouldStartWith(reason);
        (await engine.Schedules.ResumeAsync(engine.Owner, id, Token)).Problem!.Value.Errors!.Keys.ShouldBe(["task.runbookId"]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Whoever_changes_what_runs_or_when_or_resumes_it_owns_it_and_a_name_or_a_pause_says_neither(DatabaseKind kind)
    {
        await using var engine = await StartAsync(kind);
        var mia = await engine.AddMemberAsync("mia", Role.Member);
        var id = (await MakeAsync(engine)).Id;
        async Task<string> OwnerAfterAsync(UpdateScheduleRequest change)
        {
            await engine.ExecuteAsync("UPDATE schedules SET owner_id = @UserId", new { engine.Owner.UserId });
            var changed = await engine.Schedules.UpdateAsync(mia, id, change, Token);
            changed.Problem?.Value.Detail.ShouldBeNull();
            return changed.Row!.OwnerId;
        }
        foreach (var nothing in new UpdateScheduleRequest[] { new() { Name = "renamed" }, new() { Cron = "* * * * *", TimeZone = "UTC", Overlap = OverlapRule.Allow, MissedRuns = MissedRunRule.Skip } })
            (await OwnerAfterAsync(nothing)).ShouldBe(engine.Owner.UserId, nothing.ToString());
        foreach (var change in new UpdateScheduleRequest[]
        {
            new() { Cron = "*/2 * * * *" }, new() { TimeZone = "Europe/Berlin" }, new() { Overlap = OverlapRule.Queue }, new() { MissedRuns = MissedRunRule.Once },
            new() { Task = new CreateTaskRequest { RunbookId = "deploy" } },
        })
            (await OwnerAfterAsync(change)).ShouldBe(mia.UserId, change.ToString());
        (await engine.QueryAsync<long>("SELECT count(*) FROM audit_events WHERE action = 'schedule.updated' AND detail LIKE @told", new { told = $"%; owner {mia.UserId} instead of {engine.Owner.UserId}" })).ShouldBe(5);

        await engine.ExecuteAsync("UPDATE schedules SET owner_id = @UserId", new { engine.Owner.UserId });
        (await engine.Schedules.PauseAsync(mia, id, null, Token)).Row!.OwnerId.ShouldBe(engine.Owner.UserId);
        (await engine.Schedules.ResumeAsync(mia, id, Token)).Row!.OwnerId.ShouldBe(mia.UserId);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_role_that_was_lost_since_the_request_was_admitted_changes_and_resumes_nothing(DatabaseKind kind)
    {
        await using var engine = await StartAsync(kind);
        var mia = await engine.AddMemberAsync("mia", Role.Member);
        var id = (await MakeAsync(engine)).Id;
        await engine.Schedules.PauseAsync(engine.Owner, id, null, Token);
        await engine.ExecuteAsync("UPDATE memberships SET role = 'viewer' WHERE user_id = @UserId", new { mia.UserId });
        (await engine.Schedules.UpdateAsync(mia, id, new UpdateScheduleRequest { Cron = "@hourly" }, Token)).Problem!.Value.Is(ErrorCode.Forbidden).ShouldBeTrue();
        (await engine.Schedules.ResumeAsync(mia, id, Token)).Problem!.Value.Is(ErrorCode.Forbidden).ShouldBeTrue();
        (await FindAsync(engine, id)).ShouldSatisfyAllConditions(s => s.Cron.ShouldBe("* * * * *"), s => s.PausedAt.ShouldNotBeNull(), s => s.OwnerId.ShouldBe(engine.Owner.UserId));
    }

    private static async Task<Engine> StartAsync(DatabaseKind kind)
    {
        var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("box");
        await RunbookAsync(engine, Deploy, "deploy", "deploy");
        return engine;
    }

    private static string Fields(string program) => JsonSerializer.Serialize(new RunbookFields
    {
        IntentTemplate = program, Mode = TaskMode.Command, ApprovalClass = ApprovalClass.None, Command = new CommandSpec { Argv = [program] },
        DefaultConstraints = new RunbookConstraints { Targets = new TargetSpec { Workstations = ["box"] } },
    }, WireJson.Default.RunbookFields);

    private static Task RunbookAsync(Engine engine, string id, string name, string program) => engine.ExecuteAsync("""
        INSERT INTO runbooks (id, organization_id, name, status, fields, version, created_by, updated_by, created_at, updated_at)
        VALUES (@id, @OrganizationId, @name, 'active', @fields, 1, @UserId, @UserId, 0, 0)
        """, new { id, name, fields = Fields(program), engine.Owner.OrganizationId, engine.Owner.UserId });

    private static async Task<ScheduleBody> MakeAsync(Engine engine, OverlapRule overlap = OverlapRule.Allow)
    {
        var made = await engine.Schedules.CreateAsync(engine.Owner, new CreateScheduleRequest
        {
            Name = "nightly", Cron = "* * * * *", Overlap = overlap, Task = new CreateTaskRequest { RunbookId = "deploy" },
        }, null, Token);
        made.Problem?.Value.Detail.ShouldBeNull();
        return made.Row!.ToBody();
    }

    private static async Task<ScheduleBody> FindAsync(Engine engine, string id) => (await engine.Schedules.FindAsync(engine.Owner.OrganizationId, id, Token))!.ToBody();

    /// <summary>A minute later; whose tasks there are, and what they run.</summary>
    private static async Task<IReadOnlyList<(string By, string Intent)>> TickAsync(Engine engine)
    {
        engine.Clock.Advance(TimeSpan.FromMinutes(1));
        await engine.Ticks.RunOnceAsync(Token);
        return await TasksAsync(engine);
    }

    private static async Task<IReadOnlyList<(string By, string Intent)>> TasksAsync(Engine engine) =>
        [.. (await engine.Store.ListAsync(engine.Owner.OrganizationId, null, null, null, null, null, 100, null, Token)).Items.Reverse().Select(t => (t.CreatedBy, t.Command!.Argv![0]))];
}
