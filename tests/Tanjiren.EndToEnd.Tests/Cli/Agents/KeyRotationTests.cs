using System.Text.Json;
using System.Text.RegularExpressions;
using Tanjiren.Cli.Settings;
using Tanjiren.EndToEnd.Tests.Faults;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Cli.Agents;

/// <summary>Acceptance 6, as people do it: a rotation while a job runs, the old key refused, the chain verified and tampered with, a lost key recovered.</summary>
public sealed partial class KeyRotationTests(AgentsFixture fixture) : IClassFixture<AgentsFixture>, IAsyncLifetime
{
    private readonly CliRun owner = new();

    private FaultScene Scene => fixture.Scene;
    private string Url => Scene.Server.Url.ToString().TrimEnd('/');

    public ValueTask InitializeAsync()
    {
        new CredentialFile(new TanvritHome(owner.Home)).Write(new Credentials().With("local", new WorkspaceCredential { Url = Url, Token = Scene.Workspace.Token }));
        owner.Limit = FaultScene.StartLimit;
        return default;
    }

    public ValueTask DisposeAsync()
    {
        owner.Dispose();
        return default;
    }

    [Fact]
    public async Task A_key_is_rotated_while_a_job_runs_the_old_one_is_refused_and_the_chain_verifies_until_it_is_tampered_with()
    {
        var agent = Scene.Agents[0];
        var directory = fixture.NewDirectory();
        await using var job = fixture.Run("jobs", "run", "--workstation", agent.Name, "--env", $"DIR={directory}", "--shell",
            "echo \"begun $TANJIREN_LEASE_GENERATION\"; while [ ! -e \"$DIR/go\" ]; do sleep 0.05; done; echo \"ended $TANJIREN_LEASE_GENERATION\"");
        await Eventually.TrueAsync(() => job.Output.Text == "begun 1\n", () => job.Describe() + Scene.Evidence(), FaultScene.StartLimit, "the job runs");
        var before = await StatusAsync(agent);
        var copy = await agent.CopyHomeAsync("rotated-away"); // what a thief or a backup has: the old key alone
        Scene.Adopt(copy);

        (await owner.InvokeAsync("agent", "rotate-key", "--home", agent.Home)).ShouldBe(0, owner.Error.Text);
        owner.Error.Text.ShouldStartWith("the running agent asks for it now\n");
        var next = (await StatusAsync(agent)).New!;
        owner.Output.Text.ShouldContain(next);
        await Eventually.TrueAsync(async () => (await KeysAsync(agent.Name)).Pending is not null, Scene.Evidence, FaultScene.StartLimit, "the agent has asked");
        (await owner.InvokeAsync("workstations", "keys", agent.Name)).ShouldBe(0, owner.Error.Text);
        owner.Output.Text.ShouldMatch($"new key: +{Regex.Escape(next[..8])}…");
        owner.Output.Text.ShouldNotContain(next[^8..]);

        // Somebody who did not look at the machine.
        owner.Input = before.Key[^8..] + "\n";
        (await owner.InvokeAsync("workstations", "approve-key", agent.Name)).ShouldBe(125);
        owner.Error.Text.ShouldContain("error: That is not the end of the new key's fingerprint");
        owner.Error.Text.ShouldContain("Tries left: 4.");
        owner.Input = next[^8..] + "\n";
        (await owner.InvokeAsync("workstations", "approve-key", agent.Name)).ShouldBe(0, owner.Error.Text);
        owner.Error.Text.ShouldContain($"{agent.Name} has the key {next}; {before.Key} is refused from now on\n");
        (await owner.InvokeAsync("workstations", "approve-key", agent.Name)).ShouldBe(125);
        owner.Error.Text.ShouldContain("no new key of");

        await Eventually.TrueAsync(async () => await StatusAsync(agent) is { New: null } now && now.Key == next, Scene.Evidence, FaultScene.StartLimit, "the agent has switched");
        job.HasExited.ShouldBeFalse("what runs is not disturbed");
        await File.WriteAllTextAsync(Path.Combine(directory, "go"), "", TestContext.Current.CancellationToken);
        (await job.EndAsync()).ShouldBe(0, job.Describe());
        job.Output.Text.ShouldBe("begun 1\nended 1\n", "the same process under the same lease");

        // The old key, wherever it still is.
        copy.Start();
        await Eventually.TrueAsync(() => copy.Process.HasExited, () => copy.Log.Tail(), FaultScene.StartLimit, "the copy has ended");
        await copy.Process.TerminateAsync(); // it has ended: this waits for its last lines
        copy.Process.ExitCode.ShouldBe(2, copy.Log.Tail());
        copy.Log.Find(KeyIsElsewhere()).ShouldNotBeNull(copy.Log.Tail());
        // The new one after a restart.
        await agent.KillAsync();
        await agent.StartAgainAsync();
        await using (var again = fixture.Run("jobs", "run", "--workstation", agent.Name, "--", "echo", "still here"))
        {
            (await again.EndAsync()).ShouldBe(0, again.Describe() + Scene.Evidence());
            again.Output.Text.ShouldBe("still here\n");
        }

        var file = await ExportAsync(agent.Name);
        (await VerifyAsync(file, before.Key)).ShouldBe(0, owner.Error.Text);
        owner.Error.Text.ShouldBe($"verified: the anchor leads to {next}\n");
        owner.Output.Text.ShouldMatch($"1 +{Regex.Escape(next)} .*vouched for +usr_");
        (await VerifyAsync(file, new string('A', 43))).ShouldBe(2, "an anchor of somebody else");
        var chain = await KeysAsync(agent.Name);
        foreach (var tampered in new[]
        {
            chain with { Changes = [] }, chain with { Changes = [chain.Changes[0], chain.Changes[0]] }, chain with { Changes = [chain.Changes[0] with { ApprovedBy = "usr_00000000000000000000000000" }] },
            chain with { Changes = [chain.Changes[0] with { Statement = chain.Changes[0].Approval }] }, chain with { Current = before.Key },
        })
        {
            await File.WriteAllTextAsync(file, JsonSerializer.Serialize(tampered, WireJson.Default.KeyChainBody), TestContext.Current.CancellationToken);
            (await VerifyAsync(file, before.Key)).ShouldBe(2, owner.Output.Text);
            owner.Error.Text.ShouldStartWith("NOT VERIFIED: ");
        }
        owner.Input = "no chain";
        (await VerifyAsync("-", before.Key)).ShouldBe(125);
    }

    [Fact]
    public async Task A_rejected_key_is_given_up_and_the_old_one_goes_on()
    {
        var agent = Scene.Agents[1];
        var before = await StatusAsync(agent);
        (await owner.InvokeAsync("agent", "rotate-key", "--home", agent.Home)).ShouldBe(0, owner.Error.Text);
        await Eventually.TrueAsync(async () => (await KeysAsync(agent.Name)).Pending is not null, Scene.Evidence, FaultScene.StartLimit, "the agent has asked");
        (await owner.InvokeAsync("workstations", "reject-key", agent.Name, "--reason", "not today", "--json")).ShouldBe(0, owner.Error.Text);
        Read(owner, WireJson.Default.KeyRotationBody).State.ShouldBe(KeyRotationState.Rejected);
        await Eventually.TrueAsync(async () => (await StatusAsync(agent)).New is null, Scene.Evidence, FaultScene.StartLimit, "the agent has given it up");
        await Eventually.TrueAsync(async () => await owner.InvokeAsync("agent", "status", "--home", agent.Home) == 0 && owner.Output.Text.Contains("rejected: not today", StringComparison.Ordinal),
            () => owner.Output.Text, FaultScene.StartLimit, "whoever looks at the machine reads why");
        (await StatusAsync(agent)).Key.ShouldBe(before.Key);
    }

    [Fact]
    public async Task A_lost_key_is_recovered_under_an_admins_word_and_the_chain_shows_the_gap()
    {
        var agent = await Scene.PairAnotherAsync("lost-" + Guid.NewGuid().ToString("N")[..6], _ => { });
        var before = await StatusAsync(agent);
        File.Delete(Path.Combine(agent.Home, "key.pem"));
        agent.Start();
        await Eventually.TrueAsync(() => agent.Process.HasExited, () => agent.Log.Tail(), FaultScene.StartLimit, "without its key it does not run");
        await agent.Process.TerminateAsync(); // it has ended: this waits for its last lines
        (agent.Process.ExitCode, agent.Log.Find(KeyIsGone()) is not null).ShouldBe((2, true), agent.Log.Tail());

        (await owner.InvokeAsync("workstations", "recover", agent.Name)).ShouldBe(0, owner.Error.Text);
        var code = owner.Output.Text.Trim();
        owner.Error.Text.ShouldContain($"agent recover --server {Url} --code {code}\n");
        await using var recovering = RealProcess.Start("recovery", ["agent", "recover", "--server", agent.Proxy.Url.ToString().TrimEnd('/'), "--code", code, "--home", agent.Home],
            new Dictionary<string, string?> { ["TANVRIT_HOME"] = owner.Home });
        var shown = (await recovering.WaitForLineAsync(NewKey(), FaultScene.StartLimit)).Groups["key"].Value;
        var status = await StatusAsync(agent);
        (status.New, status.Recovery).ShouldBe((null, shown));
        (await owner.InvokeAsync("workstations", "keys", agent.Name)).ShouldBe(0, owner.Error.Text);
        owner.Output.Text.ShouldContain("(recovery)");
        recovering.HasExited.ShouldBeFalse("a code alone changes nothing");

        (await owner.InvokeAsync("workstations", "approve-key", agent.Name, "--fingerprint=" + shown[^8..])).ShouldBe(0, owner.Error.Text);
        await Eventually.TrueAsync(() => recovering.HasExited, () => recovering.Log.Tail(), FaultScene.StartLimit, "the machine has its key");
        recovering.ExitCode.ShouldBe(0, recovering.Log.Tail());
        await agent.StartAgainAsync();
        await using (var job = fixture.Run("jobs", "run", "--workstation", agent.InstanceId, "--", "echo", "back"))
        {
            (await job.EndAsync()).ShouldBe(0, job.Describe() + Scene.Evidence());
            job.Output.Text.ShouldBe("back\n");
        }

        var file = await ExportAsync(agent.Name);
        (await VerifyAsync(file, before.Key)).ShouldBe(1, owner.Error.Text);
        owner.Error.Text.ShouldStartWith("not verified: change 1 is a recovery of a lost key");
        (await VerifyAsync(file, before.Key, "--accept-gaps")).ShouldBe(1, "nothing has named the server whose word it is");
        owner.Error.Text.ShouldEndWith("add --server-key=FINGERPRINT, the server key that `agent status` shows on the machine\n");
        (await owner.InvokeAsync("agent", "status", "--home", agent.Home, "--json")).ShouldBe(0, owner.Error.Text);
        var serverKey = JsonDocument.Parse(owner.Output.Text).RootElement.GetProperty("identity").GetProperty("serverKeyFingerprint").GetString();
        (await VerifyAsync(file, before.Key, "--accept-gaps", "--server-key=" + serverKey)).ShouldBe(0, owner.Error.Text);
        owner.Output.Text.ShouldMatch($"1 +{Regex.Escape(shown)} .* gap ");
        (await VerifyAsync(file, shown)).ShouldBe(0, owner.Error.Text);
    }

    private async Task<(string Key, string? New, string? Recovery)> StatusAsync(RealAgent agent)
    {
        await owner.InvokeAsync("agent", "status", "--home", agent.Home, "--json");
        var identity = JsonDocument.Parse(owner.Output.Text).RootElement.GetProperty("identity");
        return (identity.GetProperty("keyFingerprint").GetString()!, Optional("newKeyFingerprint"), Optional("recoveryKeyFingerprint"));

        string? Optional(string name) => identity.TryGetProperty(name, out var there) ? there.GetString() : null;
    }

    private async Task<KeyChainBody> KeysAsync(string workstation)
    {
        (await owner.InvokeAsync("workstations", "keys", workstation, "--json")).ShouldBe(0, owner.Error.Text);
        return Read(owner, WireJson.Default.KeyChainBody);
    }

    private async Task<string> ExportAsync(string workstation)
    {
        (await owner.InvokeAsync("workstations", "keys", workstation, "--json")).ShouldBe(0, owner.Error.Text);
        var file = Path.Combine(fixture.NewDirectory(), "keys.json");
        await File.WriteAllBytesAsync(file, owner.Output.Bytes, TestContext.Current.CancellationToken);
        return file;
    }

    private Task<int> VerifyAsync(string file, string anchor, params string[] more) => owner.InvokeAsync(["workstations", "verify-keys", file, "--anchor=" + anchor, .. more]);

    private static T Read<T>(CliRun cli, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type) => JsonSerializer.Deserialize(cli.Output.Bytes, type)!;

    [GeneratedRegex("has another key now, which is not in this home", RegexOptions.None, 1000)]
    private static partial Regex KeyIsElsewhere();

    [GeneratedRegex("The private key of .* is gone; ask an admin for a recovery code", RegexOptions.None, 1000)]
    private static partial Regex KeyIsGone();

    [GeneratedRegex("new key: +(?<key>[A-Za-z0-9_-]{43})", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex NewKey();
}
