using System.Security.Cryptography;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.Assignments;

/// <summary>The key that signs work changes: an agent follows from a key that it has, and from nothing else.</summary>
public sealed class WorkKeyTests : IAsyncLifetime
{
    private FakeControlPlane server = null!;
    private AgentHarness agent = null!;

    public async ValueTask InitializeAsync()
    {
        Prerequisite.Linux();
        server = await FakeControlPlane.StartAsync();
        agent = await AgentHarness.PairedAsync(server);
    }

    public async ValueTask DisposeAsync()
    {
        if (agent is not null) await agent.DisposeAsync();
        if (server is not null) await server.DisposeAsync();
    }

    [Fact]
    public async Task An_announced_key_is_followed_once_and_still_known_after_a_restart()
    {
        using var next = server.RotateWorkKey();
        await agent.StartAsync();

        (await RunAsync()).Outcome.ShouldBe(StepOutcome.Succeeded);
        (await RunAsync()).Outcome.ShouldBe(StepOutcome.Succeeded);
        AgentIdentity.Load(agent.Home)!.WorkKeys!.Select(k => k.Thumbprint()).ShouldBe([server.ServerKey.Thumbprint(), Jwk.FromKey(next).Thumbprint()]);

        await agent.AbortAsync();
        await agent.StartAsync();
        (await RunAsync()).Outcome.ShouldBe(StepOutcome.Succeeded);
        server.Count("work-keys").ShouldBe(1);
    }

    [Fact]
    public async Task An_agent_that_was_away_for_long_follows_over_several_keys_and_the_first_counts_no_more()
    {
        using var second = server.RotateWorkKey();
        using var third = server.RotateWorkKey();
        using var fourth = server.RotateWorkKey();
        await agent.StartAsync();
        (await RunAsync()).Outcome.ShouldBe(StepOutcome.Succeeded);

        // The one before the newest still counts: a server that has not heard of the newest signs with it.
        server.UseWorkKey(third);
        (await RunAsync()).Outcome.ShouldBe(StepOutcome.Succeeded);

        server.UseWorkKey(second);
        var refused = await RunAsync();
        (refused.Reason, refused.Detail!.Contains("to which none that this workstation accepts leads", StringComparison.Ordinal)).ShouldBe((StepReason.RejectedByAgent, true));
    }

    [Fact]
    public async Task A_key_that_announces_itself_is_refused()
    {
        using var stranger = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        server.UseWorkKey(stranger);
        using var next = server.RotateWorkKey();
        await agent.StartAsync();

        (await RunAsync()).Reason.ShouldBe(StepReason.RejectedByAgent);
        AgentIdentity.Load(agent.Home)!.WorkKeys.ShouldBeNull();
    }

    [Fact]
    public async Task While_the_announcements_can_not_be_had_the_step_goes_back_and_does_not_fail()
    {
        using var next = server.RotateWorkKey();
        server.Refuse("work-keys", 401, ErrorCode.SignedOut);
        await agent.StartAsync();
        var step = server.Enqueue("/bin/true");

        await Eventually.TrueAsync(() => step.Releases == 1);

        server.Completes.ShouldBeEmpty();
        (await RunAsync()).Outcome.ShouldBe(StepOutcome.Succeeded);
    }

    [Fact]
    public void A_restored_control_plane_announces_another_key_and_is_followed_from_the_one_before()
    {
        using var first = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var forgotten = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var again = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var known = new[] { Jwk.FromKey(first), Jwk.FromKey(forgotten) };

        var followed = WorkKeyChain.Follow(known[0].Thumbprint(), known, [Announce(first, again, known[0])]);

        followed.Select(k => k.Thumbprint()).ShouldBe([known[0].Thumbprint(), Jwk.FromKey(again).Thumbprint()]);
        // An announcement for another control plane, by a key that serves both, leads nowhere here.
        WorkKeyChain.Follow(known[0].Thumbprint(), known, [Announce(first, again, known[1])]).ShouldBe(known);
    }

    private static string Announce(ECDsa by, ECDsa next, Jwk issuer) =>
        WorkKeyAnnouncement.Sign(by, new WorkKeyClaims { Iss = issuer.Thumbprint(), Seq = 2, Cnf = new KeyConfirmation { Jwk = Jwk.FromKey(next) }, Iat = 0 });

    private async Task<CompleteRequest> RunAsync()
    {
        var step = server.Enqueue("/bin/true");
        await Eventually.TrueAsync(() => step.Result is not null);
        return step.Result!;
    }
}
