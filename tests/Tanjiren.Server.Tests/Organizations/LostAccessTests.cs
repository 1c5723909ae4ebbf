using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Tanjiren.Protocol;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tests.Identity.OAuth;
using Tanjiren.Server.Tests.Organizations.Invitations;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Organizations;

/// <summary>
/// An open, idle stream ends with its reader's access. The clock stands still and the task does nothing, so neither a keep-alive nor an event makes the
/// server look again: only the wake-up of the change itself can.
/// </summary>
public sealed class LostAccessTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Removing_a_member_ends_their_idle_stream(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = new ManualTimeProvider() });
        using var reader = await server.NewMemberAsync(Role.Viewer);
        await using var stream = await IdleAsync(server, reader);
        (await server.Client.DeleteAsync($"{server.MembersUrl()}/{await IdAsync(reader)}", Cancelled)).EnsureSuccessStatusCode();
        (await stream.ReadAsync()).ShouldBeNull();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Leaving_revoking_the_token_and_signing_out_end_it_too(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = new ManualTimeProvider() });
        var ends = new Func<HttpClient, Task<HttpResponseMessage>>[]
        {
            async reader => await reader.DeleteAsync($"{server.MembersUrl()}/{await IdAsync(reader)}", Cancelled),
            async reader => await reader.DeleteAsync("/api/auth/tokens/" + (await reader.GetBodyAsync<Page<TokenBody>>("/api/auth/tokens")).Items.Single().Id, Cancelled),
            async reader => await reader.PostAsync("/api/auth/logout", null, Cancelled),
        };
        using var agent = await server.NewAgentAsync("box");
        foreach (var end in ends)
        {
            using var reader = await server.NewMemberAsync(Role.Viewer);
            await using var stream = await IdleAsync(server, reader, agent);
            (await end(reader)).EnsureSuccessStatusCode();
            (await stream.ReadAsync()).ShouldBeNull();
        }
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Revoking_the_access_token_of_a_client_ends_its_stream_too(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = new ManualTimeProvider() });
        using var person = await Browser.OfMemberAsync(server);
        var tokens = await server.SignInDeviceAsync(person);
        using var reader = server.NewClient(tokens.AccessToken);
        await using var stream = await IdleAsync(server, reader);
        using var client = server.NewClient(null);
        (await client.RevokeAsync(tokens.AccessToken)).EnsureSuccessStatusCode();
        (await stream.ReadAsync()).ShouldBeNull();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_role_below_what_the_stream_needs_ends_it_and_one_that_still_does_not(DatabaseKind kind)
    {
        // A stream of the product's own kind on a route that takes a member: all that there are today take a viewer.
        const string Route = "/test/tasks/{id}/events";
        var database = await TestDatabase.CreateAsync(kind, ServerFixture.MigrateAsync);
        await using var server = await ServerFixture.StartAsync(database.Url, o => o with { Clock = new ManualTimeProvider() }, database, app =>
            app.MapGet(Route, async (string id, HttpContext context, Caller caller, TaskStore store, TaskEventStream stream, CallerCheck check) =>
            {
                var task = await store.FindAsync(caller.OrganizationId, id, context.RequestAborted);
                await stream.WriteAsync(context, caller, task!, 0, () => check.IsStillAllowedAsync(caller, context));
            }).RequireRole(Role.Member).ExcludeFromDescription());
        using var agent = await server.NewAgentAsync("box");
        using var reader = await server.NewMemberAsync(Role.Admin);
        var member = $"{server.MembersUrl()}/{await IdAsync(reader)}";
        await using var open = await IdleAsync(server, reader, agent);
        await using var members = await IdleAsync(server, reader, agent, Route);

        (await server.Client.PatchJsonAsync(member, new UpdateMemberRequest { Role = Role.Member })).EnsureSuccessStatusCode();
        var next = members.ReadAsync();
        (await server.Client.PatchJsonAsync(member, new UpdateMemberRequest { Role = Role.Viewer })).EnsureSuccessStatusCode();
        (await next).ShouldBeNull();

        // The viewer's stream went on through both.
        await agent.ClaimAsync(open.StepId);
        (await open.ReadAsync())!.Body.Task!.State.ShouldBe(TaskState.Executing);
    }

    [Fact]
    public async Task A_removal_at_one_server_ends_the_stream_at_another()
    {
        await using var database = await TestDatabase.CreateAsync(DatabaseKind.Postgres, ServerFixture.MigrateAsync);
        await using var here = await ServerFixture.StartAsync(database.Url);
        // Its clock stands still: no keep-alive makes this one look.
        await using var there = await ServerFixture.StartAsync(database.Url, o => o with { Clock = new ManualTimeProvider(TimeProvider.System.GetUtcNow()) });
        await Eventually.TrueAsync(async () => await here.Database.ReadAsync(sql => sql.FirstAsync<long>(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'"), Cancelled) == 2, what: "both servers listen");
        using var agent = await here.NewAgentAsync("box");
        using var reader = await here.NewMemberAsync(Role.Viewer);
        using var same = there.NewClient(reader.DefaultRequestHeaders.Authorization!.Parameter);
        await using var stream = await IdleAsync(there, same, agent, by: here.Client);
        (await here.Client.DeleteAsync($"{here.MembersUrl()}/{await IdAsync(reader)}", Cancelled)).EnsureSuccessStatusCode();
        (await stream.ReadAsync()).ShouldBeNull();
    }

    /// <summary>A stream that has told all there is to tell and waits.</summary>
    private static async Task<IdleStream> IdleAsync(ServerFixture server, HttpClient reader, DeviceClient? agent = null, string? route = null, HttpClient? by = null)
    {
        using var own = agent is null ? await server.NewAgentAsync("box") : null;
        var task = await (by ?? server.Client).CreateTaskAsync(agent ?? own!);
        var stream = await EventReader.OpenAsync(reader, task.Id, route: route);
        (await stream.ReadAsync())!.Body.Task!.State.ShouldBe(TaskState.Queued);
        return new IdleStream(stream, task.StepId());
    }

    private static async Task<string> IdAsync(HttpClient client) => (await client.GetBodyAsync<IdentityBody>("/api/auth/me")).UserId;

    private sealed record IdleStream(EventReader Reader, string StepId) : IAsyncDisposable
    {
        public Task<TaskEvent?> ReadAsync() => Reader.ReadAsync();

        public ValueTask DisposeAsync() => Reader.DisposeAsync();
    }
}
