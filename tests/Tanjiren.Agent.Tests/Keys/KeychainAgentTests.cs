using Microsoft.Extensions.Logging.Abstractions;
using Tanjiren.Agent.Keys;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.Keys;

/// <summary>A whole agent whose key lies in the keychain: paired, started, its key rotated; and what it says when the keychain does not give it out.</summary>
public sealed class KeychainAgentTests : IAsyncLifetime
{
    private readonly MemoryKeychain store = new();
    private FakeControlPlane server = null!;
    private AgentHarness agent = null!;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        Prerequisite.Linux();
        server = await FakeControlPlane.StartAsync();
        agent = await AgentHarness.PairedAsync(server, Fresh());
        server.BoundKey = AgentIdentity.Load(agent.Home)!.KeyFingerprint;
    }

    public async ValueTask DisposeAsync()
    {
        if (agent is not null) await agent.DisposeAsync();
        if (server is not null) await server.DisposeAsync();
    }

    [Fact]
    public async Task It_runs_jobs_and_goes_on_with_a_new_key_and_the_keychain_has_one_at_the_end()
    {
        store.Names.ShouldBe(["agent-key." + server.BoundKey]);
        await agent.StartAsync();
        var step = server.Shell($"echo before; while [ ! -e {agent.File("go")} ]; do sleep 0.02; done; echo after");
        await Eventually.TrueAsync(() => step.Output().Contains("before"));

        var next = KeyRotation.Start(agent.Home, Fresh());
        KeyRotation.Waiting(agent.Home).ShouldBe(next);
        await Eventually.TrueAsync(() => server.Statements.Any(s => s.SubjectFingerprint == next));
        server.ApproveKey();
        await Eventually.TrueAsync(() => AgentIdentity.Load(agent.Home)!.KeyFingerprint == next && KeyRotation.Waiting(agent.Home) is null);
        await File.WriteAllTextAsync(agent.File("go"), "", Ct);
        await Eventually.TrueAsync(() => step.Result is not null);

        (step.Result!.Outcome, server.Sessions.Count).ShouldBe((StepOutcome.Succeeded, 1));
        await Eventually.TrueAsync(() => store.Names.SequenceEqual(["agent-key." + next]), () => string.Join(' ', store.Names));
        await agent.AbortAsync();
        foreach (var file in Directory.EnumerateFiles(agent.Home, "*", SearchOption.AllDirectories)) (await File.ReadAllTextAsync(file, Ct)).ShouldNotContain("PRIVATE KEY");
        KeyRotation.WhereKeyLies(agent.Home).ShouldBe("keychain");
    }

    [Fact]
    public async Task A_home_with_a_key_file_moves_it_in_at_its_next_start_and_stays_the_workstation()
    {
        await using var old = await AgentHarness.PairedAsync(server);
        server.BoundKey = AgentIdentity.Load(old.Home)!.KeyFingerprint;
        KeyRotation.WhereKeyLies(old.Home).ShouldBe("file");
        old.Keychain = Fresh();

        await old.StartAsync();

        var step = server.Enqueue("/bin/true");
        await Eventually.TrueAsync(() => step.Result is not null);
        (KeyRotation.WhereKeyLies(old.Home), store.Names.Contains("agent-key." + server.BoundKey)).ShouldBe(("keychain", true));
    }

    [Fact]
    public async Task A_locked_keychain_is_no_lost_key_and_a_deleted_entry_is()
    {
        store.Locked = true;
        agent.Keychain = Fresh();
        await agent.StartAsync();
        (await agent.Running).ShouldBe(AgentExit.Failed, "whoever supervises it starts it again");
        store.Locked = false;
        store.Delete("agent-key." + server.BoundKey);
        agent.Keychain = Fresh();
        await agent.StartAsync();
        (await agent.Running).ShouldBe(AgentExit.NeedsAttention, "a person must recover it");
    }

    [Fact]
    public async Task Required_and_away_it_makes_no_key_and_moves_none()
    {
        store.Locked = true;
        using var directory = new TemporaryDirectory();
        var required = new Keychain(KeychainUse.Required, store);
        await Should.ThrowAsync<KeychainException>(() => Pairing.PairAsync(directory.File("home"), server.Url, "good-code", false, TimeProvider.System, NullLoggerFactory.Instance, Ct, keychain: required));
        File.Exists(new AgentHome(directory.File("home")).Key).ShouldBeFalse();

        await using var old = await AgentHarness.PairedAsync(server);
        old.Keychain = required;
        await old.StartAsync();
        (await old.Running).ShouldBe(AgentExit.Failed);
        KeyRotation.WhereKeyLies(old.Home).ShouldBe("file");
    }

    /// <summary>As another process sees it.</summary>
    private Keychain Fresh() => new(KeychainUse.Auto, store);
}
