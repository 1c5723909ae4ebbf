using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Tasks.Approvals;
using Tanjiren.Server.Webhooks;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Webhooks;

/// <summary>From the event to the receiver: a real control plane, real TLS, the clock in the test's hand.</summary>
public sealed class WebhookDeliveryTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_approval_is_told_when_it_is_asked_for_answered_and_over(DatabaseKind kind)
    {
        await using var scene = await WebhookScene.StartAsync(kind);
        var secret = await scene.SetAsync();
        await scene.Server.NewInstanceAsync("box");
        var asked = scene.Clock.GetUtcNow();
        var first = await scene.Server.AskAsync("the-secret-command");
        var approval = first.Approvals!.Single();
        await scene.PassAsync();

        var pending = scene.Receiver.Received.ShouldHaveSingleItem().Verify(secret);
        (pending.Type, pending.Timestamp).ShouldBe((WebhookEvents.ApprovalPending, asked));
        pending.Data.ShouldBe(new WebhookData
        {
            OrganizationId = scene.Server.Owner.OrganizationId, Workspace = "local", ApprovalId = approval.Id, TaskId = first.Id, Class = ApprovalClass.SensitiveWrite,
            RequestedBy = approval.RequestedBy, ExpiresAt = asked.AddDays(7), Url = $"{scene.Server.Url}/api/tasks/{first.Id}",
        });

        (await scene.Server.Client.PostJsonAsync($"/api/tasks/{first.Id}/approve", new AnswerApprovalRequest { Reason = "the-secret-reason" })).EnsureSuccessStatusCode();
        await scene.PassAsync();
        var approved = scene.Receiver.Received[^1].Verify(secret);
        (approved.Type, approved.Data.ApprovalId, approved.Data.DecidedBy, approved.Data.ExpiresAt).ShouldBe((WebhookEvents.ApprovalApproved, approval.Id, approval.RequestedBy, asked.AddMinutes(15)));

        var second = await scene.Server.AskAsync();
        (await scene.Server.Client.PostJsonAsync($"/api/tasks/{second.Id}/reject", new AnswerApprovalRequest { Reason = "the-secret-reason" })).EnsureSuccessStatusCode();
        await scene.PassAsync();
        scene.Receiver.Received.Select(m => m.Verify(secret)).Where(m => m.Data.TaskId == second.Id).Select(m => m.Type)
            .ShouldBe([WebhookEvents.ApprovalPending, WebhookEvents.ApprovalRejected], ignoreOrder: true);

        // Nothing claimed it in time: the first one is over, and another is asked for.
        scene.Clock.StepWall(TimeSpan.FromMinutes(15));
        await scene.Server.App.Services.GetRequiredService<ApprovalLoop>().RunOnceAsync(Token);
        await scene.PassAsync();
        var last = scene.Receiver.Received.TakeLast(2).Select(m => m.Verify(secret)).ToDictionary(m => m.Type, m => m.Data.ApprovalId);
        last[WebhookEvents.ApprovalExpired].ShouldBe(approval.Id);
        last[WebhookEvents.ApprovalPending].ShouldNotBe(approval.Id);

        scene.Receiver.Received.Count.ShouldBe(6);
        scene.Receiver.Received.Select(m => m.Id).ShouldBeUnique();
        foreach (var message in scene.Receiver.Received) message.Body.ShouldNotContain("the-secret");
        (await scene.DeliveriesAsync()).ShouldAllBe(d => d.State == WebhookDeliveryState.Delivered && d.Tries == 1 && d.LastStatus == 200 && d.NextTryAt == null);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_was_undone_is_not_told_and_without_a_webhook_nothing_is_kept(DatabaseKind kind)
    {
        await using var scene = await WebhookScene.StartAsync(kind);
        await scene.Server.NewInstanceAsync("box");
        await scene.Server.AskAsync();
        (await scene.DeliveriesAsync()).ShouldBeEmpty();

        await scene.SetAsync();
        await Should.ThrowAsync<InvalidOperationException>(() => scene.Server.Database.WriteAsync(async tx =>
        {
            await WebhookOutbox.TellAsync(tx, WebhookEvents.ApprovalPending, new ApprovalNews(scene.Server.Owner.OrganizationId, "apr_1", "task_1", ApprovalClass.SensitiveWrite, "usr_1", 1), 1);
            throw new InvalidOperationException("undone");
        }, Token));
        (await scene.DeliveriesAsync()).ShouldBeEmpty();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_is_not_taken_comes_again_after_pauses_as_the_same_message_signed_anew(DatabaseKind kind)
    {
        await using var scene = await WebhookScene.StartAsync(kind);
        var secret = await scene.SetAsync();
        scene.Receiver.AnswerWith(503);
        await scene.TestAsync();
        await scene.PassAsync();
        var failed = await scene.OnlyAsync();
        (failed.State, failed.Tries, failed.LastStatus, failed.LastError).ShouldBe((WebhookDeliveryState.Waiting, 1, 503, null));
        (failed.NextTryAt!.Value - scene.Clock.GetUtcNow()).TotalSeconds.ShouldBeInRange(8, 12);
        await scene.PassAsync();
        scene.Receiver.Received.Count.ShouldBe(1, "it is not due");

        scene.Clock.StepWall(TimeSpan.FromSeconds(12));
        await scene.PassAsync();
        ((await scene.OnlyAsync()).NextTryAt!.Value - scene.Clock.GetUtcNow()).TotalSeconds.ShouldBeInRange(16, 24);
        scene.Receiver.AnswerWith(204);
        scene.Clock.StepWall(TimeSpan.FromSeconds(24));
        await scene.PassAsync();

        var done = await scene.OnlyAsync();
        (done.State, done.Tries, done.LastStatus, done.NextTryAt, done.EndedAt).ShouldBe((WebhookDeliveryState.Delivered, 3, 204, null, scene.Clock.GetUtcNow()));
        scene.Receiver.Received.Select(m => m.Id).Distinct().ShouldHaveSingleItem().ShouldBe(done.Id);
        scene.Receiver.Received.Select(m => m.Body).Distinct().ShouldHaveSingleItem();
        scene.Receiver.Received.Select(m => m.Timestamp).ShouldBeUnique();
        foreach (var message in scene.Receiver.Received) message.Verify(secret).Type.ShouldBe(WebhookEvents.Test);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task It_is_given_up_within_a_day_and_forgotten_a_week_later(DatabaseKind kind)
    {
        await using var scene = await WebhookScene.StartAsync(kind);
        await scene.SetAsync();
        scene.Receiver.AnswerWith(500);
        await scene.TestAsync();
        var began = scene.Clock.GetUtcNow();
        await scene.PassAsync();
        while (await scene.OnlyAsync() is { NextTryAt: { } next })
        {
            scene.Clock.StepWall(next - scene.Clock.GetUtcNow());
            await scene.PassAsync();
        }
        var ended = await scene.OnlyAsync();
        (ended.State, ended.LastStatus).ShouldBe((WebhookDeliveryState.Failed, 500));
        (ended.EndedAt!.Value - began).TotalHours.ShouldBeInRange(22.5, 24);
        scene.Receiver.Received.Count.ShouldBe(ended.Tries);
        ended.Tries.ShouldBeInRange(25, 40);

        var sweeper = scene.Server.App.Services.GetRequiredService<ExpiredRowsLoop>();
        scene.Clock.StepWall(began + WebhookRules.Keep - TimeSpan.FromMinutes(1) - scene.Clock.GetUtcNow());
        await sweeper.RunOnceAsync(Token);
        (await scene.DeliveriesAsync()).Count.ShouldBe(1);
        scene.Clock.StepWall(TimeSpan.FromMinutes(1));
        await sweeper.RunOnceAsync(Token);
        (await scene.DeliveriesAsync()).ShouldBeEmpty();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_receiver_that_does_not_answer_holds_up_no_other_organization(DatabaseKind kind)
    {
        await using var scene = await WebhookScene.StartAsync(kind);
        var (otherId, other) = await scene.Server.NewOrganizationAsync();
        using var owner = other;
        await using var quick = await scene.NewReceiverAsync();
        await scene.SetAsync();
        await scene.SetAsync(owner, otherId, quick);
        var never = new TaskCompletionSource();
        scene.Receiver.Answer = _ => never.Task;
        for (var i = 0; i < 3; i++) await scene.TestAsync();

        await scene.TestAsync(owner, otherId);
        await scene.Loop.RunOnceAsync(Token);
        await Eventually.TrueAsync(async () => (await scene.DeliveriesAsync(owner, otherId)).All(d => d.State == WebhookDeliveryState.Delivered));
        await scene.TestAsync(owner, otherId);
        await Eventually.TrueAsync(async () =>
        {
            await scene.Loop.RunOnceAsync(Token);
            return quick.Received.Count == 2;
        });
        // One at a time to the one that hangs, and the clock has not moved.
        await Eventually.TrueAsync(() => scene.Receiver.Received.Count == 1);
        (await scene.DeliveriesAsync()).Count(d => d.Tries == 0).ShouldBe(2);
        scene.Clock.Advance(WebhookSender.Timeout);
        await Eventually.TrueAsync(async () => (await scene.DeliveriesAsync()).Any(d => d.LastError == "no answer within 10 s"));
        never.SetResult();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_receiver_that_takes_nothing_is_left_alone_whatever_waits_for_it_until_it_takes_one(DatabaseKind kind)
    {
        await using var scene = await WebhookScene.StartAsync(kind);
        await scene.SetAsync();
        await scene.Server.NewInstanceAsync("box");
        scene.Receiver.AnswerWith(503);
        for (var i = 0; i < 3; i++) await scene.Server.AskAsync();
        for (var i = 0; i < 3; i++) await scene.PassAsync();
        scene.Receiver.Received.Count.ShouldBe(1, "the other two are due, and it has just failed");
        scene.Clock.StepWall(TimeSpan.FromSeconds(12));
        for (var i = 0; i < 3; i++) await scene.PassAsync();
        scene.Receiver.Received.Count.ShouldBe(2);
        scene.Clock.StepWall(TimeSpan.FromSeconds(12));
        await scene.PassAsync();
        scene.Receiver.Received.Count.ShouldBe(2, "the second pause is twice as long, though for another message");

        scene.Receiver.AnswerWith(200);
        scene.Clock.StepWall(TimeSpan.FromSeconds(12));
        await scene.PassAsync();
        scene.Receiver.Received.Count.ShouldBe(5, "it takes one, so it gets them all");
        (await scene.DeliveriesAsync()).ShouldAllBe(d => d.State == WebhookDeliveryState.Delivered);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_test_is_sent_at_once_also_after_failures_and_before_what_waits(DatabaseKind kind)
    {
        await using var scene = await WebhookScene.StartAsync(kind);
        var secret = await scene.SetAsync();
        await scene.Server.NewInstanceAsync("box");
        scene.Receiver.AnswerWith(503);
        await scene.Server.AskAsync();
        await scene.Server.AskAsync();
        await scene.PassAsync();
        scene.Receiver.AnswerWith(200);
        await scene.TestAsync();
        await scene.PassAsync();
        scene.Receiver.Received[1].Verify(secret).Type.ShouldBe(WebhookEvents.Test);
        scene.Receiver.Received.Count.ShouldBe(3, "and then the one that was due");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Whoever_was_tried_longest_ago_comes_first(DatabaseKind kind)
    {
        await using var scene = await WebhookScene.StartAsync(kind);
        var (otherId, other) = await scene.Server.NewOrganizationAsync();
        using var owner = other;
        await using var quick = await scene.NewReceiverAsync();
        scene.Loop.MaxAtOnce = 1;
        await scene.SetAsync();
        scene.Receiver.AnswerWith(503);
        await scene.TestAsync();
        await scene.PassAsync();
        scene.Clock.StepWall(TimeSpan.FromSeconds(12));

        // Due for longer, but it had its turn.
        await scene.SetAsync(owner, otherId, quick);
        await scene.TestAsync(owner, otherId);
        await scene.PassAsync();
        (quick.Received.Count, scene.Receiver.Received.Count).ShouldBe((1, 1));
        await scene.PassAsync();
        (quick.Received.Count, scene.Receiver.Received.Count).ShouldBe((1, 2));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task So_many_messages_wait_and_no_more_and_none_longer_than_a_day(DatabaseKind kind)
    {
        await using var scene = await WebhookScene.StartAsync(kind);
        await scene.SetAsync();
        var now = scene.Clock.GetUtcNow().ToUnixTimeMilliseconds();
        await scene.Server.Database.WriteAsync(async tx =>
        {
            for (var i = 0; i <= WebhookRules.MaxWaiting; i++)
                await WebhookOutbox.TellAsync(tx, WebhookEvents.ApprovalPending, new ApprovalNews(scene.Server.Owner.OrganizationId, "apr_" + i, "task_1", ApprovalClass.SensitiveWrite, "usr_1", now), now + i);
        }, Token);
        Task<IReadOnlyList<DeliveryRow>> RowsAsync(string state) => scene.Server.Database.ReadAsync(
            sql => sql.ListAsync<DeliveryRow>("SELECT * FROM webhook_deliveries WHERE state = @state ORDER BY id", new { state }), Token);
        var dropped = (await RowsAsync("failed")).ShouldHaveSingleItem();
        (dropped.ApprovalId, dropped.LastError, dropped.NextTryAt, dropped.EndedAt is null).ShouldBe(("apr_0", "too many messages waited: it was the oldest", null, false));
        (await RowsAsync("waiting")).Count.ShouldBe(WebhookRules.MaxWaiting);

        scene.Clock.StepWall(WebhookRules.GiveUpAfter + TimeSpan.FromSeconds(1));
        await scene.PassAsync();
        scene.Receiver.Received.ShouldBeEmpty();
        (await RowsAsync("waiting")).ShouldBeEmpty();
        (await RowsAsync("failed"))[1].LastError.ShouldBe("not sent within 24 h");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Several_servers_send_each_message_once(DatabaseKind kind)
    {
        await using var scene = await WebhookScene.StartAsync(kind);
        await scene.SetAsync();
        await scene.Server.NewInstanceAsync("box");
        for (var i = 0; i < 12; i++) await scene.Server.AskAsync();
        WebhookLoop[] loops = [scene.Loop, scene.AnotherLoop(), scene.AnotherLoop()];
        await Eventually.TrueAsync(async () =>
        {
            await Task.WhenAll(loops.Select(loop => Task.Run(() => loop.RunOnceAsync(Token), Token)));
            await Task.WhenAll(loops.Select(loop => loop.SettleAsync()));
            return (await scene.DeliveriesAsync()).All(d => d.State == WebhookDeliveryState.Delivered);
        });
        scene.Receiver.Received.Select(m => m.Id).ShouldBe((await scene.DeliveriesAsync()).Select(d => d.Id), ignoreOrder: true);
        scene.Receiver.Received.Count.ShouldBe(12);
        foreach (var loop in loops.Skip(1)) loop.Dispose();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_a_server_had_begun_when_it_ended_is_sent_again_by_another_when_its_lease_is_over(DatabaseKind kind)
    {
        await using var scene = await WebhookScene.StartAsync(kind);
        await scene.SetAsync();
        var never = new TaskCompletionSource();
        scene.Receiver.Answer = _ => never.Task;
        await scene.TestAsync();
        using var ends = new CancellationTokenSource();
        using var ending = scene.AnotherLoop();
        await ending.RunOnceAsync(ends.Token);
        await Eventually.TrueAsync(() => scene.Receiver.Received.Count == 1);
        await ends.CancelAsync();
        await ending.SettleAsync();

        scene.Receiver.AnswerWith(200);
        await scene.PassAsync();
        var leased = await scene.OnlyAsync();
        (leased.State, leased.Tries, leased.NextTryAt).ShouldBe((WebhookDeliveryState.Waiting, 1, scene.Clock.GetUtcNow() + WebhookRules.Lease));
        scene.Clock.StepWall(WebhookRules.Lease);
        await scene.PassAsync();
        ((await scene.OnlyAsync()).State, scene.Receiver.Received.Count).ShouldBe((WebhookDeliveryState.Delivered, 2));
        scene.Receiver.Received.Select(m => m.Id).Distinct().ShouldHaveSingleItem();
        never.SetResult();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Who_outlived_the_lease_does_not_overwrite_what_the_next_one_recorded(DatabaseKind kind)
    {
        await using var scene = await WebhookScene.StartAsync(kind);
        await scene.SetAsync();
        var late = new TaskCompletionSource();
        scene.Receiver.Answer = async context =>
        {
            await late.Task;
            context.Response.StatusCode = 500;
        };
        await scene.TestAsync();
        using var slow = scene.AnotherLoop();
        await slow.RunOnceAsync(Token);
        await Eventually.TrueAsync(() => scene.Receiver.Received.Count == 1);
        scene.Clock.StepWall(WebhookRules.Lease); // the wall alone: the slow one's ten seconds have not passed
        scene.Receiver.AnswerWith(503);
        await scene.PassAsync();
        late.SetResult();
        await slow.SettleAsync();
        var now = await scene.OnlyAsync();
        (now.Tries, now.LastStatus, now.State).ShouldBe((2, 503, WebhookDeliveryState.Waiting));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_new_address_and_a_new_secret_count_for_what_waits_and_a_removed_webhook_drops_it(DatabaseKind kind)
    {
        await using var scene = await WebhookScene.StartAsync(kind);
        var old = await scene.SetAsync();
        scene.Receiver.AnswerWith(500);
        await scene.TestAsync();
        await scene.PassAsync();
        await using var moved = await scene.NewReceiverAsync();
        var saved = await (await scene.Server.Client.PutAsync(scene.Url, JsonHttp.Content(new SetWebhookRequest { Url = moved.Url, RotateSecret = true }), Token)).BodyAsync<SavedWebhook>();
        WebhookCalls.KeyOf(saved.Secret!).ShouldNotBe(old);
        scene.Clock.StepWall(TimeSpan.FromSeconds(12));
        await scene.PassAsync();
        moved.Received.ShouldHaveSingleItem().Verify(WebhookCalls.KeyOf(saved.Secret!));

        await scene.TestAsync();
        (await scene.Server.Client.DeleteAsync(scene.Url, Token)).EnsureSuccessStatusCode();
        (await scene.OnlyAsync()).State.ShouldBe(WebhookDeliveryState.Delivered, "what has ended is still listed");
        // As if an event had been written beside the removal.
        await scene.Server.Database.WriteAsync(tx => tx.ExecuteAsync("""
            INSERT INTO webhook_deliveries (id, organization_id, event, body, state, created_at, next_try_at) VALUES ('msg_left', @OrganizationId, 'approval.pending', '{}', 'waiting', 1, 1)
            """, new { scene.Server.Owner.OrganizationId }), Token);
        await scene.PassAsync();
        (await scene.OnlyAsync()).Id.ShouldNotBe("msg_left");
        moved.Received.Count.ShouldBe(1);
    }
}
