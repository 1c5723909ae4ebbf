using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Tests.Organizations.Invitations;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.DeviceTrust.Rotations;

/// <summary>A workstation asks for another key, an admin answers.</summary>
public sealed class KeyRotationTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_approved_key_takes_the_place_of_the_old_one_and_what_runs_goes_on(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var old = await server.NewAgentAsync("box");
        using var next = old.WithNewKey();
        var task = await server.Client.CreateTaskAsync(old);
        var claim = await old.ClaimAsync(task.StepId());
        await old.AppendAsync(task.StepId(), AgentCalls.Chunk(1, "before\n"));

        var asked = await old.RequestKeyAsync(next);
        (asked.Kind, asked.State, asked.NewFingerprint, asked.NewFingerprintStart, asked.TriesLeft).ShouldBe(
            (KeyRotationKind.Rotation, KeyRotationState.Pending, null, next.Fingerprint()[..8], 5));
        (await old.TryBeatAsync()).EnsureSuccessStatusCode();
        (await (await old.RefreshAsync()).BodyAsync<DeviceTokenResponse>()).Approval.ShouldBeNull("it was paired");
        await next.RefreshAsync().ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.KeyRevoked);

        var approved = await server.Client.ApproveKeyAsync(asked, next);
        (approved.State, approved.OldFingerprint, approved.NewFingerprint).ShouldBe((KeyRotationState.Approved, old.Fingerprint(), next.Fingerprint()));
        await old.IsRefusedAsync(ErrorCode.KeyRotated);
        await old.TryAppendAsync(task.StepId(), claim.LeaseGeneration, AgentCalls.Chunk(2, "by the old key\n")).ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.KeyRotated);
        await old.TryRequestKeyAsync(old.RequestFor(next)).ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.KeyRotated);

        var token = await (await next.RefreshAsync()).BodyAsync<DeviceTokenResponse>();
        var word = KeyRecord.Read(token.Approval, KeyRecord.ApprovalType).ShouldNotBeNull("the machine must not give its old key up for less");
        (word.Claims.Sub, word.Claims.Prev, word.Claims.Jkt, word.Signer.Thumbprint()).ShouldBe((old.InstanceId, old.Fingerprint(), next.Fingerprint(), old.ServerKey!.Thumbprint()));
        await next.SignInAsync();
        (await next.BeatAsync()).Leases.Single().StepId.ShouldBe(task.StepId(), "the session holds what it held");
        await next.AppendAsync(task.StepId(), AgentCalls.Chunk(2, "after\n"));
        await next.CompleteAsync(task.StepId(), finalLogSeq: 2);
        var done = await server.Client.TaskAsync(task.Id);
        (done.State, done.Execution!.Steps[0].Attempts).ShouldBe((TaskState.Completed, 1));
        (await server.Client.GetBodyAsync<InstanceBody>("/api/instances/box")).KeyFingerprint.ShouldBe(next.Fingerprint());
        // The same answer again, and the same request again by the machine that has gone on.
        (await server.Client.ApproveKeyAsync(asked, next)).Id.ShouldBe(asked.Id);
        (await (await next.TryRequestKeyAsync(old.RequestFor(next))).BodyAsync<KeyRotationBody>()).State.ShouldBe(KeyRotationState.Approved);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_request_whose_body_comes_after_the_approval_is_refused(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var old = await server.NewAgentAsync("box");
        using var next = old.WithNewKey();
        var asked = await old.RequestKeyAsync(next);
        using var slow = await SlowBody.BeginAsync(server, old);

        await server.Client.ApproveKeyAsync(asked, next);
        (await slow.EndAsync()).ShouldSatisfyAllConditions(
            answer => answer.ShouldContain("HTTP/1.1 401"),
            answer => answer.ShouldContain("\"code\":\"key_rotated\""));
        await next.SignInAsync();
        (await next.TryBeatAsync()).EnsureSuccessStatusCode();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_body_that_does_not_come_is_not_waited_for_longer_than_a_minute(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = clock });
        using var device = await server.NewAgentAsync("box");
        (await device.TryBeatAsync()).EnsureSuccessStatusCode();
        using var slow = await SlowBody.BeginAsync(server, device, clock);
        clock.Advance(TimeSpan.FromSeconds(60));
        (await slow.AnswerAsync()).ShouldSatisfyAllConditions(
            answer => answer.ShouldContain("HTTP/1.1 408"),
            answer => answer.ShouldContain("\"code\":\"body_too_slow\""));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_chain_of_three_keys_verifies_from_each_of_them_and_every_answer_is_audited(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var first = await server.NewAgentAsync("box");
        using var second = first.WithNewKey();
        using var third = first.WithNewKey();
        using var admin = await server.NewMemberAsync(Role.Admin);
        var me = (await admin.GetBodyAsync<IdentityBody>("/api/auth/me")).UserId;
        KeyChain.Verify(await server.Client.KeysAsync("box"), first.Fingerprint(), false).Verdict.ShouldBe(KeyChainVerdict.Verified);

        var one = await first.RequestKeyAsync(second);
        await server.Client.ApproveKeyAsync(one, second);
        await second.SignInAsync();
        var two = await second.RequestKeyAsync(third);
        (await server.Client.KeysAsync("box")).Pending!.Id.ShouldBe(two.Id);
        await admin.ApproveKeyAsync(two, third);

        var chain = await server.Client.KeysAsync("box");
        (chain.Pending, chain.Current, chain.InstanceId).ShouldBe((null, third.Fingerprint(), first.InstanceId));
        chain.Changes.Select(c => (c.Number, c.Kind, c.Fingerprint)).ShouldBe([(1, KeyRotationKind.Rotation, second.Fingerprint()), (2, KeyRotationKind.Rotation, third.Fingerprint())]);
        chain.Changes[1].ApprovedBy.ShouldBe(me);
        foreach (var key in new[] { first, second, third }) KeyChain.Verify(chain, key.Fingerprint(), false).Verdict.ShouldBe(KeyChainVerdict.Verified);
        KeyChain.Verify(chain, first.Fingerprint(), false).Links.Select(l => l.Standing).ShouldBe([KeyStanding.Anchor, KeyStanding.Vouched, KeyStanding.Vouched]);
        KeyChain.Verify(chain, third.Fingerprint(), false).Links.Select(l => l.Standing).ShouldBe([KeyStanding.BeforeAnchor, KeyStanding.BeforeAnchor, KeyStanding.Anchor]);

        var rotated = await server.AuditAsync("workstation.key_rotated");
        rotated.Select(r => r.Subject).ShouldBe([first.InstanceId, first.InstanceId]);
        rotated[1].Actor.ShouldBe(me);
        rotated[1].Detail.ShouldBe($"{two.Id}: key {third.Fingerprint()} for {second.Fingerprint()}, change 2");
        (await server.AuditAsync("workstation.key_rotation_requested")).Select(r => r.Actor).ShouldBe([first.InstanceId, first.InstanceId]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Asked_again_it_is_the_same_request_and_another_key_takes_its_place_for_good(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var old = await server.NewAgentAsync("box");
        using var lost = old.WithNewKey();
        using var next = old.WithNewKey();
        var first = await old.RequestKeyAsync(lost);
        (await old.RequestKeyAsync(lost)).Id.ShouldBe(first.Id);
        (await server.AuditAsync("workstation.key_rotation_requested")).ShouldHaveSingleItem();

        var second = await old.RequestKeyAsync(next);
        second.Id.ShouldNotBe(first.Id);
        (await old.RequestKeyAsync(lost)).State.ShouldBe(KeyRotationState.Withdrawn, "it does not come back by being asked for again");
        (await server.Client.TryApproveKeyAsync(first, lost.Last8()).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict)).CurrentState.ShouldBe("withdrawn");
        (await server.AuditAsync("workstation.key_rotation_withdrawn")).ShouldHaveSingleItem().Detail.ShouldContain(first.Id);
        // The admin means one request: what is typed for the other key is no answer to this one.
        await server.Client.TryApproveKeyAsync(second, lost.Last8()).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.FingerprintMismatch);
        (await server.Client.ApproveKeyAsync(second, next)).NewFingerprint.ShouldBe(next.Fingerprint());
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_thief_with_the_old_key_is_found_by_the_fingerprint_and_five_wrong_ones_end_the_request(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var owner = await server.NewAgentAsync("box");
        using var thief = owner.Clone();
        using var own = owner.WithNewKey();
        using var stolen = owner.WithNewKey();
        await owner.RequestKeyAsync(own);
        var asked = await thief.RequestKeyAsync(stolen);

        // Until it is approved nobody but the machine that made it shows the end of it.
        var shown = await server.Client.GetStringAsync("/api/instances/box/keys", Cancelled);
        shown.ShouldContain(stolen.Fingerprint()[..8]);
        shown.ShouldNotContain(stolen.Last8());
        (await server.AuditAsync("workstation.key_rotation_requested")).ShouldAllBe(row => !row.Detail.Contains(stolen.Last8(), StringComparison.Ordinal));

        for (var left = 4; left > 0; left--)
            (await server.Client.TryApproveKeyAsync(asked, own.Last8()).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.FingerprintMismatch)).Detail!.ShouldContain($"Tries left: {left}.");
        (await server.Client.KeysAsync("box")).Pending!.TriesLeft.ShouldBe(1);
        var last = await server.Client.TryApproveKeyAsync(asked, own.Last8()).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.FingerprintMismatch);
        (last.CurrentState, last.Detail!.Contains("The request is rejected.", StringComparison.Ordinal)).ShouldBe(("rejected", true));
        await server.Client.TryApproveKeyAsync(asked, stolen.Last8()).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict);
        (await thief.RequestKeyAsync(stolen)).State.ShouldBe(KeyRotationState.Rejected);
        (await owner.TryBeatAsync()).EnsureSuccessStatusCode();
        (await server.AuditAsync("workstation.key_fingerprint_mismatch")).Count.ShouldBe(5);
        (await server.AuditAsync("workstation.key_rotation_rejected")).ShouldHaveSingleItem().Detail.ShouldContain("5 fingerprints did not match");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Rejected_the_old_key_goes_on_and_only_the_same_person_is_answered_the_same(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var old = await server.NewAgentAsync("box");
        using var next = old.WithNewKey();
        using var other = old.WithNewKey();
        using var admin = await server.NewMemberAsync(Role.Admin);
        var asked = await old.RequestKeyAsync(next);

        (await (await admin.TryRejectKeyAsync(asked, "nobody asked me")).BodyAsync<KeyRotationBody>()).Reason.ShouldBe("nobody asked me");
        (await admin.TryRejectKeyAsync(asked)).StatusCode.ShouldBe(HttpStatusCode.OK);
        await server.Client.TryRejectKeyAsync(asked).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict);
        await server.Client.TryApproveKeyAsync(asked, next.Last8()).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict);
        (await server.AuditAsync("workstation.key_rotation_rejected")).ShouldHaveSingleItem().Detail.ShouldBe($"{asked.Id}: nobody asked me");
        (await old.TryBeatAsync()).EnsureSuccessStatusCode();
        (await old.RequestKeyAsync(other)).State.ShouldBe(KeyRotationState.Pending);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task After_seven_days_a_request_is_over_whatever_the_clock_says_then(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = clock });
        using var old = await server.NewDeviceAsync("box");
        using var next = old.WithNewKey();
        using var again = old.WithNewKey();
        var asked = await old.RequestKeyAsync(next);
        clock.StepWall(TimeSpan.FromDays(7) - TimeSpan.FromSeconds(1));
        (await server.Client.KeysAsync("box")).Pending!.Id.ShouldBe(asked.Id);
        clock.StepWall(TimeSpan.FromSeconds(1));

        (await server.Client.KeysAsync("box")).Pending.ShouldBeNull();
        (await server.Client.TryApproveKeyAsync(asked, next.Last8()).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict)).CurrentState.ShouldBe("expired");
        clock.StepWall(TimeSpan.FromHours(-1));
        (await server.Client.TryApproveKeyAsync(asked, next.Last8()).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict)).CurrentState.ShouldBe("expired");
        clock.StepWall(TimeSpan.FromHours(1));
        await old.SignInAsync();
        (await old.RequestKeyAsync(next)).State.ShouldBe(KeyRotationState.Expired);
        (await server.Client.ApproveKeyAsync(await old.RequestKeyAsync(again), again)).State.ShouldBe(KeyRotationState.Approved);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_drained_workstation_may_rotate_and_a_removed_one_asks_for_nothing_any_more(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var drained = await server.NewAgentAsync("drained");
        using var removed = await server.NewAgentAsync("removed");
        using var next = drained.WithNewKey();
        using var other = removed.WithNewKey();
        (await server.Client.PostAsync("/api/instances/drained/drain", null, Cancelled)).EnsureSuccessStatusCode();
        await server.Client.ApproveKeyAsync(await drained.RequestKeyAsync(next), next);
        await drained.IsRefusedAsync(ErrorCode.KeyRotated);

        var asked = await removed.RequestKeyAsync(other);
        (await server.Client.DeleteAsync("/api/instances/removed", Cancelled)).EnsureSuccessStatusCode();
        var withdrawn = (await server.AuditAsync("workstation.key_rotation_withdrawn")).ShouldHaveSingleItem();
        (withdrawn.Subject, withdrawn.Detail).ShouldBe((removed.InstanceId, $"rotation {asked.Id}: the workstation was removed"));
        await server.Client.TryApproveKeyAsync(asked, other.Last8()).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await removed.IsRefusedAsync(ErrorCode.KeyRevoked);
        await other.RefreshAsync().ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.KeyRevoked);
        (await server.Client.DeleteAsync("/api/instances/drained", Cancelled)).EnsureSuccessStatusCode();
        await drained.IsRefusedAsync(ErrorCode.KeyRevoked);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Another_organizations_requests_do_not_exist(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var old = await server.NewAgentAsync("box");
        using var neighbour = await server.NewAgentAsync("neighbour");
        using var next = old.WithNewKey();
        var (_, stranger) = await server.NewOrganizationAsync();
        using var foreign = await server.NewAgentAsync("foreign", admin: stranger);
        var asked = await old.RequestKeyAsync(next);

        await stranger.TryApproveKeyAsync(asked, next.Last8()).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await stranger.TryApproveKeyAsync(asked, next.Last8(), foreign.InstanceId).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await stranger.TryRejectKeyAsync(asked).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await stranger.GetAsync($"/api/instances/{old.InstanceId}/keys", Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await stranger.TryRecoveryCodeAsync(old.InstanceId).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await server.Client.TryApproveKeyAsync(asked, next.Last8(), neighbour.InstanceId).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        neighbour.InstanceId = old.InstanceId; // its token says otherwise
        await neighbour.TryRequestKeyAsync(neighbour.RequestFor(next)).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        (await server.Client.KeysAsync("box")).Pending!.TriesLeft.ShouldBe(5);
        stranger.Dispose();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Of_answers_that_race_one_counts_and_there_is_always_one_key(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var admin = await server.NewMemberAsync(Role.Admin);
        for (var round = 0; round < 6; round++)
        {
            using var old = await server.NewDeviceAsync();
            using var next = old.WithNewKey();
            using var later = old.WithNewKey();
            var asked = await old.RequestKeyAsync(next);
            var answers = await Task.WhenAll(server.Client.TryApproveKeyAsync(asked, next.Last8()), admin.TryApproveKeyAsync(asked, next.Last8()), admin.TryRejectKeyAsync(asked),
                old.TryRequestKeyAsync(old.RequestFor(later)));
            answers.Take(3).Count(a => a.StatusCode == HttpStatusCode.OK).ShouldBeLessThanOrEqualTo(1);
            answers[3].StatusCode.ShouldBeOneOf(HttpStatusCode.OK, HttpStatusCode.Unauthorized);
            var approved = answers.Take(2).Any(a => a.StatusCode == HttpStatusCode.OK);
            var active = await server.Database.ReadAsync(s => s.ListAsync<string>("SELECT jkt FROM instance_keys WHERE instance_id = @InstanceId AND revoked_at IS NULL", new { old.InstanceId }), Cancelled);
            active.ShouldBe([approved ? next.Fingerprint() : old.Fingerprint()]);
            KeyChain.Verify(await server.Client.KeysAsync(old.InstanceId), old.Fingerprint(), false).Verdict.ShouldBe(KeyChainVerdict.Verified);
        }
    }

    [Fact]
    public async Task An_approval_waits_for_a_demotion_and_then_finds_no_admin()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Postgres);
        using var admin = await server.NewMemberAsync(Role.Admin);
        var id = (await admin.GetBodyAsync<IdentityBody>("/api/auth/me")).UserId;
        using var old = await server.NewDeviceAsync();
        using var next = old.WithNewKey();
        var asked = await old.RequestKeyAsync(next);
        Task<HttpResponseMessage>? approval = null;
        await server.Database.WriteAsync(async tx =>
        {
            await tx.ExecuteAsync("UPDATE memberships SET role = 'member' WHERE user_id = @id", new { id });
            approval = admin.TryApproveKeyAsync(asked, next.Last8());
            await server.BlockedAsync(approval);
            return true;
        }, Cancelled);
        await approval!.ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
        (await server.Client.KeysAsync(old.InstanceId)).Pending!.Id.ShouldBe(asked.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task More_than_twenty_new_keys_in_an_hour_are_too_many(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var device = await server.NewDeviceAsync();
        DeviceClient last = null!;
        for (var i = 0; i < 20; i++) await device.RequestKeyAsync(last = device.WithNewKey());
        using var more = device.WithNewKey();
        (await device.TryRequestKeyAsync(device.RequestFor(more)).ProblemAsync(HttpStatusCode.TooManyRequests, ErrorCode.RateLimited)).Detail!.ShouldContain("requests for another key");
        (await device.RequestKeyAsync(last)).State.ShouldBe(KeyRotationState.Pending, "the same again is no new one");
        last.Dispose();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_became_nothing_is_forgotten_after_a_month_and_the_chain_never(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = clock });
        using var first = await server.NewDeviceAsync("box");
        using var second = first.WithNewKey();
        using var refused = first.WithNewKey();
        (await server.Client.TryRejectKeyAsync(await first.RequestKeyAsync(refused))).EnsureSuccessStatusCode();
        await server.Client.ApproveKeyAsync(await first.RequestKeyAsync(second), second);
        async Task<long> RowsAsync()
        {
            await server.App.Services.GetRequiredService<ExpiredRowsLoop>().RunOnceAsync(Cancelled);
            return await server.Database.ReadAsync(s => s.FirstAsync<long>("SELECT count(*) FROM key_rotations"), Cancelled);
        }

        clock.StepWall(TimeSpan.FromDays(36));
        (await RowsAsync()).ShouldBe(2);
        clock.StepWall(TimeSpan.FromDays(1));
        (await RowsAsync()).ShouldBe(1);
        KeyChain.Verify(await server.Client.KeysAsync("box"), first.Fingerprint(), false).Verdict.ShouldBe(KeyChainVerdict.Verified);
        await first.RefreshAsync().ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.KeyRotated);
    }
}
