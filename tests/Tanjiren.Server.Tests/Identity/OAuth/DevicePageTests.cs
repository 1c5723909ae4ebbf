using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Identity.OAuth;

/// <summary>The page on which a person decides, and what foreign pages and guessers get from it.</summary>
public sealed class DevicePageTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Behind_a_path_of_a_proxy_the_cookie_of_the_forms_comes_back_to_them(DatabaseKind kind)
    {
        foreach (var publicUrl in new[] { "http://localhost:1/compute", "http://localhost:1", null })
        {
            await using var server = await ServerFixture.StartAsync(kind, o => o with { PublicUrl = publicUrl });
            var invitation = await (await server.Client.PostJsonAsync($"/api/organizations/{server.Owner.OrganizationId}/invitations", new CreateInvitationRequest { Role = Role.Viewer }))
                .BodyAsync<CreatedInvitation>();
            using var browser = server.NewClient(null);
            foreach (var (page, query) in new[] { ("/device", ""), ("/invitations", new Uri(invitation.Link).Query) })
            {
                using var answer = await browser.GetAsync(page + query, Cancelled);
                answer.Headers.GetValues("Set-Cookie").ShouldHaveSingleItem().Split("; ").ShouldContain("path=/", "whatever path a proxy shows it under");
            }
        }
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task It_shows_who_asks_and_decides_nothing_by_being_opened(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var person = await Browser.OfMemberAsync(server);
        using var client = server.NewClient(null);
        var asked = await client.AskAsync("<script>alert(1)</script>");

        var (answer, html) = await person.OpenAsync(new Uri(asked.VerificationUriComplete!).PathAndQuery);

        html.ShouldContain(asked.UserCode);
        html.ShouldContain("tanvrit-compute");
        html.ShouldContain("127.0.0.1");
        html.ShouldContain("&lt;script&gt;alert(1)");
        html.ShouldNotContain("<script>");
        answer.Headers.CacheControl!.NoStore.ShouldBeTrue();
        answer.Headers.GetValues("Content-Security-Policy").Single().ShouldContain("frame-ancestors 'none'");
        answer.Headers.GetValues("X-Frame-Options").Single().ShouldBe("DENY");
        answer.Headers.GetValues("Referrer-Policy").Single().ShouldBe("same-origin");
        await client.PollAsync(asked.DeviceCode).RefusedAsync("authorization_pending");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Whoever_is_not_signed_in_signs_in_on_the_page_and_comes_back_to_the_code(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var known = await Browser.OfMemberAsync(server);
        using var person = new Browser(server, known.Email);
        using var client = server.NewClient(null);
        var asked = await client.AskAsync("secret-machine");

        var (_, html) = await person.OpenAsync("/device?user_code=" + asked.UserCode);
        html.ShouldContain("name=\"password\"");
        html.ShouldNotContain("secret-machine", customMessage: "who asks is for people who are signed in");
        var form = HtmlForm.Read(html);
        form["action"] = "sign-in";
        (form["email"], form["password"]) = (known.Email.ToUpperInvariant(), "wrong wrong wrong");
        (await person.SubmitAsync(form)).Answer.StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
        form["password"] = ServerFixture.Password;
        (await person.SubmitAsync(form, "https://evil.example")).Answer.StatusCode.ShouldBe(HttpStatusCode.Forbidden);
        var (signedIn, _) = await person.SubmitAsync(form);
        signedIn.StatusCode.ShouldBe(HttpStatusCode.SeeOther);
        signedIn.Headers.Location!.ToString().ShouldBe("device?user_code=" + asked.UserCode);

        (await person.OpenAsync("/" + signedIn.Headers.Location)).Html.ShouldContain("secret-machine");
        await person.ApproveAsync(asked.UserCode);
        (await client.PollAsync(asked.DeviceCode).TokensAsync()).AccessToken.ShouldStartWith("tnv_");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Only_its_own_form_for_this_code_and_this_session_decides(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var victim = await Browser.OfMemberAsync(server);
        using var attacker = await Browser.OfMemberAsync(server);
        using var client = server.NewClient(null);
        var (asked, other) = (await client.AskAsync(), await client.AskAsync());
        var form = await victim.FormAsync(asked.UserCode);
        form["action"] = "approve";

        async Task RefusedAsync(string why, Dictionary<string, string> sent, string? origin = "own")
        {
            (await victim.SubmitAsync(sent, origin)).Answer.StatusCode.ShouldBe(HttpStatusCode.Forbidden, why);
            await client.PollAsync(asked.DeviceCode).RefusedAsync(why == "first" ? "authorization_pending" : "slow_down");
        }
        await RefusedAsync("first", new(form), "https://evil.example");
        await RefusedAsync("no origin", new(form), null);
        await RefusedAsync("an opaque origin", new(form), "null");
        await RefusedAsync("no token", new(form) { ["csrf"] = "" });
        await RefusedAsync("a guessed token", new(form) { ["csrf"] = new string('A', 43) });
        await RefusedAsync("another code's token", new(await victim.FormAsync(other.UserCode)) { ["user_code"] = asked.UserCode, ["action"] = "approve" });
        await RefusedAsync("another person's token", new(await attacker.FormAsync(asked.UserCode)) { ["action"] = "approve" });
        await RefusedAsync("another organization", new(form) { ["organization"] = (await server.NewOrganizationAsync()).OrganizationId });
        (await victim.SubmitAsync(form)).Answer.StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_no_database_can_store_is_refused_in_the_forms_words(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var person = await Browser.OfMemberAsync(server);
        using var stranger = new Browser(server, "stranger@example.test");
        using var client = server.NewClient(null);
        var asked = await client.AskAsync();

        var decision = await person.FormAsync(asked.UserCode);
        (decision["action"], decision["organization"]) = ("approve", server.Owner.OrganizationId + "\0");
        (await person.SubmitFormAsync(Multipart(decision))).Answer.StatusCode.ShouldBe(HttpStatusCode.Forbidden);

        var signIn = HtmlForm.Read((await stranger.OpenAsync("/device")).Html);
        foreach (var email in new[] { "ann\0@example.test", new string('a', 300) + "@example.test", "" })
        {
            (signIn["action"], signIn["email"], signIn["password"]) = ("sign-in", email, ServerFixture.Password);
            var (answer, html) = await stranger.SubmitFormAsync(Multipart(signIn));
            answer.StatusCode.ShouldBe(HttpStatusCode.UnprocessableEntity, html);
            html.ShouldContain("email ");
        }

        // The framework lets a NUL through here only; in a form that is encoded as a URL it refuses one itself.
        static MultipartFormDataContent Multipart(Dictionary<string, string> fields)
        {
            var form = new MultipartFormDataContent();
            foreach (var (name, value) in fields) form.Add(new StringContent(value), name);
            return form;
        }
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_flood_of_guessed_user_codes_is_stopped_and_own_codes_buy_no_guesses(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = clock, Settings = new Dictionary<string, string?> { ["Tanjiren:OAuth:UserCodeTries"] = "4" } });
        using var guesser = await Browser.OfMemberAsync(server);
        using var client = server.NewClient(null);
        var own = await client.AskAsync();
        async Task<HttpStatusCode> TryAsync(string code) => (await guesser.OpenAsync("/device?user_code=" + code)).Answer.StatusCode;

        (await TryAsync("BBBB-BBBB")).ShouldBe(HttpStatusCode.NotFound);
        (await TryAsync("not a code")).ShouldBe(HttpStatusCode.NotFound);
        (await TryAsync(own.UserCode)).ShouldBe(HttpStatusCode.OK);
        (await TryAsync("CCCC-CCCC")).ShouldBe(HttpStatusCode.NotFound);
        (await TryAsync("DDDD-DDDD")).ShouldBe(HttpStatusCode.TooManyRequests);
        (await TryAsync(own.UserCode)).ShouldBe(HttpStatusCode.TooManyRequests);
        clock.Advance(TimeSpan.FromMinutes(5));
        (await TryAsync(own.UserCode)).ShouldBe(HttpStatusCode.OK);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Of_two_who_decide_at_once_one_decides(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var ann = await Browser.OfMemberAsync(server);
        using var bob = await Browser.OfMemberAsync(server);
        using var client = server.NewClient(null);
        var asked = await client.AskAsync();
        var (yes, no) = (await ann.FormAsync(asked.UserCode), await bob.FormAsync(asked.UserCode));
        (yes["action"], no["action"]) = ("approve", "deny");

        var answers = await Task.WhenAll(ann.SubmitAsync(yes), bob.SubmitAsync(no));

        answers.Select(a => a.Answer.StatusCode).Order().ShouldBe([HttpStatusCode.OK, HttpStatusCode.Conflict]);
        var poll = await client.PollAsync(asked.DeviceCode);
        poll.IsSuccessStatusCode.ShouldBe(answers[0].Answer.StatusCode == HttpStatusCode.OK);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_person_in_several_organizations_chooses_one(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var (organizationId, founder) = await server.NewOrganizationAsync();
        using var _ = founder;
        var me = await founder.GetBodyAsync<IdentityBody>("/api/auth/me");
        using var person = new Browser(server, me.Email);
        await person.LogInAsync();
        using var client = server.NewClient(null);
        var asked = await client.AskAsync();

        (await person.OpenAsync("/device?user_code=" + asked.UserCode)).Html.ShouldContain($"<option value=\"{organizationId}\">");
        await person.ApproveAsync(asked.UserCode, organizationId);
        var tokens = await client.PollAsync(asked.DeviceCode).TokensAsync();
        using var device = server.NewClient(tokens.AccessToken);
        (await device.GetBodyAsync<IdentityBody>("/api/auth/me")).Organization.Id.ShouldBe(organizationId);
    }
}
