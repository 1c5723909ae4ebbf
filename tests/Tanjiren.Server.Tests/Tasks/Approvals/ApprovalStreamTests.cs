using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Tasks.Approvals;
using Tanjiren.Server.Tests.Organizations.Invitations;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Tests;
using static Tanjiren.Server.Tests.Tasks.Http.TaskCalls;

namespace Tanjiren.Server.Tests.Tasks.Approvals;

/// <summary>
/// The stream of the inbox. The server's clock stands still unless a test moves it: no keep-alive makes the stream look, so what is told was told by the wake-up of
/// the change itself.
/// </summary>
public sealed class ApprovalStreamTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Those_that_wait_come_first_and_then_each_that_is_asked_approved_rejected_or_withdrawn(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        await using var server = await StartAsync(kind, clock);
        using var viewer = await server.NewMemberAsync(Role.Viewer);
        var first = await AskAsync(server.Client);
        clock.Advance(TimeSpan.FromMilliseconds(1)); // ids of one millisecond have no order
        var second = await AskAsync(server.Client);
        var (reader, pending) = await InboxReader.OpenToNewsAsync(viewer);
        await using var _ = reader;
        pending.ShouldBe([IdOf(first), IdOf(second)], "oldest first");

        var third = await AskAsync(server.Client, "a third");
        var asked = (await reader.ReadAsync())!;
        (asked.Name, asked.Approval!.Id, asked.Approval.State, asked.Approval.Intent).ShouldBe((ApprovalEvents.Requested, IdOf(third), ApprovalState.Pending, "a third"));

        await AnswerAsync(server, first, "approve");
        var approved = (await reader.ReadAsync())!;
        (approved.Name, approved.Approval!.Id, approved.Approval.State, approved.Approval.DecidedBy).ShouldBe((ApprovalEvents.Approved, IdOf(first), ApprovalState.Approved, (await server.Client.GetBodyAsync<IdentityBody>("/api/auth/me")).UserId));
        await AnswerAsync(server, second, "reject");
        var rejected = (await reader.ReadAsync())!;
        (rejected.Name, rejected.Approval!.Id, rejected.Approval.Reason).ShouldBe((ApprovalEvents.Rejected, IdOf(second), "because"));

        var changed = await (await server.Client.PatchJsonAsync("/api/tasks/" + third.Id, new UpdateTaskRequest { Priority = 3 })).BodyAsync<TaskBody>();
        (await reader.NextAsync()).ShouldBe((ApprovalEvents.Withdrawn, IdOf(third)));
        (await reader.NextAsync()).ShouldBe((ApprovalEvents.Requested, IdOf(changed)), "it asks anew");
        (await server.Client.CancelAsync(third.Id)).EnsureSuccessStatusCode();
        (await reader.NextAsync()).ShouldBe((ApprovalEvents.Withdrawn, IdOf(changed)));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_nobody_answers_is_told_as_expired_and_what_nobody_used_is_asked_again(DatabaseKind kind)
    {
        await using var server = await StartAsync(kind);
        var (unanswered, unused) = (await AskAsync(server.Client), await AskAsync(server.Client));
        await AnswerAsync(server, unused, "approve");
        var (reader, pending) = await InboxReader.OpenToNewsAsync(server.Client);
        await using var _ = reader;
        pending.ShouldBe([IdOf(unanswered)]);

        await ExpireAsync(server, unanswered);
        var expired = (await reader.ReadAsync())!;
        (expired.Name, expired.Approval!.Id, expired.Approval.State).ShouldBe((ApprovalEvents.Expired, IdOf(unanswered), ApprovalState.Expired));
        await ExpireAsync(server, unused);
        (await reader.NextAsync()).ShouldBe((ApprovalEvents.Requested, IdOf(await server.Client.TaskAsync(unused.Id))));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Who_comes_back_is_told_what_waits_now_under_a_name_of_its_own(DatabaseKind kind)
    {
        await using var server = await StartAsync(kind);
        var (answered, waiting) = (await AskAsync(server.Client), await AskAsync(server.Client));
        var (before, pending) = await InboxReader.OpenToNewsAsync(server.Client);
        pending.ShouldBe([IdOf(answered), IdOf(waiting)], ignoreOrder: true);
        await before.DisposeAsync();

        await AnswerAsync(server, answered, "reject");
        var asked = await AskAsync(server.Client);
        var (after, now) = await InboxReader.OpenToNewsAsync(server.Client); // each of them as pending, none as news
        await using var _ = after;
        now.ShouldBe([IdOf(waiting), IdOf(asked)], ignoreOrder: true);
    }

    /// <summary>A hint may be lost on its way from another server process.</summary>
    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_change_without_a_hint_is_told_with_the_next_keep_alive(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        await using var server = await StartAsync(kind, clock);
        var task = await AskAsync(server.Client);
        var (reader, _) = await InboxReader.OpenToNewsAsync(server.Client);
        await using var open = reader;
        await server.Database.WriteAsync(tx => tx.ExecuteAsync("UPDATE approvals SET state = 'withdrawn'"), Cancelled);
        var next = reader.NextAsync();
        await Eventually.TrueAsync(() =>
        {
            clock.Advance(ServerSentEvents.KeepAlive / 3);
            return next.IsCompleted;
        });
        (await next).ShouldBe((ApprovalEvents.Withdrawn, IdOf(task)));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_inbox_of_more_than_a_batch_is_told_whole(DatabaseKind kind)
    {
        await using var server = await StartAsync(kind);
        var asked = new List<string>();
        await server.NewInstanceAsync("many");
        for (var i = 0; i < 70; i++) asked.Add(IdOf(await AskAsync(server.Client, on: "many")));
        var (reader, pending) = await InboxReader.OpenToNewsAsync(server.Client);
        await using var _ = reader;
        pending.ShouldBe(asked, ignoreOrder: true);
        await server.Database.WriteAsync(tx => tx.ExecuteAsync("UPDATE approvals SET state = 'withdrawn'"), Cancelled);
        server.App.Services.GetRequiredService<WakeUps>().Notify(WakeUps.Inbox(server.Owner.OrganizationId));
        var gone = new List<string>();
        while (gone.Count < asked.Count)
        {
            var (name, id) = await reader.NextAsync();
            name.ShouldBe(ApprovalEvents.Withdrawn);
            gone.Add(id!);
        }
        gone.ShouldBe(pending, ignoreOrder: true);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Another_organizations_are_never_told(DatabaseKind kind)
    {
        await using var server = await StartAsync(kind);
        var (_, stranger) = await server.NewOrganizationAsync();
        using var other = stranger;
        await server.NewInstanceAsync("theirs", admin: stranger);
        var theirs = await AskAsync(stranger, on: "theirs");
        var ours = await AskAsync(server.Client);
        var (reader, pending) = await InboxReader.OpenToNewsAsync(server.Client);
        await using var _ = reader;
        pending.ShouldBe([IdOf(ours)]);
        var (theirReader, theirPending) = await InboxReader.OpenToNewsAsync(stranger);
        await using var __ = theirReader;
        theirPending.ShouldBe([IdOf(theirs)]);

        // Each looks also when only the other's inbox has changed, as a hint that comes for nothing makes it.
        var wakeUps = server.App.Services.GetRequiredService<WakeUps>();
        var (more, theirMore) = (await AskAsync(server.Client), await AskAsync(stranger, on: "theirs"));
        wakeUps.NotifyAllLocal();
        (await reader.NextAsync()).ShouldBe((ApprovalEvents.Requested, IdOf(more)));
        (await theirReader.NextAsync()).ShouldBe((ApprovalEvents.Requested, IdOf(theirMore)));
        await AnswerAsync(server, ours, "reject");
        (await reader.NextAsync()).ShouldBe((ApprovalEvents.Rejected, IdOf(ours)));
        (await stranger.PostJsonAsync($"/api/tasks/{theirs.Id}/reject", new AnswerApprovalRequest { Reason = "because" })).EnsureSuccessStatusCode();
        (await theirReader.NextAsync()).ShouldBe((ApprovalEvents.Rejected, IdOf(theirs)));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task It_ends_with_the_readers_membership_and_when_the_server_stops(DatabaseKind kind)
    {
        await using var server = await StartAsync(kind);
        using var member = await server.NewMemberAsync(Role.Viewer);
        var (reader, _) = await InboxReader.OpenToNewsAsync(member);
        await using var one = reader;
        var (owners, _) = await InboxReader.OpenToNewsAsync(server.Client);
        await using var two = owners;
        var me = await member.GetBodyAsync<IdentityBody>("/api/auth/me");
        (await server.Client.DeleteAsync($"{server.MembersUrl()}/{me.UserId}", Cancelled)).EnsureSuccessStatusCode();
        (await reader.ReadAsync()).ShouldBeNull();

        var asked = await AskAsync(server.Client);
        (await owners.NextAsync()).ShouldBe((ApprovalEvents.Requested, IdOf(asked)), "the owner's goes on");
        await server.App.StopAsync(Cancelled);
        (await owners.ReadAsync()).ShouldBeNull();
    }

    [Fact]
    public async Task What_is_asked_and_answered_at_one_server_is_told_at_another()
    {
        await using var database = await TestDatabase.CreateAsync(DatabaseKind.Postgres, ServerFixture.MigrateAsync);
        await using var here = await ServerFixture.StartAsync(database.Url);
        // Its clock stands still: no keep-alive makes this one look.
        await using var there = await ServerFixture.StartAsync(database.Url, o => o with { Clock = new ManualTimeProvider(TimeProvider.System.GetUtcNow()) });
        await Eventually.TrueAsync(async () => await here.Database.ReadAsync(sql => sql.FirstAsync<long>(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'"), Cancelled) == 2, what: "both servers listen");
        var (reader, pending) = await InboxReader.OpenToNewsAsync(there.Client);
        await using var _ = reader;
        pending.ShouldBeEmpty();
        for (var round = 0; round < 3; round++)
        {
            var task = await AskAsync(here.Client, on: round == 0 ? (await here.NewInstanceAsync("box")).Id : "box");
            (await reader.NextAsync()).ShouldBe((ApprovalEvents.Requested, IdOf(task)));
            await AnswerAsync(here, task, round == 1 ? "approve" : "reject");
            (await reader.NextAsync()).ShouldBe((round == 1 ? ApprovalEvents.Approved : ApprovalEvents.Rejected, IdOf(task)));
        }
    }

    /// <summary>Nothing is lost between the first look and the wait, between two looks, or between two connections.</summary>
    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task While_people_ask_and_answer_a_reader_knows_in_the_end_what_waits_and_so_does_one_that_comes_back(DatabaseKind kind)
    {
        var seed = Environment.TickCount;
        TestContext.Current.TestOutputHelper!.WriteLine($"seed {seed}");
        await using var server = await StartAsync(kind);
        await server.NewInstanceAsync("busy");
        await using var steady = await InboxReader.OpenAsync(server.Client);
        var people = Task.Run(() => PlayAsync(server, new Random(seed)), Cancelled);
        while (!people.IsCompleted)
        {
            var (brief, _) = await InboxReader.OpenToNewsAsync(server.Client);
            await brief.DisposeAsync();
        }
        var open = await people;
        (await server.Client.GetBodyAsync<Page<ApprovalBody>>("/api/approvals?state=pending&limit=100")).Items.Select(a => a.Id).ShouldBe(open, ignoreOrder: true);

        var waiting = new HashSet<string>();
        for (var current = false; !current || !waiting.SetEquals(open);)
        {
            var (name, id) = await steady.NextAsync();
            if (name == ApprovalEvents.Current) current.ShouldBeFalse($"seed {seed}");
            else if (name is ApprovalEvents.Pending or ApprovalEvents.Requested) waiting.Add(id!).ShouldBeTrue($"seed {seed}: {id} is told twice");
            else waiting.Remove(id!).ShouldBeTrue($"seed {seed}: {id} is {name} and was never told to wait");
            current |= name == ApprovalEvents.Current;
        }
        var (after, pending) = await InboxReader.OpenToNewsAsync(server.Client);
        await using var _ = after;
        pending.ShouldBe(open, ignoreOrder: true, $"seed {seed}");
    }

    /// <summary>Asks and answers, one after the other without a pause; what waits in the end: one at least.</summary>
    private static async Task<IReadOnlyList<string>> PlayAsync(ServerFixture server, Random random)
    {
        var open = new List<TaskBody>();
        for (var i = 0; i < 60; i++)
        {
            if (open.Count < 2 || random.Next(2) == 0)
            {
                open.Add(await AskAsync(server.Client, on: "busy"));
                continue;
            }
            var task = open[random.Next(open.Count)];
            open.Remove(task);
            if (random.Next(3) == 0) (await server.Client.CancelAsync(task.Id)).EnsureSuccessStatusCode();
            else await AnswerAsync(server, task, random.Next(2) == 0 ? "approve" : "reject");
        }
        return [.. open.Select(IdOf)];
    }

    private static Task<ServerFixture> StartAsync(DatabaseKind kind, ManualTimeProvider? clock = null) =>
        ServerFixture.StartAsync(kind, o => o with { Clock = clock ?? new ManualTimeProvider() });

    /// <summary>A task that waits for an approval, on this workstation or a new one.</summary>
    private static async Task<TaskBody> AskAsync(HttpClient asker, string intent = "ask", string? on = null)
    {
        on ??= (await (await asker.PostJsonAsync("/api/instances", new CreateInstanceRequest { Name = "ws " + Guid.NewGuid().ToString("n") })).BodyAsync<InstanceBody>()).Id;
        var task = await asker.CreateTaskAsync(On(on) with { Intent = intent, ApprovalClass = ApprovalClass.SensitiveWrite });
        task.ApprovalStatus.ShouldBe(ApprovalStatus.Pending);
        return task;
    }

    private static async Task AnswerAsync(ServerFixture server, TaskBody task, string verb) =>
        (await server.Client.PostJsonAsync($"/api/tasks/{task.Id}/{verb}", new AnswerApprovalRequest { Reason = "because" })).EnsureSuccessStatusCode();

    /// <summary>Its time is over, and the loop comes by.</summary>
    private static async Task ExpireAsync(ServerFixture server, TaskBody task)
    {
        await server.Database.WriteAsync(tx => tx.ExecuteAsync("UPDATE approvals SET expires_at = 1 WHERE task_id = @Id", new { task.Id }), Cancelled);
        await server.App.Services.GetRequiredService<ApprovalLoop>().RunOnceAsync(Cancelled);
    }

    private static string IdOf(TaskBody task) => task.Approvals![^1].Id;
}
