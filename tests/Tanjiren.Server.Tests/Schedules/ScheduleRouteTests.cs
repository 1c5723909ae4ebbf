using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Tests;
using static Tanjiren.Server.Tests.Schedules.ScheduleCalls;

namespace Tanjiren.Server.Tests.Schedules;

/// <summary>Schedules over HTTP, as people and their programs ask.</summary>
public sealed class ScheduleRouteTests
{
    private static readonly DateTimeOffset Noon = new(2026, 1, 1, 12, 0, 0, TimeSpan.Zero);

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_schedule_is_made_with_its_defaults_listed_changed_and_deleted(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = new ManualTimeProvider(Noon) });
        await server.NewInstanceAsync("box");
        var response = await server.Client.PostJsonAsync("/api/schedules", Every(" 30  2 * * *", "box") with { Name = " nightly " });
        response.StatusCode.ShouldBe(HttpStatusCode.Created);
        var made = await response.BodyAsync<ScheduleBody>();
        response.Headers.Location!.ToString().ShouldBe("/api/schedules/" + made.Id);
        (made.Name, made.Cron, made.TimeZone, made.Overlap, made.MissedRuns, made.Runs).ShouldBe(("nightly", "30 2 * * *", "UTC", OverlapRule.Forbid, MissedRunRule.Skip, 0));
        (made.NextRunAt, made.Task.TimeoutSeconds, made.Task.Intent).ShouldBe((Noon.AddHours(14.5), 86_400, "true"));

        var others = new List<string>();
        for (var i = 0; i < 3; i++) others.Add((await server.Client.CreateScheduleAsync(Every("@daily", "box"))).Id);
        var page = await server.Client.GetBodyAsync<Page<ScheduleBody>>("/api/schedules?limit=3");
        var rest = await server.Client.GetBodyAsync<Page<ScheduleBody>>("/api/schedules?cursor=" + page.NextCursor);
        page.Items.Concat(rest.Items).Select(s => s.Id).ShouldBe([.. new[] { made.Id }.Concat(others).Order(StringComparer.Ordinal)]);
        rest.NextCursor.ShouldBeNull();

        var path = "/api/schedules/" + made.Id;
        var changed = await (await server.Client.PatchJsonAsync(path, new UpdateScheduleRequest { TimeZone = "Europe/Berlin", Overlap = OverlapRule.Queue })).BodyAsync<ScheduleBody>();
        (changed.Cron, changed.NextRunAt, changed.Overlap, changed.MissedRuns, changed.OwnerId).ShouldBe(("30 2 * * *", Noon.AddHours(13.5), OverlapRule.Queue, MissedRunRule.Skip, made.OwnerId));
        (await (await server.Client.PatchJsonAsync(path, new UpdateScheduleRequest())).BodyAsync<ScheduleBody>()).Cron.ShouldBe("30 2 * * *");

        (await server.Client.DeleteAsync(path, Cancelled)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        await server.Client.DeleteAsync(path, Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await server.Client.GetAsync(path, Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        (await server.Database.ReadAsync(sql => sql.ListAsync<string>("SELECT action FROM audit_events WHERE subject = @Id", new { made.Id }), Cancelled))
            .ShouldBe(["schedule.created", "schedule.updated", "schedule.updated", "schedule.deleted"], ignoreOrder: true);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_422_names_every_field_those_of_the_task_under_task(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        await server.NewInstanceAsync("box");
        async Task<IEnumerable<string>> FieldsAsync(CreateScheduleRequest request) =>
            (await server.Client.PostJsonAsync("/api/schedules", request).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.Order();

        (await FieldsAsync(new())).ShouldBe(["cron", "name", "task"]);
        (await FieldsAsync(Every("* * *", "box") with { TimeZone = "Mars/Olympus", Name = new string('n', 101) })).ShouldBe(["cron", "name", "timeZone"]);
        (await FieldsAsync(Every(new string('*', 201), "box"))).ShouldBe(["cron"]);
        (await FieldsAsync(Every("@daily", "box") with { Task = new() })).ShouldBe(["task.command", "task.targets"]);
        (await FieldsAsync(Every("@daily", "box", "nobody"))).ShouldBe(["task.targets.workstations[1]"]);
        (await FieldsAsync(Every("@daily") with { Task = TaskCalls.On("box") with { Priority = 101, Retry = new() { MaxAttempts = 21 } } })).ShouldBe(["task.priority", "task.retry.maxAttempts"]);

        var made = await server.Client.CreateScheduleAsync(Every("@daily", "box"));
        foreach (var (change, field) in new (UpdateScheduleRequest, string)[]
        {
            (new() { Cron = "0 0 31 2 *" }, "cron"), (new() { TimeZone = "x" }, "timeZone"), (new() { Name = " " }, "name"), (new() { Task = TaskCalls.On("gone") }, "task.targets.workstations[0]"),
        })
            (await server.Client.PatchJsonAsync("/api/schedules/" + made.Id, change).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe([field]);
        foreach (var count in new[] { "0", "101", "x" })
            (await server.Client.GetAsync($"/api/schedules/{made.Id}/preview?count={count}", Cancelled).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe(["count"]);
        await server.Client.PostJsonAsync("/api/schedules", Every("@daily", "box") with { Name = made.Name }).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.NameTaken);
        var other = await server.Client.CreateScheduleAsync(Every("@daily", "box"));
        await server.Client.PatchJsonAsync("/api/schedules/" + other.Id, new UpdateScheduleRequest { Name = made.Name }).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.NameTaken);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task It_is_paused_resumed_and_previewed_across_a_clock_change(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = new ManualTimeProvider(new DateTimeOffset(2026, 3, 28, 0, 0, 0, TimeSpan.Zero)) });
        await server.NewInstanceAsync("box");
        var made = await server.Client.CreateScheduleAsync(Every("30 2 * * *", "box") with { TimeZone = "Europe/Berlin" });
        var path = "/api/schedules/" + made.Id;
        (await (await server.Client.PostAsync(path + "/resume", null, Cancelled)).BodyAsync<ScheduleBody>()).PausedAt.ShouldBeNull("it was not paused");
        (await server.Client.PostJsonAsync(path + "/pause", new PauseScheduleRequest { Reason = "\u0007" }).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe(["reason"]);
        var paused = await (await server.Client.PostJsonAsync(path + "/pause", new PauseScheduleRequest { Reason = "holiday" })).BodyAsync<ScheduleBody>();
        (paused.PauseReason, paused.NextRunAt).ShouldBe(("holiday", null));
        (await (await server.Client.PostAsync(path + "/pause", null, Cancelled)).BodyAsync<ScheduleBody>()).PauseReason.ShouldBe("holiday", "paused already");

        var preview = await server.Client.GetBodyAsync<SchedulePreviewBody>(path + "/preview?count=3");
        preview.Items.Select(i => i.Local).ShouldBe(["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]);
        (preview.TimeZone, preview.Items[0].At).ShouldBe(("Europe/Berlin", new DateTimeOffset(2026, 3, 28, 1, 30, 0, TimeSpan.Zero)));
        (await server.Client.GetBodyAsync<SchedulePreviewBody>(path + "/preview")).Items.Count.ShouldBe(10);
        (await (await server.Client.PostAsync(path + "/resume", null, Cancelled)).BodyAsync<ScheduleBody>()).NextRunAt.ShouldBe(preview.Items[0].At);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_person_runs_it_now_in_their_own_name_and_never_beside_itself(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        using var member = await server.NewMemberAsync(Role.Member);
        var made = await server.Client.CreateScheduleAsync(Every("@yearly", "box"));
        var path = $"/api/schedules/{made.Id}/run";
        var first = await member.SendWithKeyAsync<object>(path, null, "once");
        first.StatusCode.ShouldBe(HttpStatusCode.Created);
        var task = await first.BodyAsync<TaskBody>();
        (task.ScheduleId, task.ScheduleTickAt, task.CreatedBy).ShouldBe((made.Id, null, (await member.GetBodyAsync<IdentityBody>("/api/auth/me")).UserId));
        var again = await member.SendWithKeyAsync<object>(path, null, "once");
        (again.StatusCode, (await again.BodyAsync<TaskBody>()).Id).ShouldBe((HttpStatusCode.OK, task.Id));
        (await member.PostAsync(path, null, Cancelled).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict)).Hint!.ShouldContain(task.Id);

        await agent.ClaimAsync(task.StepId());
        await agent.CompleteAsync(task.StepId());
        (await member.PostAsync(path, null, Cancelled)).StatusCode.ShouldBe(HttpStatusCode.Created);
        await server.Client.PatchJsonAsync("/api/schedules/" + made.Id, new UpdateScheduleRequest { Overlap = OverlapRule.Allow });
        (await member.PostAsync(path, null, Cancelled)).StatusCode.ShouldBe(HttpStatusCode.Created);
        var shown = await server.Client.ScheduleAsync(made.Id);
        (shown.Runs, shown.NextRunAt, shown.OwnerId).ShouldBe((3, made.NextRunAt, made.OwnerId));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Whoever_gives_another_task_or_time_becomes_its_owner(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        await server.NewInstanceAsync("box");
        using var member = await server.NewMemberAsync(Role.Member);
        var me = (await member.GetBodyAsync<IdentityBody>("/api/auth/me")).UserId;
        var made = await server.Client.CreateScheduleAsync(Every("@daily", "box"));
        var path = "/api/schedules/" + made.Id;
        (await (await member.PatchJsonAsync(path, new UpdateScheduleRequest { Name = "theirs" })).BodyAsync<ScheduleBody>()).OwnerId.ShouldBe(made.OwnerId);
        (await (await member.PatchJsonAsync(path, new UpdateScheduleRequest { Task = TaskCalls.On("box") })).BodyAsync<ScheduleBody>()).OwnerId.ShouldBe(me);
        (await (await server.Client.PatchJsonAsync(path, new UpdateScheduleRequest { Cron = "@hourly" })).BodyAsync<ScheduleBody>()).OwnerId.ShouldBe(made.OwnerId);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_idempotency_key_makes_one_schedule(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        await server.NewInstanceAsync("box");
        var request = Every("@daily", "box");
        var first = await server.Client.SendWithKeyAsync("/api/schedules", request, "key");
        var again = await server.Client.SendWithKeyAsync("/api/schedules", request, "key");
        (first.StatusCode, again.StatusCode).ShouldBe((HttpStatusCode.Created, HttpStatusCode.OK));
        var made = await first.BodyAsync<ScheduleBody>();
        (await again.BodyAsync<ScheduleBody>()).Id.ShouldBe(made.Id);
        await server.Client.SendWithKeyAsync("/api/schedules", request with { Cron = "@hourly" }, "key").ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.IdempotencyKeyReused);
        (await server.Client.DeleteAsync("/api/schedules/" + made.Id, Cancelled)).EnsureSuccessStatusCode();
        await server.Client.SendWithKeyAsync("/api/schedules", request, "key").ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        // A request that was refused leaves its key free.
        await server.Client.SendWithKeyAsync("/api/schedules", Every("@daily", "later") with { Name = "later" }, "free").ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed);
        await server.NewInstanceAsync("later");
        (await server.Client.SendWithKeyAsync("/api/schedules", Every("@daily", "later") with { Name = "later" }, "free")).StatusCode.ShouldBe(HttpStatusCode.Created);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task People_of_another_organization_find_no_schedule_and_retry_no_task(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var made = await server.Client.CreateScheduleAsync(Every("@daily", "box"));
        var task = await server.Client.CreateTaskAsync(agent);
        (await server.Client.CancelAsync(task.Id)).EnsureSuccessStatusCode();
        var (_, stranger) = await server.NewOrganizationAsync();
        foreach (var (method, path) in new[]
        {
            ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/run"), ("GET", "/preview"),
        })
        {
            using var request = new HttpRequestMessage(new HttpMethod(method), $"/api/schedules/{made.Id}{path}");
            if (method == "PATCH") request.Content = JsonHttp.Content(new UpdateScheduleRequest { Name = "theirs" });
            await stranger.SendAsync(request, Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        }
        await stranger.PostAsync($"/api/tasks/{task.Id}/retry", null, Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        (await stranger.GetBodyAsync<Page<ScheduleBody>>("/api/schedules")).Items.ShouldBeEmpty();
        (await server.Client.ScheduleAsync(made.Id)).ShouldSatisfyAllConditions(s => s.Name.ShouldBe(made.Name), s => s.PausedAt.ShouldBeNull(), s => s.Runs.ShouldBe(0));
        // The same name in two organizations is two names.
        await server.NewInstanceAsync("box", admin: stranger);
        (await stranger.PostJsonAsync("/api/schedules", Every("@daily", "box") with { Name = made.Name })).StatusCode.ShouldBe(HttpStatusCode.Created);
        stranger.Dispose();
    }
}
