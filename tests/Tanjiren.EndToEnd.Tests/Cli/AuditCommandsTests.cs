using System.Net.Http.Json;
using System.Text.Json;

using Tanjiren.EndToEnd.Tests.SignIn;
using Tanjiren.Protocol;
using Tanjiren.Server.Data.Sqlite;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Cli;

/// <summary><c>audit list | export | verify</c> against a real server, whose database is then tampered with.</summary>
public sealed class AuditCommandsTests : IDisposable
{
    private readonly TemporaryDirectory directory = new();

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    public void Dispose() => directory.Dispose();

    [Fact]
    public async Task It_verifies_then_names_the_row_that_was_edited_and_with_the_head_file_the_ten_that_were_cut_off()
    {
        await using var server = await HostedServer.StartAsync();
        using var cli = await server.SignedInAsync();
        var heads = server.DatabaseFile + ".audit-heads";
        await Eventually.TrueAsync(() => File.Exists(heads) && LastHead(heads) >= 4);

        (await cli.InvokeAsync("audit", "list", "--action", "member.added", "-o", "id")).ShouldBe(0, cli.Error.Text);
        cli.Output.Text.ShouldStartWith("evt_");
        (await cli.InvokeAsync("audit", "list", "--from", "yesterday")).ShouldBe(125);
        cli.Error.Text.ShouldContain("from");
        (await cli.InvokeAsync("audit", "list", "--limit", "2", "--json")).ShouldBe(0);
        JsonSerializer.Deserialize(cli.Output.Bytes, WireJson.Default.PageAuditEventBody)!.Items.Count.ShouldBe(2);

        var export = directory.File("audit.jsonl");
        (await cli.InvokeAsync("audit", "export", "--out", export)).ShouldBe(0, cli.Error.Text);
        (await cli.InvokeAsync("audit", "export")).ShouldBe(0);
        cli.Output.Text.ShouldBe(await File.ReadAllTextAsync(export, Cancelled));
        (await cli.InvokeAsync("audit", "verify", export)).ShouldBe(0, cli.Output.Text);
        (await cli.InvokeAsync("audit", "verify", "--head", heads)).ShouldBe(0, cli.Output.Text);
        cli.Output.Text.ShouldContain("verified: rows 1 to ");
        (await cli.InvokeAsync("audit", "verify", "--head", heads, "--json")).ShouldBe(0);
        var key = JsonSerializer.Deserialize(cli.Output.Bytes, WireJson.Default.ChainReport)!.KeyFingerprint!;
        (await cli.InvokeAsync("audit", "verify", "--key", key)).ShouldBe(0);
        (await cli.InvokeAsync("audit", "verify", "--key", "another")).ShouldBe(1);

        // Ten more, so that the last ten are behind a head of the file.
        var reached = LastHead(heads);
        for (var i = 0; i < 10; i++)
            (await server.Owner.PostAsJsonAsync("/api/instances", new CreateInstanceRequest { Name = $"machine {i}" }, WireJson.Default.CreateInstanceRequest, Cancelled)).EnsureSuccessStatusCode();
        await Eventually.TrueAsync(() => LastHead(heads) == reached + 10);

        await ChangeAsync(server, "UPDATE audit_events SET actor = actor || 'x' WHERE chain_seq = 2");
        (await cli.InvokeAsync("audit", "verify")).ShouldBe(1);
        cli.Output.Text.ShouldStartWith("broken (altered): row 2 (evt_");
        (await cli.InvokeAsync("audit", "verify", export)).ShouldBe(0, "the export is from before");
        await ChangeAsync(server, "UPDATE audit_events SET actor = substr(actor, 1, length(actor) - 1) WHERE chain_seq = 2");
        (await cli.InvokeAsync("audit", "verify", "--head", heads)).ShouldBe(0, cli.Output.Text);

        // The rows and the chain's own head: as if the last ten had never been.
        var old = HeadFile.Read(await File.ReadAllLinesAsync(heads, Cancelled)).HeadsOf(ChainOf(export)).Single(h => h.Sequence == reached);
        await ChangeAsync(server, $"DELETE FROM audit_events WHERE chain_seq > {reached}; UPDATE audit_chains SET head_seq = {old.Sequence}, head_hash = '{old.Hash}', head_at = {old.At.ToUnixTimeMilliseconds()}, head_signature = '{old.Signature}'");
        (await cli.InvokeAsync("audit", "verify")).ShouldBe(0, "nothing in the database tells of them");
        (await cli.InvokeAsync("audit", "verify", "--head", heads)).ShouldBe(1);
        cli.Output.Text.ShouldStartWith($"broken (truncated): rows {reached + 1} to {reached + 10} were cut off");
    }

    private static string ChainOf(string export) => JsonSerializer.Deserialize(File.ReadLines(export).First(), WireJson.Default.AuditHead)!.Chain;

    private static long LastHead(string path) => File.ReadLines(path).Select(line => JsonSerializer.Deserialize(line, WireJson.Default.AuditHead)!.Sequence).DefaultIfEmpty().Max();

    private static async Task ChangeAsync(HostedServer server, string sql)
    {
        await using var connection = SqliteLibrary.Connect($"Data Source={server.DatabaseFile};Pooling=False");
        await connection.OpenAsync(Cancelled);
        await using var command = connection.CreateCommand();
        command.CommandText = sql;
        (await command.ExecuteNonQueryAsync(Cancelled)).ShouldBeGreaterThan(0);
    }
}
