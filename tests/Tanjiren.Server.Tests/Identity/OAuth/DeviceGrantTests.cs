using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Identity.OAuth;

/// <summary>RFC 8628 as a client sees it.</summary>
public sealed class DeviceGrantTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_device_that_a_person_approves_acts_as_that_person(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var person = await Browser.OfMemberAsync(server);
        using var client = server.NewClient(null);

        var answer = await client.PostFormAsync("/oauth/device_authorization", ("client_id", "tanvrit-compute"), ("machine_name", "laptop"));
        var asked = await answer.BodyAsync<DeviceAuthorizationResponse>();
        answer.Headers.CacheControl!.NoStore.ShouldBeTrue();
        (asked.ExpiresIn, asked.Interval, asked.VerificationUri).ShouldBe((600, 5, server.Url + "/device"));
        asked.UserCode.ShouldMatch("^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$");
        asked.VerificationUriComplete.ShouldBe($"{server.Url}/device?user_code={asked.UserCode}");

        await person.ApproveAsync(asked.UserCode.ToLowerInvariant().Replace("-", " ", StringComparison.Ordinal));
        var tokens = await client.PollAsync(asked.DeviceCode).TokensAsync();
        (tokens.TokenType, tokens.ExpiresIn, tokens.Scope).ShouldBe(("Bearer", 600, "api"));
        using var device = server.NewClient(tokens.AccessToken);
        var me = await device.GetBodyAsync<IdentityBody>("/api/auth/me");
        (me.Email, me.Role, me.Organization.Id).ShouldBe((person.Email, Role.Member, server.Owner.OrganizationId));

        (await server.AuditAsync("oauth.device_approved")).ShouldHaveSingleItem().ShouldBe($"{tokens.GrantId} tanvrit-compute on laptop at 127.0.0.1");
        var stored = await server.Database.ReadAsync(s => s.ListAsync<string>("""
            SELECT device_code_hash FROM oauth_device_codes UNION SELECT user_code_hash FROM oauth_device_codes UNION SELECT secret_hash FROM oauth_refresh_tokens
            UNION SELECT secret_hash FROM credentials
            """), Cancelled);
        stored.ShouldAllBe(hash => hash.Length == 64, "only hashes are stored");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Until_somebody_decides_the_client_waits_and_one_that_hurries_waits_longer(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = clock });
        using var person = await Browser.OfMemberAsync(server);
        using var client = server.NewClient(null);
        var asked = await client.AskAsync();
        Task<HttpResponseMessage> After(double seconds)
        {
            clock.Advance(TimeSpan.FromSeconds(seconds));
            return client.PollAsync(asked.DeviceCode);
        }

        await After(0).RefusedAsync("authorization_pending");
        await After(5).RefusedAsync("authorization_pending");
        await After(4.6).RefusedAsync("authorization_pending"); // the network's doing
        (await After(4).RefusedAsync("slow_down")).ErrorDescription!.ShouldContain("10 s");
        await After(9).RefusedAsync("slow_down");
        await After(14).RefusedAsync("slow_down");
        await After(20).RefusedAsync("authorization_pending");
        await person.ApproveAsync(asked.UserCode);
        // Whoever is let in is let in, hurry or not.
        (await After(1).TokensAsync()).AccessToken.ShouldStartWith("tnv_");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_denied_and_an_expired_code_are_told_apart_and_let_nobody_in(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = clock });
        using var person = await Browser.OfMemberAsync(server);
        using var client = server.NewClient(null);
        var (denied, late, slow) = (await client.AskAsync(), await client.AskAsync(), await client.AskAsync());

        var form = await person.FormAsync(denied.UserCode);
        form["action"] = "deny";
        (await person.SubmitAsync(form)).Html.ShouldContain("Denied");
        await client.PollAsync(denied.DeviceCode).RefusedAsync("access_denied");
        (await server.AuditAsync("oauth.device_denied")).ShouldHaveSingleItem();
        // Decided once: the same form again changes nothing.
        form["action"] = "approve";
        (await person.SubmitAsync(form)).Answer.StatusCode.ShouldBe(HttpStatusCode.Conflict);
        await client.PollAsync(denied.DeviceCode).RefusedAsync("access_denied");

        await person.ApproveAsync(slow.UserCode);
        var lateForm = await person.FormAsync(late.UserCode);
        clock.Advance(TimeSpan.FromSeconds(600));
        await client.PollAsync(late.DeviceCode).RefusedAsync("expired_token");
        await client.PollAsync(slow.DeviceCode).RefusedAsync("expired_token");
        lateForm["action"] = "approve";
        (await person.SubmitAsync(lateForm)).Answer.StatusCode.ShouldBe(HttpStatusCode.Conflict);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_device_code_is_good_once_and_shown_again_later_ends_the_sign_in(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = clock });
        using var person = await Browser.OfMemberAsync(server);
        using var client = server.NewClient(null);
        var asked = await client.AskAsync();
        await person.ApproveAsync(asked.UserCode);
        var tokens = await client.PollAsync(asked.DeviceCode).TokensAsync();
        clock.Advance(TimeSpan.FromSeconds(31));

        await client.PollAsync(asked.DeviceCode).RefusedAsync("invalid_grant");
        (await server.IsAdmittedAsync(tokens.AccessToken)).ShouldBeFalse();
        await client.RefreshAsync(tokens.RefreshToken).RefusedAsync("invalid_grant");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_guessed_device_code_a_foreign_client_and_broken_requests_are_refused_by_name(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var client = server.NewClient(null);
        var asked = await client.AskAsync();

        await client.PollAsync("tnd_" + new string('A', 43)).RefusedAsync("invalid_grant");
        await client.PollAsync("guess").RefusedAsync("invalid_grant");
        await client.PollAsync(new string('x', 4000)).RefusedAsync("invalid_grant");
        await client.PollAsync(asked.DeviceCode, "evil").RefusedAsync("invalid_client");
        await client.PostFormAsync("/oauth/device_authorization", ("client_id", "evil \"\\\u00e9")).RefusedAsync("invalid_client");
        await client.PostFormAsync("/oauth/device_authorization").RefusedAsync("invalid_request");
        await client.PostFormAsync("/oauth/device_authorization", ("client_id", "tanvrit-compute"), ("scope", "api admin")).RefusedAsync("invalid_scope");
        await client.PostFormAsync("/oauth/token", ("client_id", "tanvrit-compute")).RefusedAsync("invalid_request");
        await client.PostFormAsync("/oauth/token", ("client_id", "tanvrit-compute"), ("grant_type", "password")).RefusedAsync("unsupported_grant_type");
        await client.PostFormAsync("/oauth/token", ("client_id", "tanvrit-compute"), ("grant_type", OAuthNames.DeviceCodeGrant)).RefusedAsync("invalid_request");
        await client.PostFormAsync("/oauth/token", ("client_id", "tanvrit-compute"), ("client_id", "tanvrit-compute"), ("grant_type", "refresh_token")).RefusedAsync("invalid_request");
        await client.PostFormAsync("/oauth/token", ("client_id", "tanvrit-compute"), ("client_secret", "x"), ("grant_type", "refresh_token")).RefusedAsync("invalid_client");
        await client.PostJsonAsync("/oauth/token", new CreateTokenRequest()).RefusedAsync("invalid_request");
        using var basic = new HttpRequestMessage(HttpMethod.Post, "/oauth/token") { Content = new FormUrlEncodedContent([new("client_id", "tanvrit-compute")]) };
        basic.Headers.Add("Authorization", "Basic dGFudnJpdC1jb21wdXRlOg==");
        await client.SendAsync(basic, Cancelled).RefusedAsync("invalid_client", HttpStatusCode.Unauthorized);
        await client.PostAsync("/oauth/token", new StringContent(new string('a', 17 * 1024), null, "application/x-www-form-urlencoded"), Cancelled)
            .ProblemAsync(HttpStatusCode.RequestEntityTooLarge, ErrorCode.BodyTooLarge);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_long_machine_name_is_cut_between_characters(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var person = await Browser.OfMemberAsync(server);
        using var client = server.NewClient(null);

        var asked = await client.AskAsync(string.Concat(Enumerable.Repeat("😀", 200)));

        var (_, html) = await person.OpenAsync("/device?user_code=" + asked.UserCode);
        WebUtility.HtmlDecode(html).ShouldContain(">" + string.Concat(Enumerable.Repeat("😀", 127)) + "<");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Sign_ins_asked_for_are_limited_per_address(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Settings = new Dictionary<string, string?> { ["Tanjiren:OAuth:RequestsPerAddress"] = "2" } });
        using var client = server.NewClient(null);
        await client.AskAsync();
        await client.AskAsync();
        await client.PostFormAsync("/oauth/device_authorization", ("client_id", "tanvrit-compute")).ProblemAsync(HttpStatusCode.TooManyRequests, ErrorCode.RateLimited);
    }

    [Fact]
    public async Task The_metadata_name_the_routes_under_the_public_url()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite, o => o with { PublicUrl = "https://tanjiren.example.test/" });
        using var client = server.NewClient(null);
        var metadata = await client.GetBodyAsync<AuthorizationServerMetadata>("/.well-known/oauth-authorization-server");
        metadata.Issuer.ShouldBe("https://tanjiren.example.test");
        metadata.TokenEndpoint.ShouldBe("https://tanjiren.example.test/oauth/token");
        metadata.DeviceAuthorizationEndpoint.ShouldBe("https://tanjiren.example.test/oauth/device_authorization");
        metadata.RevocationEndpoint.ShouldBe("https://tanjiren.example.test/oauth/revoke");
        metadata.GrantTypesSupported.ShouldBe(["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"]);
        (await client.AskAsync()).VerificationUri.ShouldBe("https://tanjiren.example.test/device");
    }
}
