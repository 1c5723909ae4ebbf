using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Server.Organizations;
using Tanjiren.Server.Tests.Organizations.Invitations;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Organizations;

/// <summary>One owner at every moment: transfer, leaving, and what stands against both.</summary>
public sealed class OwnershipTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(Role.Viewer, true), InlineData(Role.Member, true), InlineData(Role.Admin, true), InlineData(Role.Owner, false)]
    public void Everybody_may_leave_but_the_owner(Role role, bool may) => (MembershipRules.Leave(role) is null).ShouldBe(may);

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_owner_hands_over_and_becomes_an_admin_with_the_next_request(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var heir = await server.NewMemberAsync(Role.Viewer);
        var (old, next) = (await IdAsync(server.Client), await IdAsync(heir));

        var body = await (await TransferAsync(server, server.Client, next)).BodyAsync<MemberBody>();

        (body.UserId, body.Role).ShouldBe((next, Role.Owner));
        (await heir.GetBodyAsync<IdentityBody>("/api/auth/me")).Role.ShouldBe(Role.Owner);
        (await server.Client.GetBodyAsync<IdentityBody>("/api/auth/me")).Role.ShouldBe(Role.Admin);
        await TransferAsync(server, server.Client, old).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
        (await server.MembersAsync()).Count(m => m.Role == Role.Owner).ShouldBe(1);
        var audit = (await server.AuditAsync("organization.ownership_transferred")).ShouldHaveSingleItem();
        (audit.Actor, audit.Subject, audit.Address).ShouldBe((old, server.Owner.OrganizationId, "127.0.0.1"));
        audit.Detail.ShouldContain(next);

        // Now the old owner may leave, and the new one may not.
        await heir.DeleteAsync($"{server.MembersUrl()}/{next}", Cancelled).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
        (await server.Client.DeleteAsync($"{server.MembersUrl()}/{old}", Cancelled)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Only_the_owner_transfers_and_only_to_another_member(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var admin = await server.NewMemberAsync(Role.Admin);
        var (organizationId, founder) = await server.NewOrganizationAsync();
        using var stranger = founder;
        var (owner, adminId) = (await IdAsync(server.Client), await IdAsync(admin));
        var foreigner = await server.NewPersonAsync();
        var foreignerId = await server.Database.ReadAsync(s => s.FirstAsync<string>("SELECT id FROM users WHERE email = @foreigner", new { foreigner }), Cancelled);

        await TransferAsync(server, admin, adminId).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
        await TransferAsync(server, stranger, await IdAsync(stranger)).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await TransferAsync(server, server.Client, foreignerId!).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        foreach (var bad in new[] { owner, "", "usr_x", organizationId })
            (await TransferAsync(server, server.Client, bad).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe(["userId"]);
        (await server.MembersAsync()).Single(m => m.Role == Role.Owner).UserId.ShouldBe(owner);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Of_racing_transfers_one_wins(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var one = await server.NewMemberAsync(Role.Member);
        using var two = await server.NewMemberAsync(Role.Admin);
        var heirs = new Dictionary<string, HttpClient> { [await IdAsync(one)] = one, [await IdAsync(two)] = two, [await IdAsync(server.Client)] = server.Client };
        var owner = server.Client;
        for (var round = 0; round < 4; round++)
        {
            var candidates = heirs.Where(heir => heir.Value != owner).Select(heir => heir.Key).ToArray();
            var answers = await Task.WhenAll(candidates.Concat(candidates).Select(id => TransferAsync(server, owner, id)));
            var won = answers.Where(a => a.StatusCode == HttpStatusCode.OK).ShouldHaveSingleItem();
            foreach (var lost in answers.Except([won])) await lost.ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
            var now = (await server.MembersAsync()).Where(m => m.Role == Role.Owner).ShouldHaveSingleItem();
            now.UserId.ShouldBe((await won.BodyAsync<MemberBody>()).UserId);
            owner = heirs[now.UserId];
        }
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_transfer_and_the_removal_of_its_heir_at_once_leave_one_owner(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var admin = await server.NewMemberAsync(Role.Admin);
        var owner = server.Client;
        for (var round = 0; round < 4; round++)
        {
            using var heir = await server.NewMemberAsync(Role.Member);
            var id = await IdAsync(heir);
            var (transferred, removed) = (TransferAsync(server, owner, id), admin.DeleteAsync($"{server.MembersUrl()}/{id}", Cancelled));
            var happened = ((await transferred).StatusCode, (await removed).StatusCode);
            happened.ShouldBeOneOf((HttpStatusCode.OK, HttpStatusCode.Forbidden), (HttpStatusCode.NotFound, HttpStatusCode.NoContent));
            var members = (await admin.GetBodyAsync<Page<MemberBody>>(server.MembersUrl())).Items;
            members.Count(m => m.Role == Role.Owner).ShouldBe(1);
            if (happened.Item1 == HttpStatusCode.OK) (await TransferAsync(server, heir, await IdAsync(server.Client))).EnsureSuccessStatusCode();
        }
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Everybody_else_leaves_when_they_like_and_nobody_removes_above_or_without_a_role(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var viewer = await server.NewMemberAsync(Role.Viewer);
        using var member = await server.NewMemberAsync(Role.Member);
        var (viewerId, memberId, owner) = (await IdAsync(viewer), await IdAsync(member), await IdAsync(server.Client));

        await member.DeleteAsync($"{server.MembersUrl()}/{viewerId}", Cancelled).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
        await viewer.DeleteAsync($"{server.MembersUrl()}/{memberId}", Cancelled).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
        await member.DeleteAsync($"{server.MembersUrl()}/usr_nobody", Cancelled).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
        (await server.Client.DeleteAsync($"{server.MembersUrl()}/{owner}", Cancelled).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden)).Hint!.ShouldContain("transfer-ownership");

        (await viewer.DeleteAsync($"{server.MembersUrl()}/{viewerId}", Cancelled)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        await viewer.GetAsync("/api/auth/me", Cancelled).ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.InvalidCredentials);
        (await server.MembersAsync()).ShouldNotContain(m => m.UserId == viewerId);
        var left = (await server.AuditAsync("member.left")).ShouldHaveSingleItem();
        (left.Actor, left.Subject).ShouldBe((viewerId, viewerId));
        (await server.AuditAsync("member.removed")).ShouldBeEmpty();
    }

    private static async Task<string> IdAsync(HttpClient client) => (await client.GetBodyAsync<IdentityBody>("/api/auth/me")).UserId;

    private static Task<HttpResponseMessage> TransferAsync(ServerFixture server, HttpClient client, string userId) =>
        client.PostJsonAsync($"/api/organizations/{server.Owner.OrganizationId}/transfer-ownership", new TransferOwnershipRequest { UserId = userId });
}
