using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Server.Tests.Organizations.Invitations;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.DeviceTrust;

/// <summary>How a key is bound. Codes that must not work are in the table of <see cref="Hostile.PairingRows"/>.</summary>
public sealed class PairingTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_code_binds_the_key_that_signed_the_proof(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var instance = await server.NewInstanceAsync("box");
        using var device = new DeviceClient(server.Url, TimeProvider.System);

        var paired = await device.PairAsync(await server.NewPairingCodeAsync("box"));

        paired.InstanceId.ShouldBe(instance.Id);
        paired.InstanceName.ShouldBe("box");
        paired.OrganizationId.ShouldBe(server.Owner.OrganizationId);
        paired.KeyFingerprint.ShouldBe(device.PublicKey.Thumbprint());
        paired.ServerKeys.ShouldHaveSingleItem().IsPublicP256().ShouldBeTrue();
        var shown = await server.Client.GetBodyAsync<InstanceBody>("/api/instances/box");
        shown.Paired.ShouldBeTrue();
        shown.KeyFingerprint.ShouldBe(device.PublicKey.Thumbprint());
        (await (await device.RefreshAsync()).BodyAsync<DeviceTokenResponse>()).ExpiresInSeconds.ShouldBe(3600);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_code_works_once_and_its_repeat_with_the_same_key_answers_the_same(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var instance = await server.NewInstanceAsync();
        var code = await server.NewPairingCodeAsync(instance.Id);
        using var device = new DeviceClient(server.Url, TimeProvider.System);
        using var thief = new DeviceClient(server.Url, TimeProvider.System);
        await device.PairAsync(code);

        await thief.TryPairAsync(code).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.InvalidPairingCode);
        (await device.PairAsync(code.ToUpperInvariant().Replace("-", " - ", StringComparison.Ordinal))).InstanceId.ShouldBe(instance.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_paired_workstation_gets_no_further_code_and_a_bound_key_no_further_workstation(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var device = await server.NewDeviceAsync();
        (await server.Client.PostAsync($"/api/instances/{device.InstanceId}/pairing-code", null, TestContext.Current.CancellationToken))
            .StatusCode.ShouldBe(HttpStatusCode.Conflict);

        var other = await server.NewInstanceAsync();
        await device.TryPairAsync(await server.NewPairingCodeAsync(other.Id)).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.AlreadyPaired);
        (await server.Client.GetBodyAsync<InstanceBody>("/api/instances/" + other.Id)).Paired.ShouldBeFalse();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_code_ends_with_its_makers_right_to_make_it(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        async Task<(HttpClient Admin, string Member, string Code)> MakeAsync()
        {
            var admin = await server.NewMemberAsync(Role.Admin);
            var id = (await admin.GetBodyAsync<IdentityBody>("/api/auth/me")).UserId;
            return (admin, $"{server.MembersUrl()}/{id}", await server.NewPairingCodeAsync((await server.NewInstanceAsync()).Id, admin));
        }
        var (lowered, removed, leaving) = (await MakeAsync(), await MakeAsync(), await MakeAsync());
        var kept = await server.NewPairingCodeAsync((await server.NewInstanceAsync()).Id);

        (await server.Client.PatchJsonAsync(lowered.Member, new UpdateMemberRequest { Role = Role.Member })).EnsureSuccessStatusCode();
        (await server.Client.DeleteAsync(removed.Member, Cancelled)).EnsureSuccessStatusCode();
        (await leaving.Admin.DeleteAsync(leaving.Member, Cancelled)).EnsureSuccessStatusCode();

        foreach (var (admin, _, code) in new[] { lowered, removed, leaving })
        {
            admin.Dispose();
            using var device = new DeviceClient(server.Url, TimeProvider.System);
            await device.TryPairAsync(code).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.InvalidPairingCode);
        }
        using var another = new DeviceClient(server.Url, TimeProvider.System);
        await another.PairAsync(kept);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task No_code_is_made_behind_the_back_of_its_makers_demotion(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        for (var round = 0; round < 4; round++)
        {
            using var admin = await server.NewMemberAsync(Role.Admin);
            var id = (await admin.GetBodyAsync<IdentityBody>("/api/auth/me")).UserId;
            var instances = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => server.NewInstanceAsync()));
            var codes = instances.Select(instance => admin.PostAsync($"/api/instances/{instance.Id}/pairing-code", null, Cancelled)).ToList();
            (await server.Client.PatchJsonAsync($"{server.MembersUrl()}/{id}", new UpdateMemberRequest { Role = Role.Viewer })).EnsureSuccessStatusCode();
            foreach (var answer in await Task.WhenAll(codes)) answer.StatusCode.ShouldBeOneOf(HttpStatusCode.Created, HttpStatusCode.Forbidden);
            (await server.Database.ReadAsync(s => s.FirstAsync<long>("SELECT count(*) FROM pairing_codes WHERE created_by = @id", new { id }), Cancelled)).ShouldBe(0);
        }
    }

    [Fact]
    public async Task A_demotion_waits_for_a_code_that_is_just_being_made_and_voids_it()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Postgres);
        using var admin = await server.NewMemberAsync(Role.Admin);
        var id = (await admin.GetBodyAsync<IdentityBody>("/api/auth/me")).UserId;
        var instance = await server.NewInstanceAsync();
        Task<HttpResponseMessage>? code = null, demotion = null;

        await server.Database.WriteAsync(async tx =>
        {
            // The code's row refers to the workstation, so its insert stops here.
            await tx.FirstAsync<string>("SELECT id FROM instances WHERE id = @Id FOR UPDATE", new { instance.Id });
            code = admin.PostAsync($"/api/instances/{instance.Id}/pairing-code", null, Cancelled);
            await server.BlockedAsync(code);
            demotion = server.Client.PatchJsonAsync($"{server.MembersUrl()}/{id}", new UpdateMemberRequest { Role = Role.Viewer });
            await server.BlockedAsync(demotion, waiting: 2);
            return true;
        }, Cancelled);

        (await code!).EnsureSuccessStatusCode();
        (await demotion!).EnsureSuccessStatusCode();
        (await server.Database.ReadAsync(s => s.FirstAsync<long>("SELECT count(*) FROM pairing_codes WHERE created_by = @id", new { id }), Cancelled)).ShouldBe(0);
        (await server.AuditAsync("workstation.pairing_code_voided")).ShouldHaveSingleItem().Subject.ShouldBe(instance.Id);
    }

    [Fact]
    public async Task A_code_is_not_made_for_a_workstation_whose_key_is_just_being_bound()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Postgres);
        var instance = await server.NewInstanceAsync();
        Task<HttpResponseMessage>? code = null;
        await server.Database.WriteAsync(async tx =>
        {
            await tx.FirstAsync<string>("SELECT id FROM instances WHERE id = @Id FOR UPDATE", new { instance.Id });
            code = server.Client.PostAsync($"/api/instances/{instance.Id}/pairing-code", null, Cancelled);
            await server.BlockedAsync(code);
            await tx.ExecuteAsync("INSERT INTO instance_keys (id, instance_id, jkt, x, y, created_at) VALUES ('key_1', @Id, 'jkt', 'x', 'y', 1)", new { instance.Id });
            return true;
        }, Cancelled);

        (await code!.ProblemAsync(HttpStatusCode.Conflict, ErrorCode.AlreadyPaired)).CurrentState.ShouldBe("paired");
        (await server.Database.ReadAsync(s => s.FirstAsync<long>("SELECT count(*) FROM pairing_codes"), Cancelled)).ShouldBe(0);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_code_is_stored_hashed_and_the_pairing_is_audited(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var instance = await server.NewInstanceAsync();
        var code = await server.NewPairingCodeAsync(instance.Id);
        using var device = new DeviceClient(server.Url, TimeProvider.System);
        await device.PairAsync(code);

        var stored = await server.Database.ReadAsync(s => s.ListAsync<string>("SELECT code_hash FROM pairing_codes"), TestContext.Current.CancellationToken);
        stored.ShouldHaveSingleItem().ShouldNotContain(code.Replace("-", "", StringComparison.Ordinal));
        var audit = await server.Database.ReadAsync(s => s.ListAsync<string>("SELECT action FROM audit_events ORDER BY id"), TestContext.Current.CancellationToken);
        audit.ShouldBe(["organization.created", "workstation.created", "workstation.pairing_code_created", "workstation.paired"]);
    }
}
