using Microsoft.Extensions.Logging.Abstractions;
using Tanjiren.Agent.Keys;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.Keys;

/// <summary>A machine that has lost its key gets another one, and stays the workstation that it was.</summary>
public sealed class RecoveryTests : IAsyncLifetime
{
    private readonly TemporaryDirectory directory = new();
    private FakeControlPlane server = null!;
    private int told;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    private string Home => directory.File("home");

    private AgentHome Place => new(Home);

    public async ValueTask InitializeAsync() => server = await FakeControlPlane.StartAsync();

    public async ValueTask DisposeAsync()
    {
        await server.DisposeAsync();
        directory.Dispose();
    }

    [Fact]
    public async Task It_waits_for_the_admin_and_then_the_new_key_is_in_place()
    {
        (await Pairing.PairAsync(Home, server.Url, "good-code", false, TimeProvider.System, NullLoggerFactory.Instance, Ct)).Error.ShouldBeNull();
        KeyRotation.Start(Home);
        File.Delete(Place.Key);
        var recovery = RecoverAsync("good-code");
        await Eventually.TrueAsync(() => server.Statements.Count >= 2);
        (recovery.IsCompleted, told, File.Exists(Place.Key)).ShouldBe((false, 1, false));
        var shown = KeyRotation.Recovering(Home);
        server.RotationState = KeyRotationState.Approved;

        var identity = (await recovery).Identity!;
        (identity.InstanceId, identity.KeyFingerprint, server.Statements.Last().IsOwnWord).ShouldBe((FakeControlPlane.InstanceId, shown!, true));
        using var key = new DeviceKey(new FileKeyStore(Place.Key).Load()!);
        (key.Fingerprint, AgentIdentity.Load(Home)!.KeyFingerprint).ShouldBe((shown!, shown!));
        KeyRotation.Waiting(Home).ShouldBeNull("a rotation from the lost key can't come to anything");
        KeyRotation.Recovering(Home).ShouldBeNull();
    }

    [Fact]
    public async Task Stopped_and_run_again_it_goes_on_with_the_same_key()
    {
        using (var stop = CancellationTokenSource.CreateLinkedTokenSource(Ct))
        {
            var first = RecoverAsync("good-code", stop.Token);
            await Eventually.TrueAsync(() => told > 0);
            await stop.CancelAsync();
            await Should.ThrowAsync<OperationCanceledException>(() => first);
        }
        server.LoseAnswers("recover", 1);
        server.RotationState = KeyRotationState.Approved;

        (await RecoverAsync("good-code")).Identity!.KeyFingerprint.ShouldBe(server.PairedKeys.First());
        server.PairedKeys.Distinct().Count().ShouldBe(1);
    }

    [Fact]
    public async Task Refused_it_says_so_and_the_next_try_makes_another_key()
    {
        (await RecoverAsync("bad-code")).Problem!.Code.ShouldBe("invalid_pairing_code");
        File.Exists(Place.RecoveryKey).ShouldBeFalse("no code was redeemed with it: it can't come to anything");
        server.RotationState = KeyRotationState.Rejected;
        (await RecoverAsync("good-code")).Error!.ShouldContain("rejected: not asked for");
        File.Exists(Place.RecoveryKey).ShouldBeFalse();
        AgentIdentity.Load(Home).ShouldBeNull();
    }

    [Fact]
    public async Task A_mistyped_code_costs_no_key_that_an_admin_may_be_approving()
    {
        using (var stop = CancellationTokenSource.CreateLinkedTokenSource(Ct))
        {
            var first = RecoverAsync("good-code", stop.Token);
            await Eventually.TrueAsync(() => told > 0);
            await stop.CancelAsync();
            await Should.ThrowAsync<OperationCanceledException>(() => first);
        }
        var key = KeyRotation.Recovering(Home);
        (await RecoverAsync("bad-code")).Problem!.Code.ShouldBe("invalid_pairing_code");
        (KeyRotation.Recovering(Home), key is null).ShouldBe((key, false));
    }

    [Theory]
    [InlineData(KeyRotationState.Pending)]
    [InlineData(KeyRotationState.Approved)]
    public async Task A_home_of_another_workstation_is_left_alone_and_said_so_before_an_admin_approves(KeyRotationState state)
    {
        (await Pairing.PairAsync(Home, server.Url, "good-code", false, TimeProvider.System, NullLoggerFactory.Instance, Ct)).Error.ShouldBeNull();
        var other = AgentIdentity.Load(Home)! with { InstanceId = "ws_00000000000000000000000009", InstanceName = "other" };
        AgentHome.Replace(Place.Identity, other, AgentJson.Default.AgentIdentity, durable: true);
        server.RotationState = state;

        (await RecoverAsync("good-code")).Error!.ShouldContain("belongs to the workstation other");
        (AgentIdentity.Load(Home)!.InstanceId, told).ShouldBe((other.InstanceId, 0));
    }

    [Fact]
    public async Task Not_while_an_agent_runs_on_the_home()
    {
        using var held = Place.TryLock();
        (await RecoverAsync("good-code")).Error!.ShouldContain("stop it");
        server.Statements.ShouldBeEmpty();
    }

    private Task<PairResult> RecoverAsync(string code, CancellationToken? ct = null) =>
        Recovery.RecoverAsync(Home, server.Url, code, insecureHttp: false, _ => Interlocked.Increment(ref told), TimeProvider.System, NullLoggerFactory.Instance, ct ?? Ct);
}
