using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Tests;
using static Tanjiren.Server.Tests.Organizations.Invitations.InvitationCalls;

namespace Tanjiren.Server.Tests.Organizations.Invitations;

/// <summary>The invited person's side, and that of whoever found, guessed or used up a link.</summary>
public sealed class AcceptTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_new_person_gets_an_account_the_membership_and_a_session(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var made = await server.InviteAsync(Role.Member, "bob@example.test");

        var accepted = await server.AcceptAsync(made.Code(), "BOB@example.test", "Bob Builder");

        var me = await accepted.BodyAsync<IdentityBody>();
        (me.Email, me.Role, me.Organization.Id).ShouldBe(("bob@example.test", Role.Member, server.Owner.OrganizationId));
        using var byCookie = server.NewClient(null);
        byCookie.DefaultRequestHeaders.Add("Cookie", accepted.Headers.GetValues("Set-Cookie").Single().Split(';')[0]);
        (await byCookie.GetBodyAsync<IdentityBody>("/api/auth/me")).UserId.ShouldBe(me.UserId);
        using var byPassword = await server.SignInAsync("bob@example.test", null);
        (await server.MembersAsync()).Single(m => m.UserId == me.UserId).ShouldBe(new MemberBody { UserId = me.UserId, Email = me.Email, Name = "Bob Builder", Role = Role.Member });
        var listed = (await server.InvitationsAsync()).ShouldHaveSingleItem();
        (listed.State, listed.AcceptedBy).ShouldBe((InvitationState.Accepted, me.UserId));
        var audit = (await server.AuditAsync("invitation.accepted")).ShouldHaveSingleItem();
        (audit.OrganizationId, audit.Actor, audit.Subject, audit.Address).ShouldBe((server.Owner.OrganizationId, me.UserId, made.Invitation.Id, "127.0.0.1"));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_person_who_has_an_account_joins_with_its_password_only(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var person = await server.NewPersonAsync();
        var made = await server.InviteAsync(Role.Viewer);

        foreach (var name in new[] { null, "Somebody New" }) // a name does not get around the password
            await server.AcceptAsync(made.Code(), person, name, "not the password").ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.InvalidCredentials);
        (await server.InvitationsAsync()).Single().State.ShouldBe(InvitationState.Pending, "a wrong password uses nothing up");
        var me = await (await server.AcceptAsync(made.Code(), person, name: null)).BodyAsync<IdentityBody>();

        (me.Email, me.Role, me.Organization.Id).ShouldBe((person, Role.Viewer, server.Owner.OrganizationId));
        (await server.Database.ReadAsync(s => s.FirstAsync<long>("SELECT count(*) FROM users WHERE email = @person", new { person }), Cancelled)).ShouldBe(1);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Without_a_name_an_unknown_address_is_answered_like_a_wrong_password(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var person = await server.NewPersonAsync();
        var made = await server.InviteAsync(Role.Viewer);
        var wrong = await server.AcceptAsync(made.Code(), person, name: null, "not the password").ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.InvalidCredentials);
        var unknown = await server.AcceptAsync(made.Code(), NewEmail(), name: null, "not the password").ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.InvalidCredentials);
        unknown.ShouldBe(wrong);
        // A password too short for an account is refused before anybody looks whether there is one.
        foreach (var email in new[] { person, NewEmail() })
            (await server.AcceptAsync(made.Code(), email, "Name", "short").ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe(["password"]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Unknown_used_expired_and_revoked_codes_and_another_address_share_one_answer(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = clock });
        var person = await server.NewPersonAsync();
        var (expired, used, revoked, bound) = (await server.InviteAsync(Role.Viewer, hours: 1), await server.InviteAsync(Role.Viewer), await server.InviteAsync(Role.Viewer),
            await server.InviteAsync(Role.Viewer, "invited@example.test"));
        clock.Advance(TimeSpan.FromHours(1));
        (await server.AcceptAsync(used.Code(), NewEmail())).EnsureSuccessStatusCode();
        (await server.Client.DeleteAsync($"{server.InvitationsUrl()}/{revoked.Invitation.Id}", Cancelled)).EnsureSuccessStatusCode();

        var answers = new List<string>();
        foreach (var code in new[] { "guess", expired.Code(), used.Code(), revoked.Code(), bound.Code(), used.Code().ToUpperInvariant() })
        {
            foreach (var (email, name) in new[] { (person, (string?)null), (NewEmail(), "New Person") })
            {
                var response = await server.AcceptAsync(code, email, name);
                await response.ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.InvalidInvitation);
                answers.Add(await response.Content.ReadAsStringAsync(Cancelled));
                clock.Advance(TimeSpan.FromMinutes(5)); // out of the limits' window
            }
        }
        answers.Distinct().ShouldHaveSingleItem();
        (await server.AcceptAsync(bound.Code(), "invited@example.test")).EnsureSuccessStatusCode();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Of_racing_uses_of_one_code_one_wins_and_the_others_leave_nothing_behind(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var person = await server.NewPersonAsync();
        for (var round = 0; round < 3; round++)
        {
            var before = (await server.MembersAsync()).Count;
            var users = await CountUsersAsync(server);
            var made = await server.InviteAsync(Role.Member);
            var newcomers = Enumerable.Range(0, 4).Select(_ => NewEmail()).ToList();
            var answers = await Task.WhenAll([.. newcomers.Select(email => server.AcceptAsync(made.Code(), email)), server.AcceptAsync(made.Code(), person, name: null)]);

            answers.Count(a => a.StatusCode == HttpStatusCode.OK).ShouldBe(1);
            foreach (var lost in answers.Where(a => a.StatusCode != HttpStatusCode.OK)) await lost.ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.InvalidInvitation);
            (await server.MembersAsync()).Count.ShouldBe(before + 1);
            (await CountUsersAsync(server) - users).ShouldBe(answers[^1].StatusCode == HttpStatusCode.OK ? 0 : 1, "an account is made by the winner only");
            (await server.AuditAsync("invitation.accepted")).Count(row => row.Subject == made.Invitation.Id).ShouldBe(1);
            if (answers[^1].StatusCode == HttpStatusCode.OK)
            {
                var joined = (await server.MembersAsync()).Single(m => m.Email == person);
                (await server.Client.DeleteAsync($"{server.MembersUrl()}/{joined.UserId}", Cancelled)).EnsureSuccessStatusCode();
            }
        }
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task One_address_at_once_by_two_invitations_makes_one_account(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var made = await Task.WhenAll(server.InviteAsync(Role.Member), server.InviteAsync(Role.Member));
        var email = NewEmail();
        var answers = await Task.WhenAll(made.Select(invitation => server.AcceptAsync(invitation.Code(), email)));
        // The same password shows that it is the same person; the second finds them a member already.
        answers.Select(a => (int)a.StatusCode).Order().ShouldBe([200, 409]);
        (await server.InvitationsAsync()).Select(i => i.State).ShouldBe([InvitationState.Accepted, InvitationState.Pending], ignoreOrder: true);
        (await server.Database.ReadAsync(s => s.FirstAsync<long>("SELECT count(*) FROM users WHERE email = @email", new { email }), Cancelled)).ShouldBe(1);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_lost_answer_is_given_again_to_the_same_person_and_to_nobody_else(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var made = await server.InviteAsync(Role.Member);
        var email = NewEmail();
        var me = await (await server.AcceptAsync(made.Code(), email)).BodyAsync<IdentityBody>();

        (await (await server.AcceptAsync(made.Code(), email)).BodyAsync<IdentityBody>()).ShouldBe(me);
        (await server.AuditAsync("invitation.accepted")).ShouldHaveSingleItem();
        await server.AcceptAsync(made.Code(), email, password: "not the password").ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.InvalidInvitation);
        // Who was removed since does not come back by the old link.
        (await server.Client.DeleteAsync($"{server.MembersUrl()}/{me.UserId}", Cancelled)).EnsureSuccessStatusCode();
        await server.AcceptAsync(made.Code(), email).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.InvalidInvitation);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_member_does_not_use_up_an_invitation_and_changes_no_role_with_it(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var viewer = await server.NewMemberAsync(Role.Viewer);
        var me = await viewer.GetBodyAsync<IdentityBody>("/api/auth/me");
        var made = await server.InviteAsync(Role.Admin);
        await server.AcceptAsync(made.Code(), me.Email, name: null).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict);
        (await viewer.GetBodyAsync<IdentityBody>("/api/auth/me")).Role.ShouldBe(Role.Viewer);
        (await server.AcceptAsync(made.Code(), NewEmail())).EnsureSuccessStatusCode();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_flood_of_guessed_codes_is_cut_off_by_address(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = clock, Settings = new Dictionary<string, string?> { ["Tanjiren:Invitations:TriesPerAddress"] = "3" } });
        var made = await server.InviteAsync(Role.Member);
        for (var i = 0; i < 3; i++) await server.AcceptAsync("guess" + i, NewEmail()).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.InvalidInvitation);
        var cut = await server.AcceptAsync(made.Code(), NewEmail());
        await cut.ProblemAsync(HttpStatusCode.TooManyRequests, ErrorCode.RateLimited);
        cut.Headers.RetryAfter!.Delta.ShouldBe(TimeSpan.FromMinutes(5));
        clock.Advance(TimeSpan.FromMinutes(5));
        (await server.AcceptAsync(made.Code(), NewEmail())).EnsureSuccessStatusCode();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Who_found_a_link_can_try_out_neither_many_addresses_nor_many_passwords(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind, o => o with
        {
            Settings = new Dictionary<string, string?> { ["Tanjiren:Invitations:TriesPerCode"] = "3", ["Tanjiren:Identity:LoginsPerAccount"] = "2" },
        });
        var bound = await server.InviteAsync(Role.Member, "invited@example.test");
        for (var i = 0; i < 3; i++) await server.AcceptAsync(bound.Code(), NewEmail()).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.InvalidInvitation);
        await server.AcceptAsync(bound.Code(), "invited@example.test").ProblemAsync(HttpStatusCode.TooManyRequests, ErrorCode.RateLimited);

        // Passwords tried here count as tries to sign in, and the other way round.
        var person = await server.NewPersonAsync();
        var open = await server.InviteAsync(Role.Member);
        await server.AcceptAsync(open.Code(), person, name: null, "not the password").ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.InvalidCredentials);
        using var anonymous = server.NewClient(null);
        await anonymous.PostJsonAsync("/api/auth/login", new LoginRequest { Email = person, Password = "not the password" }).ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.InvalidCredentials);
        await server.AcceptAsync(open.Code(), person, name: null).ProblemAsync(HttpStatusCode.TooManyRequests, ErrorCode.RateLimited);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Every_field_is_validated_and_a_foreign_page_is_refused(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        (await server.AcceptAsync(null, "nobody", name: " ", password: "short").ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed))
            .Errors!.Keys.ShouldBe(["code", "email", "name", "password"]);
        (await server.AcceptAsync("c", null, name: null, password: null).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed))
            .Errors!.Keys.ShouldBe(["email", "password"]);

        var made = await server.InviteAsync(Role.Member);
        using var browser = server.NewClient(null);
        browser.DefaultRequestHeaders.Add("Origin", "https://evil.example");
        await browser.PostJsonAsync("/api/invitations/accept", new AcceptInvitationRequest { Code = made.Code(), Email = NewEmail(), Name = "Eve", Password = ServerFixture.Password })
            .ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.ForeignOrigin);
        (await server.InvitationsAsync()).Single().State.ShouldBe(InvitationState.Pending);
    }

    private static Task<long> CountUsersAsync(ServerFixture server) => server.Database.ReadAsync(s => s.FirstAsync<long>("SELECT count(*) FROM users"), Cancelled);
}
