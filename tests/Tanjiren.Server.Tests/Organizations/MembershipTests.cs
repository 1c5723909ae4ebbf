using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Organizations;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Organizations;

public sealed class MembershipTests
{
    public static TheoryData<Role, Role> PairsOfRoles { get; } = [.. from one in Enum.GetValues<Role>() from two in Enum.GetValues<Role>() select (one, two)];

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(PairsOfRoles))]
    public void Nobody_gives_a_role_above_their_own_nor_a_second_owner(Role actor, Role role) =>
        (MembershipRules.Grant(actor, role) is null).ShouldBe(role <= actor && role != Role.Owner);

    [Theory, MemberData(nameof(PairsOfRoles))]
    public void Nobody_touches_a_member_above_their_own_role_nor_the_owner(Role actor, Role current) =>
        (MembershipRules.Touch(actor, current) is null).ShouldBe(current <= actor && current != Role.Owner);

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_owner_stays_the_one_owner(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var admin = await server.NewMemberAsync(Role.Admin);
        var members = $"/api/organizations/{server.Owner.OrganizationId}/members";
        var owner = (await admin.GetBodyAsync<Page<MemberBody>>(members)).Items.Single(m => m.Role == Role.Owner);
        foreach (var client in new[] { admin, server.Client })
        {
            await client.PatchJsonAsync($"{members}/{owner.UserId}", new UpdateMemberRequest { Role = Role.Viewer }).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
            await client.DeleteAsync($"{members}/{owner.UserId}", Cancelled).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
            await client.PostJsonAsync(members, new AddMemberRequest { Email = "b@example.test", Password = ServerFixture.Password, Role = Role.Owner })
                .ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
        }
        (await admin.PostJsonAsync(members, new AddMemberRequest { Email = "b@example.test", Password = ServerFixture.Password, Role = Role.Admin })).StatusCode.ShouldBe(HttpStatusCode.Created);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_user_of_this_server_is_not_added_behind_their_back(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var (organizationId, stranger) = await server.NewOrganizationAsync();
        using var client = stranger;
        await client.PostJsonAsync($"/api/organizations/{organizationId}/members", new AddMemberRequest { Email = "owner@local", Password = ServerFixture.Password, Role = Role.Viewer })
            .ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict);
        await client.PostJsonAsync($"/api/organizations/{organizationId}/members", new AddMemberRequest { Email = "c@example.test", Password = ServerFixture.Password, Role = Role.Viewer });
        await server.Client.PostJsonAsync($"/api/organizations/{server.Owner.OrganizationId}/members", new AddMemberRequest { Email = "C@example.test", Password = "another password", Role = Role.Viewer })
            .ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task No_session_and_no_token_is_made_for_a_member_who_was_removed_a_moment_ago(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var member = await server.NewMemberAsync(Role.Member);
        var me = await member.GetBodyAsync<IdentityBody>("/api/auth/me");
        // Past the authentication and the password, as requests that came before the removal.
        var caller = new Caller(me.UserId, me.Email, me.Organization.Id, me.Organization.Name, me.Role, "", "127.0.0.1");
        var services = server.App.Services;
        var (signIn, credentials) = (services.GetRequiredService<SignIn>(), services.GetRequiredService<CredentialStore>());
        (await signIn.StartSessionAsync(caller, Cancelled)).Refusal.ShouldBeNull();

        (await server.Client.DeleteAsync($"/api/organizations/{me.Organization.Id}/members/{me.UserId}", Cancelled)).StatusCode.ShouldBe(HttpStatusCode.NoContent);

        (await signIn.StartSessionAsync(caller, Cancelled)).Refusal!.Value.Status.ShouldBe(403);
        (await server.Database.WriteAsync(tx => credentials.IssueToMemberAsync(tx, CredentialKind.Token, me.UserId, me.Organization.Id, "late", TimeSpan.FromDays(1)), Cancelled)).ShouldBeNull();
        (await WorkingAsync(server, me.UserId)).ShouldBe(0);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task None_is_made_during_the_removal_and_survives_it(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        for (var round = 0; round < 4; round++)
        {
            using var member = await server.NewMemberAsync(Role.Member);
            var me = await member.GetBodyAsync<IdentityBody>("/api/auth/me");
            var made = Enumerable.Range(0, 6).Select(_ => member.PostJsonAsync("/api/auth/tokens", new CreateTokenRequest { Name = "late" })).ToList();
            (await server.Client.DeleteAsync($"/api/organizations/{me.Organization.Id}/members/{me.UserId}", Cancelled)).EnsureSuccessStatusCode();
            foreach (var answer in await Task.WhenAll(made)) answer.StatusCode.ShouldBeOneOf(HttpStatusCode.Created, HttpStatusCode.Forbidden, HttpStatusCode.Unauthorized);
            (await WorkingAsync(server, me.UserId)).ShouldBe(0);
        }
    }

    [Fact]
    public async Task A_removal_waits_for_a_credential_that_is_just_being_made_and_ends_it()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Postgres);
        using var member = await server.NewMemberAsync(Role.Member);
        var me = await member.GetBodyAsync<IdentityBody>("/api/auth/me");
        var credentials = server.App.Services.GetRequiredService<CredentialStore>();
        Task<HttpResponseMessage>? removal = null;

        await server.Database.WriteAsync(async tx =>
        {
            (await credentials.IssueToMemberAsync(tx, CredentialKind.Token, me.UserId, me.Organization.Id, "late", TimeSpan.FromDays(1))).ShouldNotBeNull();
            removal = server.Client.DeleteAsync($"/api/organizations/{me.Organization.Id}/members/{me.UserId}", Cancelled);
            await server.BlockedAsync(removal);
            return true;
        }, Cancelled);

        (await removal!).EnsureSuccessStatusCode();
        (await WorkingAsync(server, me.UserId)).ShouldBe(0);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Nothing_crosses_organizations(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var (organizationId, stranger) = await server.NewOrganizationAsync();
        using var client = stranger;
        using var device = await server.NewDeviceAsync("box", ["gpu"]);
        var local = server.Owner.OrganizationId;
        var owner = (await server.Client.GetBodyAsync<IdentityBody>("/api/auth/me")).UserId;

        foreach (var id in new[] { device.InstanceId, "box" })
        {
            await client.GetAsync("/api/instances/" + id, Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
            await client.PatchJsonAsync("/api/instances/" + id, new UpdateInstanceRequest { AddTags = ["mine"] }).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
            await client.DeleteAsync("/api/instances/" + id, Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
            foreach (var verb in new[] { "drain", "undrain", "pairing-code" })
                await client.PostAsync($"/api/instances/{id}/{verb}", null, Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
            await client.GetAsync("/api/workers/worker:" + id, Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        }
        (await client.GetBodyAsync<Page<InstanceBody>>("/api/instances")).Items.ShouldBeEmpty();
        (await client.GetBodyAsync<Page<WorkerBody>>("/api/workers")).Items.ShouldBeEmpty();
        await client.GetAsync($"/api/organizations/{local}/members", Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await client.PostJsonAsync($"/api/organizations/{local}/members", new AddMemberRequest { Email = "m@example.test", Password = ServerFixture.Password, Role = Role.Admin })
            .ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await client.DeleteAsync($"/api/organizations/{organizationId}/members/{owner}", Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        (await server.Client.GetBodyAsync<InstanceBody>("/api/instances/box")).Tags.ShouldBe(["gpu"]);
        // The same name in another organization is another workstation.
        (await server.NewInstanceAsync("box", admin: client)).Id.ShouldNotBe(device.InstanceId);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_creator_owns_a_new_organization_and_lists_it_after_those_before(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var (organizationId, owner) = await server.NewOrganizationAsync();
        using var client = owner;
        var me = await client.GetBodyAsync<IdentityBody>("/api/auth/me");
        (me.Organization.Id, me.Role).ShouldBe((organizationId, Role.Owner));
        var all = (await client.GetBodyAsync<Page<OrganizationBody>>("/api/organizations")).Items.Select(o => o.Id).ToList();
        (all.Count, all[0], all[2]).ShouldBe((3, server.Owner.OrganizationId, organizationId), "between them the one that came with the account");
        await client.PostJsonAsync("/api/organizations", new CreateOrganizationRequest { Name = "local" }).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.NameTaken);
        var page = await client.GetBodyAsync<Page<OrganizationBody>>("/api/organizations?limit=2");
        page.Items.Count.ShouldBe(2);
        (await client.GetBodyAsync<Page<OrganizationBody>>("/api/organizations?limit=2&cursor=" + page.NextCursor)).Items.ShouldHaveSingleItem().Id.ShouldBe(organizationId);
    }

    /// <summary>How many credentials of this user have not been revoked, whoever would admit them.</summary>
    private static Task<long> WorkingAsync(ServerFixture server, string userId) =>
        server.Database.ReadAsync(s => s.FirstAsync<long>("SELECT count(*) FROM credentials WHERE user_id = @userId AND revoked_at IS NULL", new { userId }), Cancelled);
}
