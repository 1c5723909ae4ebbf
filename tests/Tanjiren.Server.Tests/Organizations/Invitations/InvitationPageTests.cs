using System.Net;
using System.Text.RegularExpressions;
using Tanjiren.Protocol;
using Tanjiren.Tests;
using static Tanjiren.Server.Tests.Organizations.Invitations.InvitationCalls;

namespace Tanjiren.Server.Tests.Organizations.Invitations;

/// <summary>The page behind the link, as a browser meets it.</summary>
public sealed partial class InvitationPageTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task It_says_what_is_offered_and_keeps_the_code_and_the_invited_address_to_itself(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var made = await server.InviteAsync(Role.Admin, "invited@example.test");
        using var browser = server.NewClient(null);

        using var page = await browser.GetAsync(PathOf(made), Cancelled);

        page.StatusCode.ShouldBe(HttpStatusCode.OK);
        var html = await page.Content.ReadAsStringAsync(Cancelled);
        html.ShouldContain("join local as an admin");
        html.ShouldNotContain("invited@example.test");
        page.Headers.GetValues("Referrer-Policy").ShouldBe(["no-referrer"]);
        page.Headers.CacheControl!.NoStore.ShouldBeTrue();
        page.Headers.GetValues("Content-Security-Policy").Single().ShouldContain("default-src 'none'");
        html.ShouldNotContain("http", Case.Insensitive, "nothing on the page leads or loads from elsewhere");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Codes_that_do_not_work_show_one_page_without_a_form(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Settings = new Dictionary<string, string?> { ["Tanjiren:Invitations:TriesPerAddress"] = "4" } });
        var (used, revoked) = (await server.InviteAsync(Role.Member), await server.InviteAsync(Role.Member));
        (await server.AcceptAsync(used.Code(), NewEmail())).EnsureSuccessStatusCode();
        (await server.Client.DeleteAsync($"{server.InvitationsUrl()}/{revoked.Invitation.Id}", Cancelled)).EnsureSuccessStatusCode();
        using var browser = server.NewClient(null);
        var pages = new List<string>();
        foreach (var path in new[] { "/invitations", "/invitations?code=%3Cscript%3E", PathOf(used), PathOf(revoked) })
        {
            using var page = await browser.GetAsync(path, Cancelled);
            page.StatusCode.ShouldBe(HttpStatusCode.UnprocessableEntity);
            pages.Add(await page.Content.ReadAsStringAsync(Cancelled));
        }
        pages.Distinct().ShouldHaveSingleItem().ShouldNotContain("<form");
        using var flooded = await browser.GetAsync("/invitations?code=guess", Cancelled);
        flooded.StatusCode.ShouldBe(HttpStatusCode.TooManyRequests);
        flooded.Headers.RetryAfter.ShouldNotBeNull();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task It_takes_its_own_form_only_and_signs_the_new_member_in(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var made = await server.InviteAsync(Role.Member);
        using var browser = server.NewClient(null);
        var (csrf, cookie) = await OpenAsync(browser, made);

        (await SubmitAsync(browser, made, csrf, null, server.Url)).StatusCode.ShouldBe(HttpStatusCode.Forbidden);
        (await SubmitAsync(browser, made, "guess", cookie, server.Url)).StatusCode.ShouldBe(HttpStatusCode.Forbidden);
        (await SubmitAsync(browser, made, csrf, cookie, "https://evil.example")).StatusCode.ShouldBe(HttpStatusCode.Forbidden);
        (await SubmitAsync(browser, made, csrf, cookie, null)).StatusCode.ShouldBe(HttpStatusCode.Forbidden);
        (await SubmitAsync(browser, made, csrf, null, "null")).StatusCode.ShouldBe(HttpStatusCode.Forbidden);
        (await server.InvitationsAsync()).Single().State.ShouldBe(InvitationState.Pending);

        // Browsers send this origin from a page that says no-referrer.
        using var done = await SubmitAsync(browser, made, csrf, cookie, "null");
        done.StatusCode.ShouldBe(HttpStatusCode.OK);
        (await done.Content.ReadAsStringAsync(Cancelled)).ShouldContain("new&#x2B;one@example.test is a member of local now");
        done.Headers.GetValues("Set-Cookie").ShouldContain(c => c.StartsWith("tnv_session=", StringComparison.Ordinal));
        (await server.MembersAsync()).Single(m => m.Email == "new+one@example.test").Name.ShouldBe("New <One>");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_is_wrong_is_said_on_the_form_which_keeps_what_was_typed_but_the_password(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var made = await server.InviteAsync(Role.Member);
        using var browser = server.NewClient(null);
        var (csrf, cookie) = await OpenAsync(browser, made);
        using var refused = await SubmitAsync(browser, made, csrf, cookie, server.Url, password: "short");
        refused.StatusCode.ShouldBe(HttpStatusCode.UnprocessableEntity);
        var html = await refused.Content.ReadAsStringAsync(Cancelled);
        html.ShouldContain("password must have from 12 to 512 characters");
        html.ShouldContain("new&#x2B;one@example.test");
        html.ShouldContain("New &lt;One&gt;");
        html.ShouldNotContain("short");
        using var json = await browser.PostAsync("/invitations", JsonHttp.Content(new AcceptInvitationRequest()), Cancelled);
        json.StatusCode.ShouldBe(HttpStatusCode.Forbidden, "no origin");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task No_code_reaches_the_log_or_the_audit_log(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var (joined, broken) = (await server.InviteAsync(Role.Member), await server.InviteAsync(Role.Member, "invited@example.test"));
        using var browser = server.NewClient(null);
        var (csrf, cookie) = await OpenAsync(browser, joined);
        (await SubmitAsync(browser, joined, csrf, cookie, server.Url)).EnsureSuccessStatusCode();
        await server.AcceptAsync(broken.Code(), NewEmail()).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.InvalidInvitation);
        // A request that fails inside is logged with its exception: even that must not tell the code.
        await server.Database.WriteAsync(tx => tx.ExecuteAsync("ALTER TABLE invitations RENAME TO gone"), Cancelled);
        using var plain = new HttpClient { BaseAddress = new Uri(server.Url) }; // no route declares that it fails
        var request = new AcceptInvitationRequest { Code = broken.Code(), Email = "invited@example.test", Password = ServerFixture.Password };
        await plain.PostJsonAsync("/api/invitations/accept", request).ProblemAsync(HttpStatusCode.InternalServerError, ErrorCode.InternalError);
        await plain.GetAsync(PathOf(broken), Cancelled).ProblemAsync(HttpStatusCode.InternalServerError, ErrorCode.InternalError);

        server.Log.Lines.ShouldContain(line => line.Contains("/invitations", StringComparison.Ordinal), "the failure is logged");
        var audit = await server.Database.ReadAsync(s => s.ListAsync<string>("SELECT action || ' ' || subject || ' ' || coalesce(detail, '') FROM audit_events"), Cancelled);
        foreach (var code in new[] { joined.Code(), broken.Code() })
            server.Log.Lines.Concat(audit).ShouldAllBe(line => !line.Contains(code, StringComparison.OrdinalIgnoreCase));
    }

    private static string PathOf(CreatedInvitation made) => new Uri(made.Link).PathAndQuery;

    private static async Task<(string Csrf, string Cookie)> OpenAsync(HttpClient browser, CreatedInvitation made)
    {
        using var page = await browser.GetAsync(PathOf(made), Cancelled);
        return (Csrf().Match(await page.Content.ReadAsStringAsync(Cancelled)).Groups["csrf"].Value, page.Headers.GetValues("Set-Cookie").Single().Split(';')[0]);
    }

    private static Task<HttpResponseMessage> SubmitAsync(HttpClient browser, CreatedInvitation made, string csrf, string? cookie, string? origin, string password = ServerFixture.Password)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, "/invitations")
        {
            Content = new FormUrlEncodedContent(new Dictionary<string, string>
            {
                ["csrf"] = csrf, ["code"] = made.Code(), ["email"] = "new+one@example.test", ["name"] = "New <One>", ["password"] = password,
            }),
        };
        if (cookie is not null) request.Headers.Add("Cookie", cookie);
        if (origin is not null) request.Headers.Add("Origin", origin);
        return browser.SendAsync(request, Cancelled);
    }

    [GeneratedRegex("name=\"csrf\" value=\"(?<csrf>[^\"]+)\"", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Csrf();
}
