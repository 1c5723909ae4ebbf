using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Identity.OAuth;

/// <summary>The ways in which a sign-in ends, and that everything that belongs to it ends with it.</summary>
public sealed class RevocationTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Revoking_a_refresh_token_ends_the_sign_in_also_by_a_superseded_one(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var person = await Browser.OfMemberAsync(server);
        using var client = server.NewClient(null);
        var first = await server.SignInDeviceAsync(person);
        var second = await client.RefreshAsync(first.RefreshToken).TokensAsync();

        await client.RevokeAsync(first.RefreshToken, "evil").RefusedAsync("invalid_client");
        (await client.RevokeAsync(first.RefreshToken)).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await server.IsAdmittedAsync(second.AccessToken)).ShouldBeFalse();
        (await client.RefreshAsync(second.RefreshToken).RefusedAsync("invalid_grant")).ErrorDescription!.ShouldContain("ended");
        (await client.RevokeAsync(second.RefreshToken)).StatusCode.ShouldBe(HttpStatusCode.OK, "a repeat is answered");
        (await server.AuditAsync("oauth.revoked")).ShouldHaveSingleItem().ShouldContain("signed_out");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Revoking_an_access_token_ends_that_one_and_unknown_tokens_are_200_too(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var person = await Browser.OfMemberAsync(server);
        using var client = server.NewClient(null);
        var tokens = await server.SignInDeviceAsync(person);

        (await client.RevokeAsync(tokens.AccessToken)).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await server.IsAdmittedAsync(tokens.AccessToken)).ShouldBeFalse();
        (await server.IsAdmittedAsync((await client.RefreshAsync(tokens.RefreshToken).TokensAsync()).AccessToken)).ShouldBeTrue();
        foreach (var unknown in new[] { "tnv_unknown", "tnr_unknown", "x", server.Owner.Token })
            (await client.RevokeAsync(unknown)).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await server.IsAdmittedAsync(server.Owner.Token)).ShouldBeTrue("a personal access token is none of OAuth's");
        (await client.RevokeAsync(tokens.AccessToken)).StatusCode.ShouldBe(HttpStatusCode.OK, "a repeat is answered");
        (await server.AuditAsync("token.revoked")).ShouldHaveSingleItem().ShouldEndWith("an access token of tanvrit-compute");
        await client.PostFormAsync("/oauth/revoke", ("client_id", "tanvrit-compute")).RefusedAsync("invalid_request");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_sign_in_makes_no_token_that_would_outlive_it(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var person = await Browser.OfMemberAsync(server, Role.Admin);
        using var device = server.NewClient((await server.SignInDeviceAsync(person)).AccessToken);

        var refused = await device.PostJsonAsync("/api/auth/tokens", new CreateTokenRequest { Name = "ci" }).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);

        refused.Hint!.ShouldContain("auth login --email");
        (await device.GetBodyAsync<Page<TokenBody>>("/api/auth/tokens")).Items.ShouldBeEmpty();
        (await server.AuditAsync("token.created")).ShouldBeEmpty();
        using var byPassword = await server.SignInAsync(person.Email, null); // a session makes one
        (await byPassword.PostJsonAsync("/api/auth/tokens", new CreateTokenRequest { Name = "ci" })).StatusCode.ShouldBe(HttpStatusCode.Created, "and so does a token");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_person_sees_and_ends_their_own_sign_ins_and_nobody_elses(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var ann = await Browser.OfMemberAsync(server);
        using var bob = await Browser.OfMemberAsync(server, Role.Admin);
        var laptop = await server.SignInDeviceAsync(ann, "laptop");
        var phone = await server.SignInDeviceAsync(ann, "phone");
        var bobs = await server.SignInDeviceAsync(bob, "bob's");
        using var annsClient = server.NewClient(laptop.AccessToken);
        using var bobsClient = server.NewClient(bobs.AccessToken);

        var listed = (await annsClient.GetBodyAsync<Page<GrantBody>>("/api/auth/grants")).Items;
        listed.Select(g => (g.Id, g.Client, g.MachineName, g.Current)).ShouldBe([(laptop.GrantId!, "tanvrit-compute", "laptop", true), (phone.GrantId!, "tanvrit-compute", "phone", false)]);
        listed[0].LastUsedAt.ShouldNotBeNull();

        await bobsClient.DeleteAsync("/api/auth/grants/" + phone.GrantId, Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await annsClient.DeleteAsync("/api/auth/grants/nothing", Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        (await annsClient.DeleteAsync("/api/auth/grants/" + phone.GrantId, Cancelled)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        (await server.IsAdmittedAsync(phone.AccessToken)).ShouldBeFalse();
        (await server.IsAdmittedAsync(laptop.AccessToken)).ShouldBeTrue();
        await annsClient.DeleteAsync("/api/auth/grants/" + phone.GrantId, Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        (await annsClient.GetBodyAsync<Page<GrantBody>>("/api/auth/grants")).Items.ShouldHaveSingleItem().Id.ShouldBe(laptop.GrantId);

        // The cookie's way: POST /api/auth/logout with the token ends the sign-in that the token belongs to.
        (await annsClient.PostAsync("/api/auth/logout", null, Cancelled)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        (await server.IsAdmittedAsync(laptop.AccessToken)).ShouldBeFalse();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_removed_members_sign_ins_end_and_no_waiting_code_makes_a_new_one(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var person = await Browser.OfMemberAsync(server);
        using var client = server.NewClient(null);
        var tokens = await server.SignInDeviceAsync(person);
        var (approved, waiting) = (await client.AskAsync(), await client.AskAsync());
        await person.ApproveAsync(approved.UserCode);
        var form = await person.FormAsync(waiting.UserCode);
        var members = await server.Client.GetBodyAsync<Page<MemberBody>>($"/api/organizations/{server.Owner.OrganizationId}/members");
        var id = members.Items.Single(m => m.Email == person.Email).UserId;

        (await server.Client.DeleteAsync($"/api/organizations/{server.Owner.OrganizationId}/members/{id}", Cancelled)).StatusCode.ShouldBe(HttpStatusCode.NoContent);

        (await server.IsAdmittedAsync(tokens.AccessToken)).ShouldBeFalse();
        await client.RefreshAsync(tokens.RefreshToken).RefusedAsync("invalid_grant");
        await client.PollAsync(approved.DeviceCode).RefusedAsync("invalid_grant");
        form["action"] = "approve";
        (await person.SubmitAsync(form)).Answer.StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
        await client.PollAsync(waiting.DeviceCode).RefusedAsync("authorization_pending");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_has_expired_is_deleted_except_a_sign_in_that_a_workstation_stands_on(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = clock });
        using var person = await Browser.OfMemberAsync(server, Role.Admin);
        using var client = server.NewClient(null);
        await client.AskAsync();
        await server.SignInDeviceAsync(person);
        var kept = await server.SignInDeviceAsync(person);
        using var admin = server.NewClient(kept.AccessToken);
        (await admin.PostJsonAsync("/api/instances", new CreateInstanceRequest { Name = "laptop", MachineId = "m" })).StatusCode.ShouldBe(HttpStatusCode.Created);
        Task<IReadOnlyList<string>> GrantsAsync() => server.Database.ReadAsync(s => s.ListAsync<string>("SELECT id FROM oauth_grants ORDER BY id"), Cancelled);
        var loop = server.App.Services.GetRequiredService<ExpiredRowsLoop>();

        clock.StepWall(TimeSpan.FromDays(30));
        await loop.RunOnceAsync(Cancelled);
        (await GrantsAsync()).Count.ShouldBe(2, "an operator can see for a day what has run out");
        clock.StepWall(TimeSpan.FromDays(1));
        await loop.RunOnceAsync(Cancelled);

        (await GrantsAsync()).ShouldBe([kept.GrantId!]);
        (await server.Database.ReadAsync(s => s.FirstAsync<long>("SELECT (SELECT count(*) FROM oauth_device_codes) + (SELECT count(*) FROM oauth_refresh_tokens)"), Cancelled)).ShouldBe(0);
        await person.LogInAsync();
        // It has run out, and can still be ended: its workstation would otherwise be beyond everybody's reach.
        using var again = server.NewClient((await server.SignInDeviceAsync(person)).AccessToken);
        (await again.GetBodyAsync<Page<GrantBody>>("/api/auth/grants")).Items.Select(g => g.Id).ShouldContain(kept.GrantId!);
        (await again.DeleteAsync("/api/auth/grants/" + kept.GrantId, Cancelled)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_open_stream_ends_with_the_sign_in_that_opened_it(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var person = await Browser.OfMemberAsync(server);
        using var agent = await server.NewAgentAsync("worker");
        var task = await server.Client.CreateTaskAsync(agent);
        var tokens = await server.SignInDeviceAsync(person);
        using var device = server.NewClient(tokens.AccessToken);
        using var response = await device.GetAsync($"/api/tasks/{task.Id}/events", HttpCompletionOption.ResponseHeadersRead, Cancelled);
        using var stream = new StreamReader(await response.Content.ReadAsStreamAsync(Cancelled));
        (await stream.ReadLineAsync(Cancelled)).ShouldStartWith("id: ");

        using var client = server.NewClient(null);
        (await client.RevokeAsync(tokens.RefreshToken)).StatusCode.ShouldBe(HttpStatusCode.OK);
        await agent.ClaimAsync(task.StepId());
        await agent.CompleteAsync(task.StepId());

        (await stream.ReadToEndAsync(Cancelled)).ShouldNotContain("event: end", customMessage: "what happened after the sign-in ended is not told");
    }
}
