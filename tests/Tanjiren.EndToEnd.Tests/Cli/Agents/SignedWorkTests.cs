using System.Text.Json;
using Tanjiren.Agent;
using Tanjiren.Cli.Settings;
using Tanjiren.EndToEnd.Tests.Faults;
using Tanjiren.Protocol;
using Tanjiren.Server.Data.Sqlite;

namespace Tanjiren.EndToEnd.Tests.Cli.Agents;

/// <summary>Acceptance 6, with a real agent: a job verifies online and from its bundle, until one byte of its log is changed.</summary>
public sealed class SignedWorkTests(AgentsFixture fixture) : IClassFixture<AgentsFixture>, IAsyncLifetime
{
    private readonly CliRun owner = new();

    private FaultScene Scene => fixture.Scene;

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync()
    {
        new CredentialFile(new TanvritHome(owner.Home)).Write(new Credentials().With("local", new WorkspaceCredential { Url = Scene.Server.Url.ToString().TrimEnd('/'), Token = Scene.Workspace.Token }));
        owner.Limit = FaultScene.StartLimit;
        return default;
    }

    public ValueTask DisposeAsync()
    {
        owner.Dispose();
        return default;
    }

    [Fact]
    public async Task A_job_verifies_online_and_from_its_bundle_until_one_byte_of_its_log_is_changed()
    {
        var agent = Scene.Agents[0];
        var key = AgentIdentity.Load(agent.Home)!.KeyFingerprint;
        var job = await fixture.JobAsync("--workstation", agent.Name, "--env", "WHAT=prices", "--shell", "echo \"$WHAT 1\"; echo \"$WHAT 2\" >&2; exit 0");
        var step = job.Execution!.Steps[0].Id;
        var bundle = Path.Combine(fixture.NewDirectory(), "job.receipts");

        (await owner.InvokeAsync("jobs", "verify", job.Id, "--save", bundle)).ShouldBe(0, owner.Output.Text + owner.Error.Text);
        owner.Output.Text.ShouldBe($"{step}: verified, signed by {key}\n");
        owner.Error.Text.ShouldContain("give --anchor");
        (await owner.InvokeAsync("jobs", "verify", "--file", bundle, "--anchor=" + key)).ShouldBe(0, owner.Output.Text);
        owner.Error.Text.ShouldBeEmpty();
        (await owner.InvokeAsync("jobs", "verify", job.Id, "--anchor=0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", "--json")).ShouldBe(1);
        JsonSerializer.Deserialize(owner.Output.Bytes, WireJson.Default.IReadOnlyListReceiptResult)!.Single().Verdict.ShouldBe(ReceiptVerdict.NotVerified);

        await ChangeAsync($"UPDATE step_logs SET data = X'{Convert.ToHexString("prices 9\n"u8)}' WHERE step_id = '{step}' AND seq = 1");
        (await owner.InvokeAsync("jobs", "logs", job.Id)).ShouldBe(0);
        owner.Output.Text.ShouldContain("prices 9");
        (await owner.InvokeAsync("jobs", "verify", job.Id, "--anchor=" + key)).ShouldBe(1);
        owner.Output.Text.ShouldMatch(@"^step_\w+: NOT VERIFIED: chunk 1 of its output \((stdout|stderr)\) was altered");
        (await owner.InvokeAsync("jobs", "verify", "--file", bundle, "--anchor=" + key)).ShouldBe(0, "it is from before");

        var text = await File.ReadAllTextAsync(bundle, Cancelled);
        await File.WriteAllTextAsync(bundle, text.Replace("\"exitCode\":0", "\"exitCode\":1", StringComparison.Ordinal), Cancelled);
        (await owner.InvokeAsync("jobs", "verify", "--file", bundle, "--anchor=" + key)).ShouldBe(1);
        owner.Output.Text.ShouldContain("its exitCode is not what the workstation signed");
        await File.WriteAllTextAsync(bundle, "{}\n", Cancelled);
        (await owner.InvokeAsync("jobs", "verify", "--file", bundle)).ShouldBe(125);
        owner.Error.Text.ShouldContain("line 1 of");
        foreach (var wrong in new string[][] { [], [job.Id, "--file", bundle], ["--file", bundle, "--save", bundle] })
            (await owner.InvokeAsync(["jobs", "verify", .. wrong])).ShouldBe(125);
    }

    private async Task ChangeAsync(string sql)
    {
        await using var connection = SqliteLibrary.Connect($"Data Source={Scene.DatabaseUrl["sqlite:".Length..]};Pooling=False");
        await connection.OpenAsync(Cancelled);
        await using var command = connection.CreateCommand();
        command.CommandText = sql;
        (await command.ExecuteNonQueryAsync(Cancelled)).ShouldBe(1);
    }
}
