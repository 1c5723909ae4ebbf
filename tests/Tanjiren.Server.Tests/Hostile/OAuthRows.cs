using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Server.Tests.Identity.OAuth;

namespace Tanjiren.Server.Tests.Hostile;

/// <summary>Codes and tokens that must not sign anybody in: guessed, used, stolen, revoked, or somebody else's. What they end besides is told in the tests of OAuth.</summary>
internal static class OAuthRows
{
    public static IEnumerable<HostileRequest> All =>
    [
        Grant("guessed device code", "invalid_grant", c => c.Client.PollAsync("tnd_" + new string('A', 43))),
        Grant("device code that nobody approved", "authorization_pending", async c => await c.Client.PollAsync((await c.Client.AskAsync()).DeviceCode)),
        Grant("device code whose person said no", "access_denied", async c =>
        {
            var asked = await c.Client.AskAsync();
            await c.Person.SubmitAsync(new(await c.Person.FormAsync(asked.UserCode)) { ["action"] = "deny" });
            return await c.Client.PollAsync(asked.DeviceCode);
        }),
        Grant("device code after its ten minutes", "expired_token", async c =>
        {
            var asked = await c.Client.AskAsync();
            await c.Person.ApproveAsync(asked.UserCode);
            c.Bench.Clock.Advance(TimeSpan.FromMinutes(10));
            return await c.Client.PollAsync(asked.DeviceCode);
        }) with { Alone = true },
        Grant("device code shown again after it was good", "invalid_grant", async c =>
        {
            var asked = await c.Client.AskAsync();
            await c.Person.ApproveAsync(asked.UserCode);
            await c.Client.PollAsync(asked.DeviceCode).TokensAsync();
            c.Bench.Clock.Advance(TimeSpan.FromSeconds(31));
            return await c.Client.PollAsync(asked.DeviceCode);
        }) with { Alone = true },
        Grant("wrong client, device code", "invalid_client", async c => await c.Client.PollAsync((await c.Client.AskAsync()).DeviceCode, "evil")),
        Grant("wrong client, refresh token", "invalid_client", async c => await c.Client.RefreshAsync((await c.SignInAsync()).RefreshToken, "evil")),
        Grant("wrong client, revocation", "invalid_client", async c => await c.Client.RevokeAsync((await c.SignInAsync()).RefreshToken, "evil")),
        Grant("a client that brings a secret", "invalid_client", async c => await c.Client.PostFormAsync("/oauth/token",
            ("client_id", OAuthNames.CliClient), ("client_secret", "x"), ("grant_type", OAuthNames.RefreshTokenGrant), ("refresh_token", (await c.SignInAsync()).RefreshToken))),
        Grant("more than the one scope", "invalid_scope", async c => await c.Client.PostFormAsync("/oauth/token", ("client_id", OAuthNames.CliClient),
            ("grant_type", OAuthNames.RefreshTokenGrant), ("refresh_token", (await c.SignInAsync()).RefreshToken), ("scope", "api admin"))),
        Grant("a person's password as a grant", "unsupported_grant_type", c => c.Client.PostFormAsync("/oauth/token", ("client_id", OAuthNames.CliClient),
            ("grant_type", "password"), ("username", c.Person.Email), ("password", ServerFixture.Password))),
        Grant("guessed refresh token", "invalid_grant", c => c.Client.RefreshAsync("tnr_" + new string('A', 43))),
        Grant("access token in the place of a refresh token", "invalid_grant", async c => await c.Client.RefreshAsync((await c.SignInAsync()).AccessToken)),
        Grant("replayed refresh token", "invalid_grant", async c =>
        {
            var first = await c.SignInAsync();
            var second = await c.Client.RefreshAsync(first.RefreshToken).TokensAsync();
            await c.Client.RefreshAsync(second.RefreshToken).TokensAsync();
            return await c.Client.RefreshAsync(first.RefreshToken);
        }),
        Grant("refresh token stolen before its owner rotated it", "invalid_grant", async c =>
        {
            var stolen = await c.SignInAsync();
            var owners = await c.Client.RefreshAsync(stolen.RefreshToken).TokensAsync();
            c.Bench.Clock.Advance(TimeSpan.FromSeconds(31));
            await c.Client.RefreshAsync(stolen.RefreshToken).RefusedAsync("invalid_grant");
            // The theft has ended the family: what came of it is worth nothing either.
            return await c.Client.RefreshAsync(owners.RefreshToken);
        }) with { Alone = true },
        Grant("refresh token of a revoked grant", "invalid_grant", async c =>
        {
            var tokens = await c.SignInAsync();
            (await c.Client.RevokeAsync(tokens.RefreshToken)).StatusCode.ShouldBe(HttpStatusCode.OK);
            return await c.Client.RefreshAsync(tokens.RefreshToken);
        }),
        Bearer("access token of a revoked grant", async c =>
        {
            var tokens = await c.SignInAsync();
            (await c.Client.RevokeAsync(tokens.RefreshToken)).StatusCode.ShouldBe(HttpStatusCode.OK);
            return tokens.AccessToken;
        }),
        Bearer("access token of a grant whose refresh token was replayed", async c =>
        {
            var first = await c.SignInAsync();
            var second = await c.Client.RefreshAsync(first.RefreshToken).TokensAsync();
            var third = await c.Client.RefreshAsync(second.RefreshToken).TokensAsync();
            await c.Client.RefreshAsync(first.RefreshToken).RefusedAsync("invalid_grant");
            return third.AccessToken;
        }),
        Bearer("access token after its time", async c =>
        {
            var tokens = await c.SignInAsync();
            c.Bench.Clock.Advance(TimeSpan.FromSeconds(tokens.ExpiresIn));
            return tokens.AccessToken;
        }) with { Alone = true },
        Bearer("refresh token in the place of an access token", async c => (await c.SignInAsync()).RefreshToken),
        Bearer("device code in the place of an access token", async c => (await c.Client.AskAsync()).DeviceCode),
        Page("a foreign page approves a device in the person's browser", form => form, "https://evil.example"),
        Page("a page that hides its origin approves a device", form => form, "null"),
        Page("an approval without the form's own token", form => new(form) { ["csrf"] = "" }, "own"),
        Page("an approval with a guessed token", form => new(form) { ["csrf"] = new string('A', 43) }, "own"),
    ];

    /// <summary>Refused by a name of RFC 6749 §5.2 or RFC 8628 §3.5.</summary>
    private static HostileRequest Grant(string name, string error, Func<Cast, Task<HttpResponseMessage>> send) =>
        new("OAuth: " + name, HttpStatusCode.BadRequest, default, bench => Cast.PlayAsync(bench, send)) { OAuthError = error };

    private static HostileRequest Bearer(string name, Func<Cast, Task<string>> token) =>
        new("OAuth: " + name, HttpStatusCode.Unauthorized, ErrorCode.InvalidCredentials, bench => Cast.PlayAsync(bench, async cast =>
        {
            using var client = bench.Server.NewClient(await token(cast));
            return await client.GetAsync("/api/instances", TestContext.Current.CancellationToken);
        }));

    /// <summary>Sent by a browser that is signed in: nothing is approved, and the client goes on waiting.</summary>
    private static HostileRequest Page(string name, Func<Dictionary<string, string>, Dictionary<string, string>> spoil, string origin) =>
        new("OAuth: " + name, HttpStatusCode.BadRequest, default, bench => Cast.PlayAsync(bench, async cast =>
        {
            var asked = await cast.Client.AskAsync();
            var form = new Dictionary<string, string>(await cast.Person.FormAsync(asked.UserCode)) { ["action"] = "approve", ["organization"] = bench.Server.Owner.OrganizationId };
            (await cast.Person.SubmitAsync(spoil(form), origin)).Answer.StatusCode.ShouldBe(HttpStatusCode.Forbidden);
            return await cast.Client.PollAsync(asked.DeviceCode);
        }))
        { OAuthError = "authorization_pending" };

    /// <summary>A client, and a person with a browser to sign it in.</summary>
    private sealed record Cast(HostileBench Bench, HttpClient Client, Browser Person)
    {
        public static async Task<HttpResponseMessage> PlayAsync(HostileBench bench, Func<Cast, Task<HttpResponseMessage>> play)
        {
            using var client = bench.Server.NewClient(null);
            using var person = await Browser.OfMemberAsync(bench.Server);
            var answer = await play(new Cast(bench, client, person));
            await answer.Content.LoadIntoBufferAsync();
            return answer;
        }

        /// <summary>Tokens that are good, so that what is refused afterwards is refused for what befell them.</summary>
        public async Task<OAuthTokenResponse> SignInAsync()
        {
            var tokens = await Bench.Server.SignInDeviceAsync(Person);
            (await Bench.Server.IsAdmittedAsync(tokens.AccessToken)).ShouldBeTrue();
            return tokens;
        }
    }
}
