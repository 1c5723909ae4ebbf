using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.DeviceTrust;

public sealed class PairingTests
{
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
    public async Task Of_two_keys_that_race_for_a_code_one_wins(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        for (var round = 0; round < 5; round++)
        {
            var instance = await server.NewInstanceAsync();
            var code = await server.NewPairingCodeAsync(instance.Id);
            using var one = new DeviceClient(server.Url, TimeProvider.System);
            using var two = new DeviceClient(server.Url, TimeProvider.System);
            // Both have a nonce before the race, so that it is one of the pairings and not of the handshakes.
            await Task.WhenAll(one.TryPairAsync("wrong"), two.TryPairAsync("wrong"));

            var answers = await Task.WhenAll(one.TryPairAsync(code), two.TryPairAsync(code));

            answers.Count(a => a.StatusCode == HttpStatusCode.OK).ShouldBe(1);
            await answers.Single(a => a.StatusCode != HttpStatusCode.OK).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.InvalidPairingCode);
        }
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Unknown_expired_and_replaced_codes_share_one_answer(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = clock });
        var instance = await server.NewInstanceAsync();
        using var device = new DeviceClient(server.Url, clock);
        await device.TryPairAsync("zzzzz-zzzzz").ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.InvalidPairingCode);

        var replaced = await server.NewPairingCodeAsync(instance.Id);
        var expired = await server.NewPairingCodeAsync(instance.Id);
        await device.TryPairAsync(replaced).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.InvalidPairingCode);
        clock.Advance(TimeSpan.FromSeconds(600));
        await device.TryPairAsync(expired).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.InvalidPairingCode);
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
    public async Task Guessing_is_limited_per_address_and_tells_when_to_come_back(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Settings = Settings("PairingsPerAddress", 3) });
        using var device = new DeviceClient(server.Url, TimeProvider.System);
        for (var i = 0; i < 3; i++) await device.TryPairAsync("guess" + i).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.InvalidPairingCode);

        var refused = await device.TryPairAsync("guess9");
        await refused.ProblemAsync(HttpStatusCode.TooManyRequests, ErrorCode.RateLimited);
        refused.Headers.RetryAfter!.Delta!.Value.TotalSeconds.ShouldBeInRange(1, 300);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Guessing_is_limited_per_code_too(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Settings = Settings("PairingsPerCode", 2) });
        using var device = new DeviceClient(server.Url, TimeProvider.System);
        for (var i = 0; i < 2; i++) await device.TryPairAsync("same").ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.InvalidPairingCode);
        await device.TryPairAsync("SAME").ProblemAsync(HttpStatusCode.TooManyRequests, ErrorCode.RateLimited);
        await device.TryPairAsync("other").ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.InvalidPairingCode);
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

    private static Dictionary<string, string?> Settings(string name, int value) => new() { ["Tanjiren:DeviceTrust:" + name] = value.ToString() };
}
