using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Server.Tests.Organizations.Invitations;
using Tanjiren.Tests;
using static Tanjiren.Server.Tests.Organizations.Invitations.InvitationCalls;
using Browser = Tanjiren.Server.Tests.Identity.OAuth.Browser;
using OAuthCalls = Tanjiren.Server.Tests.Identity.OAuth.OAuthCalls;

namespace Tanjiren.Server.Tests.Organizations;

/// <summary>Every decision about members leaves one row: who, what, whom, from where. And no page of another origin decides anything.</summary>
public sealed class MemberAuditTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Each_decision_leaves_one_row_with_who_and_from_where(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var owner = (await server.Client.GetBodyAsync<IdentityBody>("/api/auth/me")).UserId;
        var (kept, taken) = (await server.InviteAsync(Role.Member, "bob@example.test"), await server.InviteAsync(Role.Viewer));
        (await server.Client.DeleteAsync($"{server.InvitationsUrl()}/{taken.Invitation.Id}", Cancelled)).EnsureSuccessStatusCode();
        var bob = (await (await server.AcceptAsync(kept.Code(), "bob@example.test")).BodyAsync<IdentityBody>()).UserId;
        foreach (var role in new[] { Role.Admin, Role.Admin, Role.Viewer }) // the second changes nothing, and is no decision
            (await server.Client.PatchJsonAsync($"{server.MembersUrl()}/{bob}", new UpdateMemberRequest { Role = role })).EnsureSuccessStatusCode();
        (await server.Client.DeleteAsync($"{server.MembersUrl()}/{bob}", Cancelled)).EnsureSuccessStatusCode();

        var rows = new List<(string Action, string Actor, string Subject)>();
        foreach (var action in new[] { "invitation.created", "invitation.revoked", "invitation.accepted", "member.role_changed", "member.removed" })
        {
            foreach (var row in await server.AuditAsync(action))
            {
                (row.OrganizationId, row.Address).ShouldBe((server.Owner.OrganizationId, "127.0.0.1"), action);
                row.Detail.ShouldNotBeNullOrEmpty(action);
                rows.Add((action, row.Actor, row.Subject));
            }
        }
        rows.ShouldBe(
        [
            ("invitation.created", owner, kept.Invitation.Id), ("invitation.created", owner, taken.Invitation.Id), ("invitation.revoked", owner, taken.Invitation.Id),
            ("invitation.accepted", bob, kept.Invitation.Id), ("member.role_changed", owner, bob), ("member.role_changed", owner, bob), ("member.removed", owner, bob),
        ], ignoreOrder: true);
        (await server.AuditAsync("member.role_changed")).Select(row => row.Detail).ShouldBe(["bob@example.test from member to admin", "bob@example.test from admin to viewer"], ignoreOrder: true);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_sign_ins_that_end_with_a_membership_name_who_ended_it(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var owner = (await server.Client.GetBodyAsync<IdentityBody>("/api/auth/me")).UserId;
        using var removed = await Browser.OfMemberAsync(server);
        using var leaving = await Browser.OfMemberAsync(server);
        var (ofRemoved, ofLeaving) = (await OAuthCalls.SignInDeviceAsync(server, removed), await OAuthCalls.SignInDeviceAsync(server, leaving));
        var ids = (await server.MembersAsync()).ToDictionary(m => m.Email, m => m.UserId);

        (await server.Client.DeleteAsync($"{server.MembersUrl()}/{ids[removed.Email]}", Cancelled)).EnsureSuccessStatusCode();
        using var self = server.NewClient(ofLeaving.AccessToken);
        (await self.DeleteAsync($"{server.MembersUrl()}/{ids[leaving.Email]}", Cancelled)).EnsureSuccessStatusCode();

        (await server.AuditAsync("oauth.revoked")).Select(row => (row.Subject, row.Actor, row.Address)).ShouldBe(
            [(ofRemoved.GrantId!, owner, "127.0.0.1"), (ofLeaving.GrantId!, ids[leaving.Email], "127.0.0.1")]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_cookie_decides_nothing_for_a_foreign_page_and_everything_for_our_own(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var invited = await server.InviteAsync(Role.Admin);
        var joined = await server.AcceptAsync(invited.Code(), NewEmail());
        var cookie = joined.Headers.GetValues("Set-Cookie").Single().Split(';')[0];
        var me = (await joined.BodyAsync<IdentityBody>()).UserId;
        using var other = await server.NewMemberAsync(Role.Member);
        var victim = $"{server.MembersUrl()}/{(await other.GetBodyAsync<IdentityBody>("/api/auth/me")).UserId}";
        using var browser = server.NewClient(null);

        Task<HttpResponseMessage> SendAsync(HttpMethod method, string url, HttpContent? content, string? origin)
        {
            var request = new HttpRequestMessage(method, url) { Content = content };
            request.Headers.Add("Cookie", cookie);
            if (origin is not null) request.Headers.TryAddWithoutValidation("Origin", origin);
            return browser.SendAsync(request, Cancelled);
        }
        (HttpMethod Method, string Url, Func<HttpContent?> Content)[] mutations =
        [
            (HttpMethod.Post, server.InvitationsUrl(), () => JsonHttp.Content(new CreateInvitationRequest { Role = Role.Admin })),
            (HttpMethod.Delete, $"{server.InvitationsUrl()}/{(await server.InviteAsync(Role.Viewer)).Invitation.Id}", () => null),
            (HttpMethod.Patch, victim, () => JsonHttp.Content(new UpdateMemberRequest { Role = Role.Viewer })),
            (HttpMethod.Post, server.MembersUrl(), () => JsonHttp.Content(new AddMemberRequest { Email = NewEmail(), Password = ServerFixture.Password, Role = Role.Viewer })),
            (HttpMethod.Delete, victim, () => null),
            (HttpMethod.Delete, $"{server.MembersUrl()}/{me}", () => null),
        ];
        foreach (var (method, url, content) in mutations)
        {
            foreach (var origin in new[] { "https://evil.example", "null", server.Url + "0", null })
                await SendAsync(method, url, content(), origin).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.ForeignOrigin);
            (await SendAsync(method, url, content(), server.Url)).IsSuccessStatusCode.ShouldBeTrue($"{method} {url}");
        }
        (await server.MembersAsync()).ShouldNotContain(m => m.UserId == me, "the last one was leaving");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Nobody_raises_themselves_and_an_admin_may_step_down(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var admin = await server.NewMemberAsync(Role.Admin);
        using var viewer = await server.NewMemberAsync(Role.Viewer);
        foreach (var (client, role) in new[] { (viewer, Role.Admin), (viewer, Role.Viewer), (admin, Role.Owner) })
        {
            var me = (await client.GetBodyAsync<IdentityBody>("/api/auth/me")).UserId;
            await client.PatchJsonAsync($"{server.MembersUrl()}/{me}", new UpdateMemberRequest { Role = role }).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
        }
        var self = $"{server.MembersUrl()}/{(await admin.GetBodyAsync<IdentityBody>("/api/auth/me")).UserId}";
        (await admin.PatchJsonAsync(self, new UpdateMemberRequest { Role = Role.Member })).EnsureSuccessStatusCode();
        await admin.PatchJsonAsync(self, new UpdateMemberRequest { Role = Role.Admin }).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
    }
}
