using System.Net;
using System.Net.Http.Headers;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Identity;

public sealed class AuthenticationTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_password_opens_a_session_whose_cookie_no_script_and_no_other_site_can_use(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var (email, _) = await AddAsync(server, Role.Member);
        using var anonymous = server.NewClient(null);

        var login = await anonymous.PostJsonAsync("/api/auth/login", new LoginRequest { Email = email.ToUpperInvariant(), Password = ServerFixture.Password });

        (await login.BodyAsync<IdentityBody>()).Role.ShouldBe(Role.Member);
        var cookie = login.Headers.GetValues("Set-Cookie").ShouldHaveSingleItem();
        cookie.ShouldStartWith("tnv_session=tnv_");
        cookie.ShouldContain("httponly");
        cookie.ShouldContain("samesite=strict");
        var me = await SendAsync(anonymous, HttpMethod.Get, "/api/auth/me", cookie);
        (await me.BodyAsync<IdentityBody>()).Email.ShouldBe(email);

        (await SendAsync(anonymous, HttpMethod.Post, "/api/auth/logout", cookie, server.Url)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        await SendAsync(anonymous, HttpMethod.Get, "/api/auth/me", cookie).ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.InvalidCredentials);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_cookie_changes_nothing_for_a_page_of_another_origin(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var (email, _) = await AddAsync(server, Role.Member);
        using var anonymous = server.NewClient(null);
        var cookie = (await anonymous.PostJsonAsync("/api/auth/login", new LoginRequest { Email = email, Password = ServerFixture.Password })).Headers.GetValues("Set-Cookie").First();

        foreach (var origin in new[] { "https://evil.example", "null", server.Url + "0", null })
            await SendAsync(anonymous, HttpMethod.Post, "/api/auth/logout", cookie, origin).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.ForeignOrigin);
        (await SendAsync(anonymous, HttpMethod.Get, "/api/auth/me", cookie, "https://evil.example")).StatusCode.ShouldBe(HttpStatusCode.OK, "reading is what CORS keeps the answer of");

        using var login = new HttpRequestMessage(HttpMethod.Post, "/api/auth/login") { Content = JsonHttp.Content(new LoginRequest { Email = email, Password = ServerFixture.Password }) };
        login.Headers.Add("Origin", "https://evil.example");
        await anonymous.SendAsync(login, Cancelled).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.ForeignOrigin);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Wrong_password_and_unknown_account_get_the_same_answer(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var (email, _) = await AddAsync(server, Role.Member);
        using var anonymous = server.NewClient(null);
        var wrong = await anonymous.PostJsonAsync("/api/auth/login", new LoginRequest { Email = email, Password = "not the password" })
            .ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.InvalidCredentials);
        var unknown = await anonymous.PostJsonAsync("/api/auth/login", new LoginRequest { Email = "nobody@example.test", Password = "not the password" })
            .ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.InvalidCredentials);
        // The owner of `local` has no password, and none is the right one.
        var without = await anonymous.PostJsonAsync("/api/auth/login", new LoginRequest { Email = "owner@local", Password = "not the password" })
            .ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.InvalidCredentials);
        unknown.Detail.ShouldBe(wrong.Detail);
        without.Detail.ShouldBe(wrong.Detail);
        await anonymous.PostJsonAsync("/api/auth/login", new LoginRequest()).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Guessing_is_limited_per_account_until_the_window_ends(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = clock, Settings = new Dictionary<string, string?> { ["Tanjiren:Identity:LoginsPerAccount"] = "2" } });
        var (email, _) = await AddAsync(server, Role.Member);
        using var anonymous = server.NewClient(null);
        Task<HttpResponseMessage> Login(string password) => anonymous.PostJsonAsync("/api/auth/login", new LoginRequest { Email = email, Password = password });
        await Login("wrong wrong wrong").ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.InvalidCredentials);
        await Login("wrong wrong wrong").ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.InvalidCredentials);

        var refused = await Login(ServerFixture.Password);
        await refused.ProblemAsync(HttpStatusCode.TooManyRequests, ErrorCode.RateLimited);
        refused.Headers.RetryAfter!.Delta.ShouldBe(TimeSpan.FromSeconds(300));
        clock.Advance(TimeSpan.FromSeconds(300));
        (await Login(ServerFixture.Password)).StatusCode.ShouldBe(HttpStatusCode.OK);
        // A success forgets the failures before it.
        await Login("wrong wrong wrong").ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.InvalidCredentials);
        (await Login(ServerFixture.Password)).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await Login(ServerFixture.Password)).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Guessing_is_limited_per_address(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Settings = new Dictionary<string, string?> { ["Tanjiren:Identity:LoginsPerAddress"] = "2" } });
        using var anonymous = server.NewClient(null);
        for (var i = 0; i < 2; i++)
            await anonymous.PostJsonAsync("/api/auth/login", new LoginRequest { Email = $"user{i}@example.test", Password = "x" }).ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.InvalidCredentials);
        await anonymous.PostJsonAsync("/api/auth/login", new LoginRequest { Email = "other@example.test", Password = "x" }).ProblemAsync(HttpStatusCode.TooManyRequests, ErrorCode.RateLimited);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_token_is_shown_once_stored_hashed_and_refused_once_revoked(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var created = await (await server.Client.PostJsonAsync("/api/auth/tokens", new CreateTokenRequest { Name = "ci", ExpiresInDays = 1 })).BodyAsync<CreatedToken>();
        using var client = server.NewClient(created.Secret);
        (await client.GetBodyAsync<IdentityBody>("/api/auth/me")).Organization.Name.ShouldBe("local");

        var listed = await server.Client.GetBodyAsync<Page<TokenBody>>("/api/auth/tokens");
        listed.Items.Select(t => t.Name).ShouldBe(["up", "ci"]);
        listed.Items[1].LastUsedAt.ShouldNotBeNull();
        (await server.Client.GetStringAsync("/api/auth/tokens", Cancelled)).ShouldNotContain(created.Secret);
        (await server.Database.ReadAsync(s => s.ListAsync<string>("SELECT secret_hash FROM credentials"), Cancelled)).ShouldAllBe(h => h.Length == 64);

        (await server.Client.DeleteAsync("/api/auth/tokens/" + created.Token.Id, Cancelled)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        await client.GetAsync("/api/auth/me", Cancelled).ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.InvalidCredentials);
        await server.Client.DeleteAsync("/api/auth/tokens/" + created.Token.Id, Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Nobody_sees_or_revokes_anothers_tokens(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var admin = await server.NewMemberAsync(Role.Admin);
        var owners = (await server.Client.GetBodyAsync<Page<TokenBody>>("/api/auth/tokens")).Items[0];
        (await admin.GetBodyAsync<Page<TokenBody>>("/api/auth/tokens")).Items.ShouldHaveSingleItem().Name.ShouldBe("test");
        await admin.DeleteAsync("/api/auth/tokens/" + owners.Id, Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_token_ends_with_its_time_and_its_last_use_is_written_once_a_minute(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = clock });
        var created = await (await server.Client.PostJsonAsync("/api/auth/tokens", new CreateTokenRequest { Name = "short", ExpiresInDays = 1 })).BodyAsync<CreatedToken>();
        using var client = server.NewClient(created.Secret);
        async Task<DateTimeOffset?> LastUsedAsync()
        {
            await client.GetBodyAsync<IdentityBody>("/api/auth/me");
            return (await server.Client.GetBodyAsync<Page<TokenBody>>("/api/auth/tokens")).Items.Single(t => t.Name == "short").LastUsedAt;
        }

        var first = await LastUsedAsync();
        first.ShouldBe(clock.GetUtcNow());
        clock.Advance(TimeSpan.FromSeconds(60));
        (await LastUsedAsync()).ShouldBe(first);
        clock.Advance(TimeSpan.FromMilliseconds(1));
        (await LastUsedAsync()).ShouldBe(clock.GetUtcNow());
        clock.Advance(TimeSpan.FromDays(1));
        await client.GetAsync("/api/auth/me", Cancelled).ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.InvalidCredentials);
    }

    [Theory]
    [InlineData("Bearer tnv_wrong")]
    [InlineData("Bearer something")]
    [InlineData("Basic dG52XzE6")]
    [InlineData("DPoP tnv_wrong")]
    public async Task Other_credentials_are_refused_with_a_challenge(string authorization)
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite);
        using var client = server.NewClient(null);
        client.DefaultRequestHeaders.Authorization = AuthenticationHeaderValue.Parse(authorization);
        var response = await client.GetAsync("/api/auth/me", Cancelled);
        await response.ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.InvalidCredentials);
        response.Headers.WwwAuthenticate.ToString().ShouldBe("Bearer error=\"invalid_token\"");
    }

    private static async Task<(string Email, string UserId)> AddAsync(ServerFixture server, Role role)
    {
        var email = Guid.NewGuid().ToString("n") + "@example.test";
        var member = await (await server.Client.PostJsonAsync($"/api/organizations/{server.Owner.OrganizationId}/members",
            new AddMemberRequest { Email = email, Password = ServerFixture.Password, Role = role })).BodyAsync<MemberBody>();
        return (email, member.UserId);
    }

    private static Task<HttpResponseMessage> SendAsync(HttpClient client, HttpMethod method, string url, string cookie, string? origin = null)
    {
        var request = new HttpRequestMessage(method, url);
        request.Headers.Add("Cookie", cookie.Split(';')[0]);
        if (origin is not null) request.Headers.TryAddWithoutValidation("Origin", origin);
        return client.SendAsync(request, Cancelled);
    }
}
