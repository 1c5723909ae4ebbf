using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Organizations;
using Tanjiren.Tests;
using static Tanjiren.Server.Tests.Organizations.Invitations.InvitationCalls;

namespace Tanjiren.Server.Tests.Organizations.Invitations;

/// <summary>The inviter's side: who may invite whom, what is kept and shown, and when an invitation ends.</summary>
public sealed class InvitationTests
{
    public static TheoryData<Role, Role> PairsOfRoles => MembershipTests.PairsOfRoles;

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(PairsOfRoles))]
    public void Admins_invite_up_to_their_own_role_and_nobody_invites_an_owner(Role inviter, Role role) =>
        (MembershipRules.Invite(inviter, role) is null).ShouldBe(inviter >= Role.Admin && role <= inviter && role != Role.Owner);

    [Fact]
    public void Who_is_no_member_any_more_invites_nobody() => MembershipRules.Invite(null, Role.Viewer).ShouldNotBeNull();

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_link_is_shown_once_and_only_a_hash_of_its_secret_is_kept(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = clock, PublicUrl = "http://localhost:1" });
        var made = await server.InviteAsync(Role.Member, "Bob@Example.test");

        made.Link.ShouldStartWith("http://localhost:1/invitations?code=");
        made.Code().Length.ShouldBe(32, "160 bits");
        (made.Invitation.Email, made.Invitation.Role, made.Invitation.State).ShouldBe(("bob@example.test", Role.Member, InvitationState.Pending));
        made.Invitation.ExpiresAt.ShouldBe(clock.GetUtcNow().AddHours(72));
        var listed = await server.Client.GetStringAsync(server.InvitationsUrl(), Cancelled);
        listed.ShouldContain(made.Invitation.Id);
        listed.ShouldNotContain(made.Code());
        var stored = await server.Database.ReadAsync(s => s.FirstAsync<string>("SELECT secret_hash FROM invitations"), Cancelled);
        stored.ShouldBe(Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(made.Code()))));

        using var page = await server.Client.PostJsonAsync(server.InvitationsUrl(), new CreateInvitationRequest { Role = Role.Viewer });
        page.Headers.CacheControl!.NoStore.ShouldBeTrue();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Members_invite_nobody_and_admins_no_owner(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var member = await server.NewMemberAsync(Role.Member);
        using var admin = await server.NewMemberAsync(Role.Admin);
        var invitation = await server.InviteAsync(Role.Viewer);
        foreach (var role in new[] { Role.Viewer, Role.Admin })
            await member.PostJsonAsync(server.InvitationsUrl(), new CreateInvitationRequest { Role = role }).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
        await member.GetAsync(server.InvitationsUrl(), Cancelled).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
        await member.DeleteAsync($"{server.InvitationsUrl()}/{invitation.Invitation.Id}", Cancelled).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
        foreach (var client in new[] { admin, server.Client })
            await client.PostJsonAsync(server.InvitationsUrl(), new CreateInvitationRequest { Role = Role.Owner }).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
        (await server.InviteAsync(Role.Admin, by: admin)).Invitation.Role.ShouldBe(Role.Admin);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Bad_fields_are_named_and_a_member_is_not_invited_again(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        foreach (var hours in new[] { 0, 721, -1 })
            (await server.Client.PostJsonAsync(server.InvitationsUrl(), new CreateInvitationRequest { Email = "nobody", ExpiresInHours = hours })
                .ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe(["email", "expiresInHours", "role"]);
        (await server.InviteAsync(Role.Viewer, hours: 1)).Invitation.State.ShouldBe(InvitationState.Pending);
        (await server.InviteAsync(Role.Viewer, hours: 720)).Invitation.State.ShouldBe(InvitationState.Pending);
        await server.Client.PostJsonAsync(server.InvitationsUrl(), new CreateInvitationRequest { Email = "OWNER@local", Role = Role.Viewer })
            .ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Another_organizations_invitations_do_not_exist(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var made = await server.InviteAsync(Role.Member);
        var (organizationId, stranger) = await server.NewOrganizationAsync();
        using var client = stranger;
        var own = $"/api/organizations/{organizationId}/invitations";

        await client.PostJsonAsync(server.InvitationsUrl(), new CreateInvitationRequest { Role = Role.Viewer }).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await client.GetAsync(server.InvitationsUrl(), Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        foreach (var url in new[] { server.InvitationsUrl(), own })
            await client.DeleteAsync($"{url}/{made.Invitation.Id}", Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        (await client.GetBodyAsync<Page<InvitationBody>>(own)).Items.ShouldBeEmpty();
        (await server.InvitationsAsync()).Single().State.ShouldBe(InvitationState.Pending);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Revoking_is_repeatable_and_comes_too_late_after_the_acceptance(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var (one, two) = (await server.InviteAsync(Role.Member), await server.InviteAsync(Role.Member));
        Task<HttpResponseMessage> Revoke(CreatedInvitation invitation) => server.Client.DeleteAsync($"{server.InvitationsUrl()}/{invitation.Invitation.Id}", Cancelled);

        (await Revoke(one)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        (await Revoke(one)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        (await server.AuditAsync("invitation.revoked")).ShouldHaveSingleItem().Subject.ShouldBe(one.Invitation.Id);
        await server.AcceptAsync(one.Code(), NewEmail()).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.InvalidInvitation);

        (await server.AcceptAsync(two.Code(), NewEmail())).EnsureSuccessStatusCode();
        (await Revoke(two).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict)).CurrentState.ShouldBe("accepted");
        (await server.InvitationsAsync()).Select(i => i.State).ShouldBe([InvitationState.Revoked, InvitationState.Accepted]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_invitation_ends_with_its_makers_right_to_make_it(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var lowered = await server.NewMemberAsync(Role.Admin);
        using var removed = await server.NewMemberAsync(Role.Admin);
        var (ofLowered, ofRemoved, ofOwner) =
            (await server.InviteAsync(Role.Viewer, by: lowered), await server.InviteAsync(Role.Admin, by: removed), await server.InviteAsync(Role.Admin));
        var used = await server.InviteAsync(Role.Viewer, by: lowered);
        (await server.AcceptAsync(used.Code(), NewEmail())).EnsureSuccessStatusCode();

        (await server.Client.PatchJsonAsync($"{server.MembersUrl()}/{ofLowered.Invitation.CreatedBy}", new UpdateMemberRequest { Role = Role.Member })).EnsureSuccessStatusCode();
        (await server.Client.DeleteAsync($"{server.MembersUrl()}/{ofRemoved.Invitation.CreatedBy}", Cancelled)).EnsureSuccessStatusCode();

        foreach (var over in new[] { ofLowered, ofRemoved })
            await server.AcceptAsync(over.Code(), NewEmail()).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.InvalidInvitation);
        (await server.AcceptAsync(ofOwner.Code(), NewEmail())).EnsureSuccessStatusCode();
        (await server.AuditAsync("invitation.revoked")).Select(row => row.Subject).ShouldBe([ofLowered.Invitation.Id, ofRemoved.Invitation.Id]);
        var states = (await server.InvitationsAsync()).ToDictionary(i => i.Id, i => i.State);
        states.Count.ShouldBe(4);
        (states[ofLowered.Invitation.Id], states[ofRemoved.Invitation.Id]).ShouldBe((InvitationState.Revoked, InvitationState.Revoked));
        (states[ofOwner.Invitation.Id], states[used.Invitation.Id]).ShouldBe((InvitationState.Accepted, InvitationState.Accepted));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Who_joins_by_one_invitation_uses_up_the_others_to_their_address(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var email = NewEmail();
        var (used, spare, open, others) = (await server.InviteAsync(Role.Viewer, email), await server.InviteAsync(Role.Admin, email), await server.InviteAsync(Role.Viewer),
            await server.InviteAsync(Role.Viewer, NewEmail()));

        var me = await (await server.AcceptAsync(used.Code(), email)).BodyAsync<IdentityBody>();

        var revoked = (await server.AuditAsync("invitation.revoked")).ShouldHaveSingleItem();
        (revoked.Actor, revoked.Subject, revoked.Address).ShouldBe((me.UserId, spare.Invitation.Id, "127.0.0.1"));
        (await server.Client.DeleteAsync($"{server.MembersUrl()}/{me.UserId}", Cancelled)).EnsureSuccessStatusCode();
        await server.AcceptAsync(spare.Code(), email, name: null).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.InvalidInvitation);
        var states = (await server.InvitationsAsync()).ToDictionary(i => i.Id, i => i.State);
        (states[open.Invitation.Id], states[others.Invitation.Id]).ShouldBe((InvitationState.Pending, InvitationState.Pending), "whoever has the one, and somebody else");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_invitation_to_a_member_ends_with_what_they_lose(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        // Invited first and added by hand then: the invitations stay open.
        async Task<(string Email, string UserId, CreatedInvitation High, CreatedInvitation Low)> MemberAsync()
        {
            var email = NewEmail();
            var (high, low) = (await server.InviteAsync(Role.Admin, email), await server.InviteAsync(Role.Viewer, email));
            var member = await (await server.Client.PostJsonAsync(server.MembersUrl(), new AddMemberRequest { Email = email, Password = ServerFixture.Password, Role = Role.Admin })).BodyAsync<MemberBody>();
            return (email, member.UserId, high, low);
        }
        var (lowered, removed, leaving) = (await MemberAsync(), await MemberAsync(), await MemberAsync());

        (await server.Client.PatchJsonAsync($"{server.MembersUrl()}/{lowered.UserId}", new UpdateMemberRequest { Role = Role.Viewer })).EnsureSuccessStatusCode();
        (await server.Client.DeleteAsync($"{server.MembersUrl()}/{removed.UserId}", Cancelled)).EnsureSuccessStatusCode();
        using var self = await server.SignInAsync(leaving.Email, null);
        (await self.DeleteAsync($"{server.MembersUrl()}/{leaving.UserId}", Cancelled)).EnsureSuccessStatusCode();

        (await server.AuditAsync("invitation.revoked")).Select(row => row.Subject).ShouldBe(
            [lowered.High.Invitation.Id, removed.High.Invitation.Id, removed.Low.Invitation.Id, leaving.High.Invitation.Id, leaving.Low.Invitation.Id], ignoreOrder: true);
        foreach (var gone in new[] { removed, leaving })
            await server.AcceptAsync(gone.High.Code(), gone.Email, name: null).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.InvalidInvitation);
        (await server.InvitationsAsync()).Single(i => i.Id == lowered.Low.Invitation.Id).State.ShouldBe(InvitationState.Pending);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task None_is_made_behind_the_back_of_its_makers_demotion(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        for (var round = 0; round < 4; round++)
        {
            using var admin = await server.NewMemberAsync(Role.Admin);
            var id = (await admin.GetBodyAsync<IdentityBody>("/api/auth/me")).UserId;
            var invitations = Enumerable.Range(0, 6).Select(_ => admin.PostJsonAsync(server.InvitationsUrl(), new CreateInvitationRequest { Role = Role.Admin })).ToList();
            (await server.Client.PatchJsonAsync($"{server.MembersUrl()}/{id}", new UpdateMemberRequest { Role = Role.Viewer })).EnsureSuccessStatusCode();
            foreach (var answer in await Task.WhenAll(invitations)) answer.StatusCode.ShouldBeOneOf(HttpStatusCode.Created, HttpStatusCode.Forbidden);
            (await server.InvitationsAsync()).Where(i => i.CreatedBy == id).ShouldAllBe(i => i.State == InvitationState.Revoked);
        }
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Invitations_are_listed_in_pages_and_forgotten_a_month_after_their_end(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = clock });
        var made = new[] { await server.InviteAsync(Role.Member, hours: 1), await server.InviteAsync(Role.Member, hours: 2) };
        var first = await server.Client.GetBodyAsync<Page<InvitationBody>>(server.InvitationsUrl() + "?limit=1");
        var second = await server.Client.GetBodyAsync<Page<InvitationBody>>($"{server.InvitationsUrl()}?limit=1&cursor={first.NextCursor}");
        first.Items.Concat(second.Items).Select(i => i.Id).Order().ShouldBe(made.Select(m => m.Invitation.Id).Order());
        second.NextCursor.ShouldBeNull();

        clock.Advance(TimeSpan.FromHours(1));
        (await server.InvitationsAsync()).Select(i => i.State).ShouldBe([InvitationState.Expired, InvitationState.Pending], ignoreOrder: true);
        clock.StepWall(TimeSpan.FromDays(30));
        await server.App.Services.GetRequiredService<ExpiredRowsLoop>().RunOnceAsync(Cancelled);
        (await server.InvitationsAsync()).ShouldHaveSingleItem().Id.ShouldBe(made[1].Invitation.Id);
    }
}
