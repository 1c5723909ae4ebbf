using System.Net;
using System.Text.RegularExpressions;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Identity;

public sealed partial class SetupTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_bare_server_prints_a_link_whose_code_makes_the_owner_once(DatabaseKind kind)
    {
        await using var server = await StartBareAsync(kind);
        using var client = server.NewClient(null);
        var code = CodeOf(server);
        await client.PostJsonAsync("/api/setup", Request("wrong")).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.InvalidSetupCode);

        var made = await client.PostJsonAsync("/api/setup", Request(code));

        var owner = await made.BodyAsync<IdentityBody>();
        (owner.Email, owner.Role, owner.Organization.Name).ShouldBe(("ann@example.test", Role.Owner, "Acme"));
        made.Headers.GetValues("Set-Cookie").ShouldContain(c => c.StartsWith("tnv_session=", StringComparison.Ordinal));
        await client.PostJsonAsync("/api/setup", Request(code)).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.AlreadySetUp);
        (await client.PostJsonAsync("/api/auth/login", new LoginRequest { Email = "ann@example.test", Password = ServerFixture.Password })).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_code_expires_after_fifteen_minutes(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        await using var server = await StartBareAsync(kind, clock);
        clock.Advance(TimeSpan.FromMinutes(15));
        using var client = server.NewClient(null);
        await client.PostJsonAsync("/api/setup", Request(CodeOf(server))).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.InvalidSetupCode);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Every_field_is_validated_at_once(DatabaseKind kind)
    {
        await using var server = await StartBareAsync(kind);
        using var client = server.NewClient(null);
        var problem = await client.PostJsonAsync("/api/setup", new SetupRequest { Email = "ann", Password = "short" })
            .ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed);
        problem.Errors!.Keys.Order().ShouldBe(["code", "email", "organizationName", "password"]);
    }

    [Fact]
    public async Task A_server_with_users_prints_no_link()
    {
        await using var database = await TestDatabase.CreateAsync(DatabaseKind.Sqlite);
        await using (await ServerFixture.StartAsync(database.Url)) { }
        await using var server = await ServerFixture.StartAsync(database.Url, o => o with { OfferSetup = true });
        server.Log.Lines.ShouldNotContain(l => l.Contains("/setup?code=", StringComparison.Ordinal));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_page_behind_the_link_takes_its_own_form_only(DatabaseKind kind)
    {
        await using var server = await StartBareAsync(kind);
        using var client = server.NewClient(null);
        var code = CodeOf(server);
        var page = await client.GetAsync("/setup?code=" + code + "%22%3E%3Cscript%3E", Cancelled);
        var html = await page.Content.ReadAsStringAsync(Cancelled);
        html.ShouldNotContain("<script>");
        page.Headers.CacheControl!.NoStore.ShouldBeTrue();
        var cookie = page.Headers.GetValues("Set-Cookie").Single().Split(';')[0];
        var token = Csrf().Match(html).Groups[1].Value;

        Task<HttpResponseMessage> Submit(string csrf, string? sentCookie, string origin)
        {
            var request = new HttpRequestMessage(HttpMethod.Post, "/setup")
            {
                Content = new FormUrlEncodedContent(new Dictionary<string, string>
                {
                    ["csrf"] = csrf, ["code"] = code, ["email"] = "ann@example.test", ["password"] = ServerFixture.Password, ["organizationName"] = "Acme",
                }),
            };
            if (sentCookie is not null) request.Headers.Add("Cookie", sentCookie);
            request.Headers.Add("Origin", origin);
            return client.SendAsync(request, Cancelled);
        }

        (await Submit(token, null, server.Url)).StatusCode.ShouldBe(HttpStatusCode.Forbidden);
        (await Submit("guess", cookie, server.Url)).StatusCode.ShouldBe(HttpStatusCode.Forbidden);
        (await Submit(token, cookie, "https://evil.example")).StatusCode.ShouldBe(HttpStatusCode.Forbidden);
        var done = await Submit(token, cookie, server.Url);
        var welcome = await done.Content.ReadAsStringAsync(Cancelled);
        welcome.ShouldContain("ann@example.test is the owner of Acme now");
        welcome.ShouldContain($"<pre>tanvrit-compute auth login --server {server.Url}</pre>");
        done.Headers.GetValues("Set-Cookie").ShouldContain(c => c.StartsWith("tnv_session=", StringComparison.Ordinal));
    }

    private static async Task<ServerFixture> StartBareAsync(DatabaseKind kind, TimeProvider? clock = null) =>
        await ServerFixture.StartAsync(kind, o => o with { OfferSetup = true, Clock = clock ?? TimeProvider.System });

    private static string CodeOf(ServerFixture server) =>
        Link().Match(server.Log.Lines.Single(l => l.Contains("/setup?code=", StringComparison.Ordinal))).Groups[1].Value;

    private static SetupRequest Request(string code) => new() { Code = code, Email = "ann@example.test", Password = ServerFixture.Password, OrganizationName = "Acme" };

    [GeneratedRegex("/setup\\?code=(?<code>[a-z0-9]+)", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Link();

    [GeneratedRegex("name=\"csrf\" value=\"(?<csrf>[^\"]+)\"", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Csrf();
}
