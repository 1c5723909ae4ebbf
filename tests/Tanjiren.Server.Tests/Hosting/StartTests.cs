using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Hosting;

public sealed class StartTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Migrating_twice_is_a_no_op_and_two_servers_may_start_at_once_on_postgres(DatabaseKind kind)
    {
        await using var database = await TestDatabase.CreateAsync(kind);
        await using var one = await ServerFixture.StartAsync(database.Url);
        var scripts = await one.Database.ReadAsync(s => s.ListAsync<string>("SELECT script || applied_at FROM schema_migrations ORDER BY script"), Cancelled);
        var embedded = typeof(Migrator).Assembly.GetManifestResourceNames().Where(n => n.EndsWith(".sql", StringComparison.Ordinal));
        scripts.Count.ShouldBe(embedded.Count(n => !n.EndsWith(kind == DatabaseKind.Sqlite ? ".postgres.sql" : ".sqlite.sql", StringComparison.Ordinal)));
        await one.App.Services.GetRequiredService<Migrator>().MigrateAsync(Cancelled);
        (await one.Database.ReadAsync(s => s.ListAsync<string>("SELECT script || applied_at FROM schema_migrations ORDER BY script"), Cancelled)).ShouldBe(scripts);
        // SQLite belongs to one control plane: SqliteLockTests.
        if (kind == DatabaseKind.Sqlite) return;
        var more = await Task.WhenAll(ServerFixture.StartAsync(database.Url), ServerFixture.StartAsync(database.Url));
        (await one.Database.ReadAsync(s => s.ListAsync<string>("SELECT script || applied_at FROM schema_migrations ORDER BY script"), Cancelled)).ShouldBe(scripts);
        foreach (var server in more) await server.DisposeAsync();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Servers_of_one_database_share_their_secrets_over_restarts(DatabaseKind kind)
    {
        await using var database = await TestDatabase.CreateAsync(kind);
        DeviceClient device;
        await using (var first = await ServerFixture.StartAsync(database.Url)) device = await first.NewDeviceAsync();
        await using var second = await ServerFixture.StartAsync(database.Url);
        using var same = new DeviceClient(second.Url, TimeProvider.System) { Key = device.Key, InstanceId = device.InstanceId, AccessToken = device.AccessToken };
        // The token of before the restart is taken; what is lacking is a session.
        await same.SendAsync(HttpMethod.Get, same.Url("work"), (object?)null).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.SessionEnded);
        device.Dispose();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_local_workspace_is_made_once_and_a_working_token_is_kept(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        (await LocalWorkspace.EnsureAsync(server.App, server.Owner.Token, Cancelled)).ShouldBe(server.Owner);
        var fresh = await LocalWorkspace.EnsureAsync(server.App, "tnv_wrong", Cancelled);
        fresh.OrganizationId.ShouldBe(server.Owner.OrganizationId);
        fresh.Token.ShouldNotBe(server.Owner.Token);
        var me = await server.Client.GetBodyAsync<IdentityBody>("/api/auth/me");
        (me.Organization.Name, me.Role).ShouldBe(("local", Role.Owner));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task It_tells_how_it_is(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var anonymous = server.NewClient(null);
        (await anonymous.GetStringAsync("/healthz", Cancelled)).ShouldBe("alive");
        (await anonymous.GetStringAsync("/readyz", Cancelled)).ShouldBe("ready");
        using var device = await server.NewDeviceAsync();
        var status = await server.Client.GetBodyAsync<StatusBody>("/api/status");
        status.Database.ShouldBe(kind == DatabaseKind.Sqlite ? "sqlite" : "postgres");
        status.Loops.Select(l => l.Name).ShouldContain("expired-rows");
        status.Loops.Single(l => l.Name == "requests").Counters["pairings"].ShouldBe(1);
    }

    [Fact]
    public async Task A_setting_that_is_misspelt_or_out_of_range_stops_the_start_by_name()
    {
        foreach (var (name, value) in new[] { ("Tanjiren:Identity:LoginPerAddres", "3"), ("Tanjiren:DeviceTrust:ProofWindowSeconds", "0") })
        {
            await using var database = await TestDatabase.CreateAsync(DatabaseKind.Sqlite);
            var failure = await Should.ThrowAsync<Exception>(() => ServerFixture.StartAsync(database.Url, o => o with { Settings = new Dictionary<string, string?> { [name] = value } }));
            failure.ToString().ShouldContain(name.Split(':')[2]);
            (failure is OptionsValidationException or InvalidOperationException).ShouldBeTrue(failure.ToString());
        }
    }
}
