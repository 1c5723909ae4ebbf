using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tests.Identity.OAuth;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Server.Workstations.Sessions;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Workstations;

/// <summary>A workstation stands on the sign-in that registered it: when that ends, it brings home what it holds and gets nothing more.</summary>
public sealed class SignedOutTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task It_takes_nothing_new_and_brings_home_what_it_holds_and_then_is_refused_everywhere(DatabaseKind kind)
    {
        await using var scene = await Scene.StartAsync(kind);
        var (server, agent) = (scene.Server, scene.Agent);
        var (held, next) = (await server.Client.CreateTaskAsync(agent), await server.Client.CreateTaskAsync(agent));
        await agent.ClaimAsync(held.StepId());

        await scene.SignOutAsync();

        var refused = await agent.GetAsync("work", "waitSeconds=0");
        await refused.ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.SignedOut);
        refused.Headers.WwwAuthenticate.Single().Scheme.ShouldBe("DPoP");
        await agent.TryClaimAsync(next.StepId()).ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.SignedOut);
        var beat = await (await agent.PostAsync("heartbeat", new HeartbeatRequest
        {
            MaxConcurrent = 10, Leases = [new HeldLease { StepId = held.StepId(), LeaseGeneration = 1, Phase = StepPhase.Running }],
        })).BodyAsync<HeartbeatResponse>();
        beat.PendingTasks.ShouldBeEmpty();
        beat.Leases.ShouldHaveSingleItem().Standing.ShouldBe(LeaseStanding.Held);
        await agent.AppendAsync(held.StepId(), AgentCalls.Chunk(1, "one"));
        await agent.CompleteAsync(held.StepId(), finalLogSeq: 2);
        // The result may be in before the last of the output. If its answer was lost, it comes again first.
        var again = await agent.TryCompleteAsync(held.StepId(), AgentCalls.Result(held.StepId(), r => r with { FinalLogSeq = 2 }));
        (await again.BodyAsync<StepTransitionResponse>()).Result.ShouldBe(TransitionResult.AlreadyDone);
        await agent.AppendAsync(held.StepId(), AgentCalls.Chunk(2, "two"));

        await agent.TryAppendAsync(held.StepId(), 1, AgentCalls.Chunk(2, "two")).ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.SignedOut);
        await agent.TryCompleteAsync(held.StepId(), AgentCalls.Result(held.StepId())).ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.SignedOut);
        await agent.TryReleaseAsync(held.StepId(), 1).ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.SignedOut);
        await agent.PostAsync("heartbeat", new HeartbeatRequest { MaxConcurrent = 10 }).ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.SignedOut);
        await scene.OpenSessionAsync(agent).ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.SignedOut);
        (await server.Client.TaskAsync(held.Id)).State.ShouldBe(TaskState.Completed);
        (await server.Client.TaskAsync(next.Id)).State.ShouldBe(TaskState.Queued);
        (await server.Client.GetBodyAsync<InstanceBody>("/api/instances/" + agent.InstanceId)).SignedOut.ShouldBeTrue();
        (await server.Client.GetBodyAsync<WorkerBody>("/api/workers/worker:" + agent.InstanceId)).Readiness.Reasons.ShouldContain("signed_out");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_hanging_poll_is_told_at_once_and_a_claim_under_way_is_refused(DatabaseKind kind)
    {
        await using var scene = await Scene.StartAsync(kind);
        var task = await scene.Server.Client.CreateTaskAsync(scene.Agent);
        var services = scene.Server.App.Services;
        // Past the gate, as requests that came before the sign-out.
        var device = new Device(scene.Agent.InstanceId, scene.Server.Owner.OrganizationId, "", scene.Agent.SessionId!);
        var poll = services.GetRequiredService<HeartbeatService>().WorkAsync(device, WireLimits.MaxWaitSeconds, 0, new HashSet<string>(), Cancelled);

        await scene.SignOutAsync();

        (await poll.WaitAsync(TimeSpan.FromSeconds(WireLimits.MaxWaitSeconds / 2.0), Cancelled)).Standing.ShouldBe(SessionStanding.SignedOut);
        (await services.GetRequiredService<StepClaimer>().ClaimAsync(device, task.StepId(), AgentCalls.NewClaimId(), 0, Cancelled)).Refusal.ShouldBe(ClaimRefusal.SignedOut);
    }

    /// <summary>A suspended agent keeps nothing else.</summary>
    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_hanging_heartbeat_ends_at_once_and_the_next_one_is_refused(DatabaseKind kind)
    {
        await using var scene = await Scene.StartAsync(kind);
        var device = new Device(scene.Agent.InstanceId, scene.Server.Owner.OrganizationId, "", scene.Agent.SessionId!);
        var beat = scene.Server.App.Services.GetRequiredService<HeartbeatService>()
            .BeatAsync(device, new HeartbeatRequest { MaxConcurrent = 10, WaitSeconds = WireLimits.MaxWaitSeconds }, Cancelled);

        await scene.SignOutAsync();

        (await beat.WaitAsync(TimeSpan.FromSeconds(WireLimits.MaxWaitSeconds / 2.0), Cancelled))!.PendingTasks.ShouldBeEmpty();
        await scene.Agent.PostAsync("heartbeat", new HeartbeatRequest { MaxConcurrent = 10, WaitSeconds = 1 }).ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.SignedOut);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_next_sign_in_brings_it_back_by_either_way_of_registering(DatabaseKind kind)
    {
        await using var scene = await Scene.StartAsync(kind);
        var (server, agent) = (scene.Server, scene.Agent);
        var task = await server.Client.CreateTaskAsync(agent);
        await scene.SignOutAsync();

        using var again = server.NewClient((await server.SignInDeviceAsync(scene.Person)).AccessToken);
        var known = await again.PostJsonAsync("/api/instances", new CreateInstanceRequest { Name = "whatever", MachineId = scene.MachineId });
        known.StatusCode.ShouldBe(HttpStatusCode.OK);
        (await known.BodyAsync<InstanceBody>()).SignedOut.ShouldBeFalse();
        (await agent.WorkAsync(0)).Assignments.ShouldHaveSingleItem().StepId.ShouldBe(task.StepId());

        await scene.SignOutAsync();
        await agent.GetAsync("work", "waitSeconds=0").ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.SignedOut);
        using var third = server.NewClient((await server.SignInDeviceAsync(scene.Person)).AccessToken);
        (await (await third.PostAsync($"/api/instances/{agent.InstanceId}/registration", null, Cancelled)).BodyAsync<InstanceBody>()).SignedOut.ShouldBeFalse();
        await agent.ClaimAsync(task.StepId());
        (await server.AuditAsync("workstation.registered_again")).Count.ShouldBe(2);

        // By a personal access token it stands on nothing that could be signed out.
        (await server.Client.PostAsync($"/api/instances/{agent.InstanceId}/registration", null, Cancelled)).StatusCode.ShouldBe(HttpStatusCode.OK);
        await scene.SignOutAsync();
        (await agent.WorkAsync(0, capacity: 0)).Assignments.ShouldBeEmpty();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_machine_paired_by_code_stands_on_nobodys_sign_in(DatabaseKind kind)
    {
        await using var scene = await Scene.StartAsync(kind);
        using var paired = await scene.Server.NewAgentAsync("paired", admin: scene.Admin);
        (await scene.Admin.PostAsync($"/api/instances/{paired.InstanceId}/registration", null, Cancelled)).StatusCode.ShouldBe(HttpStatusCode.OK);
        await scene.SignOutAsync();
        (await paired.WorkAsync(0)).Assignments.ShouldBeEmpty();
        await scene.Agent.GetAsync("work", "waitSeconds=0").ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.SignedOut);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_stolen_refresh_token_and_a_removed_member_sign_it_out_as_well(DatabaseKind kind)
    {
        await using var scene = await Scene.StartAsync(kind);
        using var client = scene.Server.NewClient(null);
        var second = await client.RefreshAsync(scene.Tokens.RefreshToken).TokensAsync();
        await client.RefreshAsync(second.RefreshToken).TokensAsync();
        await client.RefreshAsync(scene.Tokens.RefreshToken).RefusedAsync("invalid_grant");
        await scene.Agent.GetAsync("work", "waitSeconds=0").ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.SignedOut);

        using var again = scene.Server.NewClient((await scene.Server.SignInDeviceAsync(scene.Person)).AccessToken);
        (await again.PostAsync($"/api/instances/{scene.Agent.InstanceId}/registration", null, Cancelled)).StatusCode.ShouldBe(HttpStatusCode.OK);
        await scene.Agent.BeatAsync();
        var me = await again.GetBodyAsync<IdentityBody>("/api/auth/me");
        (await scene.Server.Client.DeleteAsync($"/api/organizations/{me.Organization.Id}/members/{me.UserId}", Cancelled)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        await scene.Agent.GetAsync("work", "waitSeconds=0").ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.SignedOut);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_agent_that_is_started_again_while_signed_out_takes_its_leases_over(DatabaseKind kind)
    {
        await using var scene = await Scene.StartAsync(kind);
        var task = await scene.Server.Client.CreateTaskAsync(scene.Agent);
        await scene.Agent.ClaimAsync(task.StepId());
        await scene.SignOutAsync();

        (await scene.OpenSessionAsync(scene.Agent)).StatusCode.ShouldBe(HttpStatusCode.OK);
        await scene.Agent.CompleteAsync(task.StepId());
        (await scene.Server.Client.TaskAsync(task.Id)).State.ShouldBe(TaskState.Completed);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_lost_laptop_is_found_in_the_list_with_its_workstation(DatabaseKind kind)
    {
        await using var scene = await Scene.StartAsync(kind);
        using var elsewhere = scene.Server.NewClient((await scene.Server.SignInDeviceAsync(scene.Person, "phone")).AccessToken);
        var lost = (await elsewhere.GetBodyAsync<Page<GrantBody>>("/api/auth/grants")).Items.Single(g => g.Workstations.Count > 0);
        (lost.Id, lost.Workstations.Single()).ShouldBe((scene.Tokens.GrantId!, "laptop"));
        (await elsewhere.DeleteAsync("/api/auth/grants/" + lost.Id, Cancelled)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        await scene.Agent.GetAsync("work", "waitSeconds=0").ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.SignedOut);
    }

    /// <summary>An admin who is signed in by OAuth, and an agent that they registered with it.</summary>
    private sealed class Scene : IAsyncDisposable
    {
        private string _session = "";

        public required ServerFixture Server { get; init; }
        public required Browser Person { get; init; }
        public required OAuthTokenResponse Tokens { get; init; }
        public required HttpClient Admin { get; init; }
        public required DeviceClient Agent { get; init; }
        public string MachineId => "the laptop's id";

        public static async Task<Scene> StartAsync(DatabaseKind kind)
        {
            var server = await ServerFixture.StartAsync(kind);
            var person = await Browser.OfMemberAsync(server, Role.Admin);
            var tokens = await server.SignInDeviceAsync(person);
            var scene = new Scene
            {
                Server = server, Person = person, Tokens = tokens, Admin = server.NewClient(tokens.AccessToken), Agent = new DeviceClient(server.Url, TimeProvider.System),
            };
            var instance = await (await scene.Admin.PostJsonAsync("/api/instances", new CreateInstanceRequest { Name = "laptop", MachineId = scene.MachineId })).BodyAsync<InstanceBody>();
            await scene.Agent.PairAsync(await server.NewPairingCodeAsync(instance.Id, scene.Admin));
            (await scene.OpenSessionAsync(scene.Agent)).EnsureSuccessStatusCode();
            await scene.Agent.BeatAsync();
            return scene;
        }

        /// <summary>As the agent's next life: it names the session before as its own.</summary>
        public async Task<HttpResponseMessage> OpenSessionAsync(DeviceClient agent)
        {
            var session = Ids.New(Ids.Session, TimeProvider.System);
            agent.SessionId = null;
            var answer = await agent.PostAsync("sessions", new OpenSessionRequest
            {
                SessionId = session, MachineId = MachineId, BootId = "boot", HostName = "laptop", PreviousSessionIds = _session.Length == 0 ? [] : [_session],
            });
            agent.SessionId = answer.IsSuccessStatusCode ? _session = session : _session;
            return answer;
        }

        /// <summary>Every sign-in of this person.</summary>
        public async Task SignOutAsync()
        {
            using var client = Server.NewClient((await Server.SignInDeviceAsync(Person)).AccessToken);
            var mine = (await client.GetBodyAsync<Page<GrantBody>>("/api/auth/grants")).Items;
            foreach (var grant in mine.OrderBy(g => g.Current)) (await client.DeleteAsync("/api/auth/grants/" + grant.Id, Cancelled)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        }

        public async ValueTask DisposeAsync()
        {
            Admin.Dispose();
            Person.Dispose();
            Agent.Dispose();
            await Server.DisposeAsync();
        }
    }
}
