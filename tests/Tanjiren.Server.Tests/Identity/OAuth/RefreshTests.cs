using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Identity.OAuth;

/// <summary>Refresh tokens: rotated at each use, repeatable after a lost answer, and the end of the sign-in when a copy shows up.</summary>
public sealed class RefreshTests
{
    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Each_exchange_brings_a_new_pair_and_the_sign_in_lives_thirty_days_past_the_last(DatabaseKind kind)
    {
        await using var scene = await Scene.StartAsync(kind);
        var tokens = scene.First;
        for (var i = 0; i < 3; i++)
        {
            scene.Clock.StepWall(TimeSpan.FromDays(29));
            (await scene.Server.IsAdmittedAsync(tokens.AccessToken)).ShouldBeFalse("an access token lives ten minutes");
            var next = await scene.Client.RefreshAsync(tokens.RefreshToken).TokensAsync();
            next.RefreshToken.ShouldNotBe(tokens.RefreshToken);
            next.GrantId.ShouldBe(tokens.GrantId);
            (await scene.Server.IsAdmittedAsync(next.AccessToken)).ShouldBeTrue();
            tokens = next;
        }
        scene.Clock.StepWall(TimeSpan.FromDays(30));
        (await scene.Client.RefreshAsync(tokens.RefreshToken).RefusedAsync("invalid_grant")).ErrorDescription!.ShouldContain("run out");
        (await scene.Server.AuditAsync("oauth.refresh_reused")).ShouldBeEmpty("running out is no theft");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_replayed_refresh_token_ends_the_whole_sign_in_and_is_audited(DatabaseKind kind)
    {
        await using var scene = await Scene.StartAsync(kind);
        var second = await scene.Client.RefreshAsync(scene.First.RefreshToken).TokensAsync();
        var third = await scene.Client.RefreshAsync(second.RefreshToken).TokensAsync();

        // At once, within the leeway: the leeway is for the token before the newest alone.
        (await scene.Client.RefreshAsync(scene.First.RefreshToken).RefusedAsync("invalid_grant")).ErrorDescription!.ShouldContain("used before");

        foreach (var token in new[] { scene.First.AccessToken, second.AccessToken, third.AccessToken }) (await scene.Server.IsAdmittedAsync(token)).ShouldBeFalse();
        foreach (var token in new[] { second, third }) await scene.Client.RefreshAsync(token.RefreshToken).RefusedAsync("invalid_grant");
        (await scene.Server.AuditAsync("oauth.refresh_reused")).ShouldHaveSingleItem().ShouldStartWith(third.GrantId!);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_lost_answer_is_made_good_within_thirty_seconds(DatabaseKind kind)
    {
        await using var scene = await Scene.StartAsync(kind);
        await scene.Client.RefreshAsync(scene.First.RefreshToken).TokensAsync(); // lost on the way
        scene.Clock.Advance(TimeSpan.FromSeconds(20));
        await scene.Client.RefreshAsync(scene.First.RefreshToken).TokensAsync(); // lost as well
        scene.Clock.Advance(TimeSpan.FromSeconds(9.9));
        var got = await scene.Client.RefreshAsync(scene.First.RefreshToken).TokensAsync();
        (await scene.Server.IsAdmittedAsync(got.AccessToken)).ShouldBeTrue();
        await scene.Client.RefreshAsync(got.RefreshToken).TokensAsync();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task After_thirty_seconds_of_the_first_exchange_a_repeat_is_a_reuse(DatabaseKind kind)
    {
        await using var scene = await Scene.StartAsync(kind);
        await scene.Client.RefreshAsync(scene.First.RefreshToken).TokensAsync();
        scene.Clock.Advance(TimeSpan.FromSeconds(20));
        await scene.Client.RefreshAsync(scene.First.RefreshToken).TokensAsync();
        scene.Clock.Advance(TimeSpan.FromSeconds(10)); // a repeat does not prolong the time for repeats
        await scene.Client.RefreshAsync(scene.First.RefreshToken).RefusedAsync("invalid_grant");
        (await scene.Server.AuditAsync("oauth.refresh_reused")).ShouldHaveSingleItem();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_token_stolen_and_exchanged_first_is_found_out_when_the_owner_comes(DatabaseKind kind)
    {
        await using var scene = await Scene.StartAsync(kind);
        var thiefs = await scene.Client.RefreshAsync(scene.First.RefreshToken).TokensAsync();
        // Inside the leeway the owner looks like one who lost an answer; the thief's pair is dead by that, and gives the theft away when it is used.
        var owners = await scene.Client.RefreshAsync(scene.First.RefreshToken).TokensAsync();
        await scene.Client.RefreshAsync(thiefs.RefreshToken).RefusedAsync("invalid_grant");
        await scene.Client.RefreshAsync(owners.RefreshToken).RefusedAsync("invalid_grant");
        (await scene.Server.IsAdmittedAsync(thiefs.AccessToken)).ShouldBeFalse();
        (await scene.Server.AuditAsync("oauth.refresh_reused")).ShouldHaveSingleItem();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Once_the_successor_was_used_a_repeat_inside_the_leeway_is_a_reuse(DatabaseKind kind)
    {
        await using var scene = await Scene.StartAsync(kind);
        var thiefs = await scene.Client.RefreshAsync(scene.First.RefreshToken).TokensAsync();
        await scene.Client.RefreshAsync(thiefs.RefreshToken).TokensAsync();
        await scene.Client.RefreshAsync(scene.First.RefreshToken).RefusedAsync("invalid_grant");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Racing_refreshes_leave_exactly_one_good_token(DatabaseKind kind)
    {
        await using var scene = await Scene.StartAsync(kind);
        var racers = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => scene.Client.RefreshAsync(scene.First.RefreshToken).TokensAsync()));
        racers.Select(r => r.RefreshToken).Distinct().Count().ShouldBe(8);
        var numbers = await scene.Server.Database.ReadAsync(s => s.ListAsync<long>(
            "SELECT number FROM oauth_refresh_tokens WHERE grant_id = @id ORDER BY number", new { id = scene.First.GrantId }), TestContext.Current.CancellationToken);
        numbers.ShouldBe([1, 2, 3, 4, 5, 6, 7, 8, 9]);

        // The newest works, whichever racer got it; it is the only one (the test above: any other ends the sign-in).
        var newest = await scene.Server.Database.ReadAsync(s => s.FirstAsync<string>(
            "SELECT secret_hash FROM oauth_refresh_tokens WHERE grant_id = @id AND number = 9", new { id = scene.First.GrantId }), TestContext.Current.CancellationToken);
        var winner = racers.Single(r => Tanjiren.Server.Identity.CredentialSecret.HashOf(r.RefreshToken) == newest);
        await scene.Client.RefreshAsync(winner.RefreshToken).TokensAsync();
        await scene.Client.RefreshAsync(racers.First(r => r != winner).RefreshToken).RefusedAsync("invalid_grant");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_refresh_and_a_reuse_at_once_end_the_sign_in(DatabaseKind kind)
    {
        await using var scene = await Scene.StartAsync(kind);
        var second = await scene.Client.RefreshAsync(scene.First.RefreshToken).TokensAsync();
        var third = await scene.Client.RefreshAsync(second.RefreshToken).TokensAsync();
        var answers = await Task.WhenAll(scene.Client.RefreshAsync(third.RefreshToken), scene.Client.RefreshAsync(scene.First.RefreshToken));
        answers[1].StatusCode.ShouldBe(HttpStatusCode.BadRequest);
        if (answers[0].IsSuccessStatusCode)
            (await scene.Server.IsAdmittedAsync((await answers[0].BodyAsync<OAuthTokenResponse>()).AccessToken)).ShouldBeFalse();
        (await scene.Server.AuditAsync("oauth.refresh_reused")).ShouldHaveSingleItem();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Guessed_and_misplaced_tokens_are_refused(DatabaseKind kind)
    {
        await using var scene = await Scene.StartAsync(kind);
        await scene.Client.RefreshAsync("tnr_" + new string('A', 43)).RefusedAsync("invalid_grant");
        await scene.Client.RefreshAsync(scene.First.AccessToken).RefusedAsync("invalid_grant");
        await scene.Client.RefreshAsync(scene.Server.Owner.Token).RefusedAsync("invalid_grant");
        await scene.Client.RefreshAsync(scene.First.RefreshToken, "evil").RefusedAsync("invalid_client");
        (await scene.Server.IsAdmittedAsync(scene.First.RefreshToken)).ShouldBeFalse("a refresh token opens no door");
        (await scene.Server.IsAdmittedAsync(scene.First.AccessToken)).ShouldBeTrue("guesses end nobody's sign-in");
    }

    private sealed class Scene : IAsyncDisposable
    {
        public required ManualTimeProvider Clock { get; init; }
        public required ServerFixture Server { get; init; }
        public required HttpClient Client { get; init; }
        public required OAuthTokenResponse First { get; init; }

        public static async Task<Scene> StartAsync(DatabaseKind kind)
        {
            var clock = new ManualTimeProvider();
            var server = await ServerFixture.StartAsync(kind, o => o with { Clock = clock });
            using var person = await Browser.OfMemberAsync(server);
            return new Scene { Clock = clock, Server = server, Client = server.NewClient(null), First = await server.SignInDeviceAsync(person) };
        }

        public async ValueTask DisposeAsync()
        {
            Client.Dispose();
            await Server.DisposeAsync();
        }
    }
}
