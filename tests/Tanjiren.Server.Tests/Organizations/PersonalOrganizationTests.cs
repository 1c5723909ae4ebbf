using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Server.Governance;
using Tanjiren.Server.Tests.Governance;
using Tanjiren.Server.Tests.Organizations.Invitations;
using Tanjiren.Tests;
using static Tanjiren.Server.Tests.Organizations.Invitations.InvitationCalls;

namespace Tanjiren.Server.Tests.Organizations;

/// <summary>Whoever signs up has an organization of their own: one member, no rules.</summary>
public sealed class PersonalOrganizationTests
{
    private const string MadeUp = "^personal-[0-9a-z]{8}$";

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Who_signs_up_by_an_invitation_owns_one_alone_and_without_rules(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var made = await server.InviteAsync(Role.Viewer);
        var me = await (await server.AcceptAsync(made.Code(), "bob@example.test", "Bob Builder")).BodyAsync<IdentityBody>();
        me.Organization.Id.ShouldBe(server.Owner.OrganizationId, "the one that was accepted");

        using var invited = await server.SignInAsync(me.Email, null);
        (await invited.GetBodyAsync<IdentityBody>("/api/auth/me")).Organization.Id.ShouldBe(server.Owner.OrganizationId, "without a word: the one that they have been in longest");
        var own = (await OrganizationsAsync(invited)).Single(o => o.Id != server.Owner.OrganizationId);
        own.Name.ShouldMatch(MadeUp, "it tells nothing of who they are");

        using var owner = await server.SignInAsync(me.Email, own.Id);
        (await owner.GetBodyAsync<IdentityBody>("/api/auth/me")).Role.ShouldBe(Role.Owner);
        var member = (await owner.GetBodyAsync<Page<MemberBody>>($"/api/organizations/{own.Id}/members")).Items.ShouldHaveSingleItem();
        (member.UserId, member.Role).ShouldBe((me.UserId, Role.Owner));
        var doctrine = await owner.GetBodyAsync<DoctrineBody>(server.DoctrineUrl(own.Id));
        (doctrine.Version, doctrine.Document, doctrine.CreatedBy).ShouldBe((1, StartDoctrine.Personal, null));
        var audit = (await server.AuditAsync("organization.created")).Single(row => row.Subject == own.Id);
        (audit.OrganizationId, audit.Actor, audit.Detail, audit.Address).ShouldBe((own.Id, me.UserId, own.Name, "127.0.0.1"));
        // And it is closed to those who invited them.
        (await OrganizationsAsync(server.Client)).ShouldNotContain(o => o.Id == own.Id);
        await server.Client.GetAsync($"/api/organizations/{own.Id}/members", Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Whose_account_an_admin_makes_owns_one_too(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = new ManualTimeProvider() }); // both memberships are of one instant
        var request = new AddMemberRequest { Email = NewEmail(), Password = ServerFixture.Password, Role = Role.Member };
        var made = await (await server.Client.PostJsonAsync(server.MembersUrl(), request)).BodyAsync<MemberBody>();
        var admin = (await server.Client.GetBodyAsync<IdentityBody>("/api/auth/me")).UserId;

        using var added = await server.SignInAsync(request.Email, null);

        (await added.GetBodyAsync<IdentityBody>("/api/auth/me")).Organization.Id.ShouldBe(server.Owner.OrganizationId, "without a word: the one that they were added to");
        var own = (await OrganizationsAsync(added)).Single(o => o.Id != server.Owner.OrganizationId);
        using var owner = await server.SignInAsync(request.Email, own.Id);
        (await owner.GetBodyAsync<IdentityBody>("/api/auth/me")).Role.ShouldBe(Role.Owner);
        var audit = (await server.AuditAsync("organization.created")).Single(row => row.Subject == own.Id);
        (audit.OrganizationId, audit.Actor, audit.Detail, audit.Address).ShouldBe((own.Id, made.UserId, $"{own.Name}, with an account that {admin} made", null));
        (await owner.GetBodyAsync<Page<MemberBody>>($"/api/organizations/{own.Id}/members")).Items.ShouldHaveSingleItem().UserId.ShouldBe(made.UserId);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task It_stays_when_the_shared_one_is_lost(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var made = await server.InviteAsync(Role.Member);
        var me = await (await server.AcceptAsync(made.Code(), NewEmail(), "Ann")).BodyAsync<IdentityBody>();
        (await server.Client.DeleteAsync($"{server.MembersUrl()}/{me.UserId}", Cancelled)).EnsureSuccessStatusCode();

        using var left = await server.SignInAsync(me.Email, null);

        var own = (await OrganizationsAsync(left)).ShouldHaveSingleItem();
        (await left.GetBodyAsync<IdentityBody>("/api/auth/me")).Organization.ShouldBe(own);

        // Invited again they have been in their own for longer.
        var again = await server.InviteAsync(Role.Member);
        (await (await server.AcceptAsync(again.Code(), me.Email, name: null)).BodyAsync<IdentityBody>()).Organization.Id.ShouldBe(server.Owner.OrganizationId);
        using var back = await server.SignInAsync(me.Email, null);
        (await back.GetBodyAsync<IdentityBody>("/api/auth/me")).Organization.ShouldBe(own);
        using var named = await server.SignInAsync(me.Email, server.Owner.OrganizationId);
        (await named.GetBodyAsync<IdentityBody>("/api/auth/me")).Organization.Id.ShouldBe(server.Owner.OrganizationId);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task People_of_one_name_who_sign_up_at_once_have_one_each(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var made = new List<CreatedInvitation>();
        for (var i = 0; i < 4; i++) made.Add(await server.InviteAsync(Role.Viewer));

        var answers = await Task.WhenAll(made.Select(invitation => server.AcceptAsync(invitation.Code(), NewEmail(), "Ann")));

        foreach (var answer in answers) answer.EnsureSuccessStatusCode();
        var names = await PersonalNamesAsync(server);
        names.Count.ShouldBe(4);
        foreach (var name in names) name.ShouldMatch(MadeUp);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_account_that_was_there_gets_none_nor_does_who_came_too_late(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var person = await server.NewPersonAsync();
        var before = (await PersonalNamesAsync(server)).Count;
        var (one, other) = (await server.InviteAsync(Role.Viewer), await server.InviteAsync(Role.Viewer));

        (await server.AcceptAsync(one.Code(), person, "A name that changes nothing")).EnsureSuccessStatusCode();
        var racing = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => server.AcceptAsync(other.Code(), NewEmail(), "Ann")));

        racing.Count(a => a.StatusCode == HttpStatusCode.OK).ShouldBe(1);
        (await PersonalNamesAsync(server)).Count.ShouldBe(before + 1);
    }

    private static async Task<IReadOnlyList<OrganizationBody>> OrganizationsAsync(HttpClient client) =>
        (await client.GetBodyAsync<Page<OrganizationBody>>("/api/organizations")).Items;

    private static async Task<IReadOnlyList<string>> PersonalNamesAsync(ServerFixture server) => await server.Database.ReadAsync(
        s => s.ListAsync<string>("SELECT name FROM organizations WHERE name LIKE 'personal-%' ORDER BY name"), Cancelled);
}
