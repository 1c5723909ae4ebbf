using System.Security.Cryptography;
using Microsoft.Extensions.Logging.Abstractions;
using Tanjiren.Agent.Keys;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.Keys;

/// <summary>The agent's side of a rotation, with real files and real requests: stopped at every moment at which a machine can stop.</summary>
public sealed class KeyRotationTests : IAsyncLifetime
{
    private FakeControlPlane server = null!;
    private AgentHarness agent = null!;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    private AgentHome Place => new(agent.Home);

    public async ValueTask InitializeAsync()
    {
        Prerequisite.Linux();
        server = await FakeControlPlane.StartAsync();
        agent = await AgentHarness.PairedAsync(server);
        server.BoundKey = KeyInPlace();
    }

    public async ValueTask DisposeAsync()
    {
        if (agent is not null) await agent.DisposeAsync();
        if (server is not null) await server.DisposeAsync();
    }

    [Fact]
    public async Task A_running_job_is_not_disturbed_and_the_new_key_takes_the_place_of_the_old()
    {
        var old = KeyInPlace();
        await agent.StartAsync();
        var step = server.Shell($"echo before; while [ ! -e {agent.File("go")} ]; do sleep 0.02; done; echo after");
        await Eventually.TrueAsync(() => step.Output().Contains("before"));

        var next = KeyRotation.Start(agent.Home);
        await Eventually.TrueAsync(() => server.Statements.Any(s => s.SubjectFingerprint == next && s.SignerFingerprint == old));
        await Eventually.TrueAsync(() => AgentStatus.Load(agent.Home)!.Notice?.Contains("workstations approve-key test") == true);
        KeyInPlace().ShouldBe(old, "nobody has approved it");
        KeyRotation.Waiting(agent.Home).ShouldBe(next);

        server.ApproveKey();
        await Eventually.TrueAsync(() => KeyInPlace() == next);
        await File.WriteAllTextAsync(agent.File("go"), "", Ct);
        await Eventually.TrueAsync(() => step.Result is not null);
        (step.Result!.Outcome, step.Result.LeaseGeneration, step.Output()).ShouldBe((StepOutcome.Succeeded, 1, "before\nafter\n"));
        server.Sessions.Count.ShouldBe(1, "the session went on, and the leases with it");
        (AgentIdentity.Load(agent.Home)!.KeyFingerprint, KeyRotation.Waiting(agent.Home), File.Exists(Place.RotationKey)).ShouldBe((next, null, false));
        await Eventually.TrueAsync(() => AgentStatus.Load(agent.Home)!.Notice is null);
        if (!OperatingSystem.IsWindows()) File.GetUnixFileMode(Place.Key).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);

        // And once more in the same life.
        var third = KeyRotation.Start(agent.Home);
        await Eventually.TrueAsync(() => server.Statements.Any(s => s.SubjectFingerprint == third && s.SignerFingerprint == next));
        server.ApproveKey();
        await Eventually.TrueAsync(() => KeyInPlace() == third);
        agent.Running.IsCompleted.ShouldBeFalse();
    }

    [Fact]
    public async Task A_key_that_was_made_while_no_agent_ran_is_asked_for_at_the_next_start()
    {
        var next = KeyRotation.Start(agent.Home);
        KeyRotation.Start(agent.Home).ShouldBe(next, "what waits is never replaced: an admin may be about to approve it");

        await agent.StartAsync();

        await Eventually.TrueAsync(() => server.Statements.Any(s => s.SubjectFingerprint == next));
    }

    [Fact]
    public async Task A_key_that_a_recovery_left_over_hides_no_key_of_a_rotation()
    {
        string left;
        using (var key = new DeviceKey(new FileKeyStore(Place.RecoveryKey).Create())) left = key.Fingerprint;
        var next = KeyRotation.Start(agent.Home);
        (KeyRotation.Waiting(agent.Home), KeyRotation.Recovering(agent.Home)).ShouldBe((next, left));
        KeyRotation.All(agent.Home).ShouldBe([next, left]);
        await agent.StartAsync();
        await Eventually.TrueAsync(() => server.Statements.Any(s => s.SubjectFingerprint == next));
        server.ApproveKey();
        await Eventually.TrueAsync(() => KeyInPlace() == next);
        KeyRotation.All(agent.Home).ShouldBe([left]);

        await File.WriteAllTextAsync(Place.RecoveryKey, "no key", Ct);
        Should.Throw<InvalidDataException>(() => KeyRotation.All(agent.Home));
        KeyRotation.Recovering(agent.Home).ShouldBeNull();
    }

    [Fact]
    public async Task An_agent_that_was_away_while_its_key_was_approved_finds_the_new_one_on_its_disk()
    {
        var next = KeyRotation.Start(agent.Home);
        await agent.StartAsync();
        await Eventually.TrueAsync(() => server.Statements.Any(s => s.SubjectFingerprint == next));
        await agent.AbortAsync();
        server.ApproveKey();

        await agent.StartAsync();

        var step = server.Enqueue("/bin/true");
        await Eventually.TrueAsync(() => step.Result is not null);
        (KeyInPlace(), AgentIdentity.Load(agent.Home)!.KeyFingerprint, agent.Running.IsCompleted).ShouldBe((next, next, false));
    }

    [Fact]
    public async Task A_crash_between_the_new_identity_and_its_key_is_finished_by_the_next_start()
    {
        var next = KeyRotation.Start(agent.Home);
        var identity = AgentIdentity.Load(agent.Home)! with { KeyFingerprint = next };
        AgentHome.Replace(Place.Identity, identity, AgentJson.Default.AgentIdentity, durable: true);
        server.BoundKey = next;

        await agent.StartAsync();

        (KeyInPlace(), File.Exists(Place.RotationKey)).ShouldBe((next, false));
        server.RefusedKeys.ShouldBe(0);
    }

    [Fact]
    public async Task A_lost_answer_to_the_request_costs_nothing()
    {
        server.LoseAnswers("key-rotations", 2);
        await agent.StartAsync();
        var next = KeyRotation.Start(agent.Home);
        await Eventually.TrueAsync(() => server.Statements.Count >= 3);
        server.Statements.ShouldAllBe(s => s.SubjectFingerprint == next);
        server.ApproveKey();
        await Eventually.TrueAsync(() => KeyInPlace() == next);
    }

    [Fact]
    public async Task The_old_key_stays_while_the_server_does_not_take_the_new_one()
    {
        var old = KeyInPlace();
        await agent.StartAsync();
        var step = server.Shell("echo up; exec sleep 1000");
        await Eventually.TrueAsync(() => step.Output().Contains("up"));
        var next = KeyRotation.Start(agent.Home);
        await Eventually.TrueAsync(() => server.Statements.Any(s => s.SubjectFingerprint == next));

        // The network breaks just as the agent turns to its new key: nothing is lost by it, and nothing killed.
        server.Intercept("token", 502, count: 10_000);
        server.ApproveKey();
        await Eventually.TrueAsync(() => server.Count("token") >= 4);
        (KeyInPlace(), agent.Running.IsCompleted).ShouldBe((old, false));
        server.StopRefusing("token");
        await Eventually.TrueAsync(() => KeyInPlace() == next);
        server.Sessions.Count.ShouldBe(1);
    }

    [Theory]
    [InlineData("none")]
    [InlineData("by a stranger")]
    [InlineData("after another key")]
    [InlineData("of another key")]
    [InlineData("of another workstation")]
    public async Task A_word_of_an_approval_that_its_server_has_not_signed_costs_no_key(string approval)
    {
        var old = KeyInPlace();
        await agent.StartAsync();
        var next = KeyRotation.Start(agent.Home);
        await Eventually.TrueAsync(() => server.Statements.Any(s => s.SubjectFingerprint == next));
        using var stranger = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        server.ApproveKey(approval switch
        {
            "none" => null,
            "by a stranger" => FakeControlPlane.Approve(stranger, old, next),
            "after another key" => server.Approve("another", next),
            "of another key" => server.Approve(old, "another"),
            _ => server.Approve(old, next, "ws_00000000000000000000000009"),
        });
        var tokens = server.TokensIssued;
        await Eventually.TrueAsync(() => server.TokensIssued >= tokens + 3);
        (KeyInPlace(), AgentIdentity.Load(agent.Home)!.KeyFingerprint, agent.Running.IsCompleted).ShouldBe((old, old, false));

        server.ApproveKey();
        await Eventually.TrueAsync(() => KeyInPlace() == next);
    }

    [Fact]
    public async Task A_new_key_that_can_not_be_read_at_the_switch_kills_nothing_and_is_tried_again()
    {
        var old = KeyInPlace();
        await agent.StartAsync();
        var step = server.Shell($"echo up; while [ ! -e {agent.File("go")} ]; do echo .; sleep 0.02; done");
        await Eventually.TrueAsync(() => step.Output().Contains("up"));
        var next = KeyRotation.Start(agent.Home);
        await Eventually.TrueAsync(() => server.Statements.Any(s => s.SubjectFingerprint == next));
        SetMode(Place.RotationKey, UnixFileMode.UserRead | UnixFileMode.OtherRead);
        server.ApproveKey();
        // What the job prints is refused like all else, and kept.
        await Eventually.TrueAsync(() => server.RefusedKeys >= 3);
        (KeyInPlace(), agent.Running.IsCompleted).ShouldBe((old, false));

        SetMode(Place.RotationKey, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        await Eventually.TrueAsync(() => KeyInPlace() == next);
        await File.WriteAllTextAsync(agent.File("go"), "", Ct);
        await Eventually.TrueAsync(() => step.Result is not null);
        (step.Result!.Outcome, server.Sessions.Count).ShouldBe((StepOutcome.Succeeded, 1));
    }

    [Fact]
    public async Task A_waiting_file_that_is_no_key_stops_only_an_agent_whose_own_key_it_may_be()
    {
        await File.WriteAllTextAsync(Place.RecoveryKey, "no key", Ct);
        SetMode(Place.RecoveryKey, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        Place.FinishPairing();
        await agent.StartAsync();
        var step = server.Enqueue("/bin/true");
        await Eventually.TrueAsync(() => step.Result is not null);
        await agent.AbortAsync();

        var identity = AgentIdentity.Load(agent.Home)! with { KeyFingerprint = "another" };
        AgentHome.Replace(Place.Identity, identity, AgentJson.Default.AgentIdentity, durable: true);
        Should.Throw<InvalidDataException>(() => Place.FinishPairing());
    }

    [Theory]
    [InlineData(KeyRotationState.Rejected, "rejected: not asked for")]
    [InlineData(KeyRotationState.Expired, "expired")]
    [InlineData(KeyRotationState.Withdrawn, "somebody else has this key")]
    public async Task A_key_that_will_not_be_approved_is_given_up_and_a_new_one_may_be_made(KeyRotationState state, string says)
    {
        var old = KeyInPlace();
        await agent.StartAsync();
        var next = KeyRotation.Start(agent.Home);
        await Eventually.TrueAsync(() => server.Statements.Any(s => s.SubjectFingerprint == next));
        server.RotationState = state;

        await Eventually.TrueAsync(() => !File.Exists(Place.RotationKey));
        await Eventually.TrueAsync(() => AgentStatus.Load(agent.Home)!.Notice?.Contains(says, StringComparison.Ordinal) == true);
        KeyInPlace().ShouldBe(old);
        server.RotationState = KeyRotationState.Pending;
        var again = KeyRotation.Start(agent.Home);
        again.ShouldNotBe(next);
        await Eventually.TrueAsync(() => server.Statements.Any(s => s.SubjectFingerprint == again));
    }

    [Fact]
    public async Task A_key_that_was_replaced_and_is_not_here_stops_the_agent_with_a_reason_and_kills_what_runs()
    {
        // A copy of the home from before the rotation.
        await agent.StartAsync();
        var step = server.Shell("echo $$; exec sleep 1000");
        await Eventually.TrueAsync(() => step.Output().Length > 0);
        server.RotatedKeys[KeyInPlace()] = true;
        server.BoundKey = "another";
        server.Changed();
        server.Enqueue("/bin/true");

        (await agent.Running.WaitAsync(TimeSpan.FromSeconds(90), TimeProvider.System, Ct)).ShouldBe(AgentExit.NeedsAttention);
        Directory.Exists($"/proc/{step.Output().Trim()}").ShouldBeFalse();
    }

    [Fact]
    public async Task A_word_of_a_rotation_that_nobody_asked_for_costs_no_key()
    {
        var old = KeyInPlace();
        await agent.StartAsync();
        var next = KeyRotation.Start(agent.Home);
        await Eventually.TrueAsync(() => server.Statements.Any(s => s.SubjectFingerprint == next));
        server.RotatedKeys[old] = true;
        server.BoundKey = "another"; // a thief's was approved: neither of ours counts

        (await agent.Running.WaitAsync(TimeSpan.FromSeconds(90), TimeProvider.System, Ct)).ShouldBe(AgentExit.NeedsAttention);
        (KeyInPlace(), KeyRotation.Waiting(agent.Home)).ShouldBe((old, next));
    }

    [Fact]
    public async Task Pairing_again_forgets_a_key_that_waited_for_the_old_one()
    {
        KeyRotation.Start(agent.Home);
        (await Pairing.PairAsync(agent.Home, server.Url, "good-code", false, TimeProvider.System, NullLoggerFactory.Instance, Ct, freshKey: true)).Error.ShouldBeNull();
        KeyRotation.Waiting(agent.Home).ShouldBeNull();
    }

    private static void SetMode(string path, UnixFileMode mode)
    {
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(path, mode);
    }

    private string KeyInPlace()
    {
        using var key = new DeviceKey(new FileKeyStore(Place.Key).Load()!);
        return key.Fingerprint;
    }
}
