using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Tests.Organizations.Invitations;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.DeviceTrust.Rotations;

/// <summary>A key is lost: an admin's code, a new key, an admin's word.</summary>
public sealed class KeyRecoveryTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_workstation_keeps_what_it_is_the_lost_key_ends_and_the_chain_shows_the_gap(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var lost = await server.NewAgentAsync("box", ["gpu"]);
        using var machine = new DeviceClient(server.Url, TimeProvider.System);
        using var later = lost.WithNewKey();
        var code = await server.Client.RecoveryCodeAsync("box");

        var asked = await machine.RecoverAsync(server.Url, code);
        (asked.InstanceId, asked.InstanceName, asked.KeyFingerprint).ShouldBe((lost.InstanceId, "box", machine.Fingerprint()));
        (asked.Rotation.Kind, asked.Rotation.State, asked.Rotation.HostName, asked.Rotation.NewFingerprint).ShouldBe((KeyRotationKind.Recovery, KeyRotationState.Pending, "new disk", null));
        machine.InstanceId = asked.InstanceId;
        (await lost.TryBeatAsync()).EnsureSuccessStatusCode();
        await machine.RefreshAsync().ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.KeyRevoked);
        await server.Client.TryApproveKeyAsync(asked.Rotation, later.Last8()).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.FingerprintMismatch);

        (await server.Client.ApproveKeyAsync(asked.Rotation, machine)).Kind.ShouldBe(KeyRotationKind.Recovery);
        // Whoever has it must not think that the machine has a newer one: it is lost, not replaced.
        await lost.IsRefusedAsync(ErrorCode.KeyRevoked);
        (await machine.RecoverAsync(server.Url, code.ToUpperInvariant())).Rotation.State.ShouldBe(KeyRotationState.Approved);
        await machine.SignInAsync();
        var box = await server.Client.GetBodyAsync<InstanceBody>("/api/instances/box");
        (box.Id, box.KeyFingerprint, box.Tags.Single()).ShouldBe((lost.InstanceId, machine.Fingerprint(), "gpu"));

        machine.ServerKey = asked.ServerKeys[0];
        await server.Client.ApproveKeyAsync(await machine.RequestKeyAsync(later), later);
        var chain = await server.Client.KeysAsync("box");
        var stopped = KeyChain.Verify(chain, lost.Fingerprint(), acceptGaps: false);
        (stopped.Verdict, stopped.Problem).ShouldBe((KeyChainVerdict.GapNotAccepted, "change 1 is a recovery of a lost key: no earlier key vouches for what follows"));
        KeyChain.Verify(chain, lost.Fingerprint(), acceptGaps: true, asked.ServerKeys[0].Thumbprint()).Links.Select(l => l.Standing).ShouldBe([KeyStanding.Anchor, KeyStanding.Gap, KeyStanding.Vouched]);
        KeyChain.Verify(chain, machine.Fingerprint(), acceptGaps: false).Verdict.ShouldBe(KeyChainVerdict.Verified, "an anchor after the gap needs no word for it");
        (await server.AuditAsync("workstation.recovery_code_created")).ShouldHaveSingleItem();
        (await server.AuditAsync("workstation.key_recovery_requested")).ShouldHaveSingleItem().Detail.ShouldEndWith("; host new disk");
        (await server.AuditAsync("workstation.key_recovered")).ShouldHaveSingleItem().Detail.ShouldContain(machine.Fingerprint());
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_code_works_once_for_ten_minutes_until_a_newer_one_and_for_what_it_was_made(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = clock });
        using var device = await server.NewDeviceAsync("box");
        using var machine = new DeviceClient(server.Url, clock);
        using var thief = new DeviceClient(server.Url, clock);
        var unpaired = await server.NewInstanceAsync("unpaired");
        (await server.Client.TryRecoveryCodeAsync("unpaired").ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict)).CurrentState.ShouldBe("unpaired");
        await server.Client.GetAsync("/api/instances/unpaired/keys", Cancelled).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict);
        async Task RefusedAsync(DeviceClient who, string code) => await who.TryRecoverAsync(server.Url, code).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.InvalidPairingCode);

        await RefusedAsync(machine, "zzzzz-zzzzz");
        await RefusedAsync(machine, await server.NewPairingCodeAsync(unpaired.Id));
        var replaced = await server.Client.RecoveryCodeAsync("box");
        var code = await server.Client.RecoveryCodeAsync("box");
        await RefusedAsync(machine, replaced);
        await machine.TryPairAsync(code).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.InvalidPairingCode);
        var asked = await machine.RecoverAsync(server.Url, code);
        await RefusedAsync(thief, code);
        (await machine.RecoverAsync(server.Url, code)).Rotation.Id.ShouldBe(asked.Rotation.Id);
        clock.Advance(TimeSpan.FromMinutes(11));
        (await machine.RecoverAsync(server.Url, code)).Rotation.State.ShouldBe(KeyRotationState.Pending, "the code was redeemed in time; the admin has an hour");
        clock.Advance(TimeSpan.FromMinutes(49));
        (await machine.RecoverAsync(server.Url, code)).Rotation.State.ShouldBe(KeyRotationState.Expired);
        await server.Client.TryApproveKeyAsync(asked.Rotation, machine.Last8()).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict);

        var late = await server.Client.RecoveryCodeAsync("box");
        clock.Advance(TimeSpan.FromMinutes(10));
        await RefusedAsync(machine, late);
        await device.SignInAsync();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_machine_that_was_stopped_before_the_approval_gets_its_answer_by_the_same_code_or_another(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = clock });
        using var lost = await server.NewDeviceAsync("box");
        using var machine = new DeviceClient(server.Url, clock);
        using var thief = new DeviceClient(server.Url, clock);
        var code = await server.Client.RecoveryCodeAsync("box");
        await server.Client.ApproveKeyAsync((await machine.RecoverAsync(server.Url, code)).Rotation, machine);

        // Two days later the code's row is gone, and the key is on the machine's disk.
        clock.StepWall(TimeSpan.FromDays(2));
        await server.App.Services.GetRequiredService<ExpiredRowsLoop>().RunOnceAsync(Cancelled);
        var late = await machine.RecoverAsync(server.Url, code);
        (late.Rotation.State, late.InstanceId, late.KeyFingerprint).ShouldBe((KeyRotationState.Approved, lost.InstanceId, machine.Fingerprint()));
        await thief.TryRecoverAsync(server.Url, code).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.InvalidPairingCode);

        var another = await server.Client.RecoveryCodeAsync("box");
        for (var i = 0; i < 2; i++) (await machine.RecoverAsync(server.Url, another)).Rotation.Id.ShouldBe(late.Rotation.Id, "also when the answer was lost");
        await thief.TryRecoverAsync(server.Url, another).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.InvalidPairingCode);
        machine.InstanceId = late.InstanceId;
        await machine.SignInAsync();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_recovery_takes_the_place_of_a_rotation_and_whoever_has_the_old_key_can_not_push_it_aside(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var thief = await server.NewDeviceAsync("box");
        using var stolen = thief.WithNewKey();
        using var machine = new DeviceClient(server.Url, TimeProvider.System);
        var rotation = await thief.RequestKeyAsync(stolen);

        var asked = await machine.RecoverAsync(server.Url, await server.Client.RecoveryCodeAsync("box"));
        (await server.Client.TryApproveKeyAsync(rotation, stolen.Last8()).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict)).CurrentState.ShouldBe("withdrawn");
        using var another = thief.WithNewKey();
        (await thief.TryRequestKeyAsync(thief.RequestFor(another)).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict)).CurrentState.ShouldBe("recovery_pending");
        (await server.Client.KeysAsync("box")).Pending!.Id.ShouldBe(asked.Rotation.Id);
        await server.Client.ApproveKeyAsync(asked.Rotation, machine);
        await thief.IsRefusedAsync(ErrorCode.KeyRevoked);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_rotation_voids_codes_made_before_it_and_a_lost_role_voids_its_codes(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var device = await server.NewDeviceAsync("box");
        using var next = device.WithNewKey();
        using var machine = new DeviceClient(server.Url, TimeProvider.System);
        var code = await server.Client.RecoveryCodeAsync("box");
        await server.Client.ApproveKeyAsync(await device.RequestKeyAsync(next), next);
        await machine.TryRecoverAsync(server.Url, code).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.InvalidPairingCode);

        using var admin = await server.NewMemberAsync(Role.Admin);
        var id = (await admin.GetBodyAsync<IdentityBody>("/api/auth/me")).UserId;
        var theirs = await admin.RecoveryCodeAsync("box");
        (await server.Client.PatchJsonAsync($"{server.MembersUrl()}/{id}", new UpdateMemberRequest { Role = Role.Member })).EnsureSuccessStatusCode();
        await machine.TryRecoverAsync(server.Url, theirs).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.InvalidPairingCode);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Guesses_are_limited_and_waiting_for_the_answer_is_not(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        await server.NewDeviceAsync("box");
        using var machine = new DeviceClient(server.Url, TimeProvider.System);
        var code = await server.Client.RecoveryCodeAsync("box");
        for (var i = 0; i < 40; i++) (await machine.RecoverAsync(server.Url, code)).Rotation.State.ShouldBe(KeyRotationState.Pending);
        HttpResponseMessage answer = null!;
        for (var i = 0; i < 25 && answer?.StatusCode != HttpStatusCode.TooManyRequests; i++) answer = await machine.TryRecoverAsync(server.Url, "guess" + i);
        await answer.ProblemAsync(HttpStatusCode.TooManyRequests, ErrorCode.RateLimited);
        await machine.RecoverAsync(server.Url, code);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Only_a_key_that_speaks_for_itself_and_is_new_is_taken(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var device = await server.NewDeviceAsync("box");
        using var other = await server.NewDeviceAsync();
        using var machine = new DeviceClient(server.Url, TimeProvider.System);
        var code = await server.Client.RecoveryCodeAsync("box");
        foreach (var (name, statement) in new[]
        {
            ("nothing", ""), ("another key's word", other.OwnStatement()), ("another key's word for it", KeyStatement.Sign(other.Key, KeyStatement.PayloadFor(null, machine.PublicKey, null, TimeProvider.System.GetUtcNow()))),
            ("a workstation named", KeyStatement.Sign(machine.Key, KeyStatement.PayloadFor(device.InstanceId, machine.PublicKey, null, TimeProvider.System.GetUtcNow()))),
        })
            (await machine.TryRecoverAsync(server.Url, code, statement).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe(["statement"], name);
        (await other.TryRecoverAsync(server.Url, code).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.AlreadyPaired)).CurrentState.ShouldBe("key_bound");
        (await device.TryRecoverAsync(server.Url, code).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.AlreadyPaired)).CurrentState.ShouldBe("key_bound");
        (await machine.RecoverAsync(server.Url, code)).Rotation.State.ShouldBe(KeyRotationState.Pending, "none of them has spent it");
    }
}
