using System.Text.Json;

using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Logging;

using Tanjiren.Cli.Settings;
using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Cli;

/// <summary><c>doctrine</c> against a real control plane.</summary>
public sealed class DoctrineCommandsTests : IAsyncLifetime
{
    private const string Document = """
        forbid:
          - { name: wipe, because: no way back, when: { pattern: '\bwipe\b' } }
        approvals:
          - { name: production, class: production_mutation, when: { tags: [production] } }
        freeze:
          - { name: noon, cron: '0 12 * * *', duration: 1h, when: { origin: schedule } }
          - { name: night, cron: '0 0 * * *', duration: 1h, effect: refuse, when: { origin: schedule } }

        """;

    private readonly TemporaryDirectory directory = new();
    private readonly CliRun owner = new();
    private WebApplication server = null!;

    public async ValueTask InitializeAsync()
    {
        server = ControlPlane.Build(new ControlPlaneOptions
        {
            Urls = ["http://127.0.0.1:0"], Database = "sqlite:" + directory.File("tanjiren.db"), OfferSetup = false, ConfigureLogging = logging => logging.ClearProviders(),
        });
        await server.StartAsync(TestContext.Current.CancellationToken);
        var local = await LocalWorkspace.EnsureAsync(server, TestContext.Current.CancellationToken);
        new CredentialFile(new TanvritHome(owner.Home)).Write(new Credentials().With("local", new WorkspaceCredential { Url = server.Urls.First(), Token = local.Token }));
    }

    public async ValueTask DisposeAsync()
    {
        await server.StopAsync();
        await server.DisposeAsync();
        owner.Dispose();
        directory.Dispose();
    }

    [Fact]
    public async Task It_is_read_changed_listed_and_read_again()
    {
        (await owner.InvokeAsync("doctrine", "get")).ShouldBe(0, owner.Error.Text);
        owner.Output.Text.ShouldBe("# No rules: every task runs at once.\n");
        owner.Error.Text.ShouldStartWith("version 1, from the start, ");

        await File.WriteAllTextAsync(directory.File("doctrine.yaml"), Document, TestContext.Current.CancellationToken);
        (await owner.InvokeAsync("doctrine", "set", directory.File("doctrine.yaml"), "--based-on", "1")).ShouldBe(0, owner.Error.Text);
        owner.Error.Text.ShouldBe("version 2 is in force\n");
        owner.Input = "# less\n";
        (await owner.InvokeAsync("doctrine", "set", "-", "--based-on", "2", "--json")).ShouldBe(0, owner.Error.Text);
        Read(WireJson.Default.DoctrineBody).Version.ShouldBe(3);

        (await owner.InvokeAsync("doctrine", "history")).ShouldBe(0, owner.Error.Text);
        owner.Output.Text.Split('\n')[0].ShouldMatch("^VERSION +WRITTEN +BY$");
        owner.Output.Text.ShouldMatch(@"3 +\S+ \S+ \S+ +owner@local\n2 +\S+ \S+ \S+ +owner@local\n1 +\S+ \S+ \S+ +-\n");
        (await owner.InvokeAsync("doctrine", "history", "--limit", "2", "-o", "id")).ShouldBe(0, owner.Error.Text);
        owner.Output.Text.ShouldBe("3\n2\n");
        (await owner.InvokeAsync("doctrine", "get", "2")).ShouldBe(0, owner.Error.Text);
        owner.Output.Text.ShouldBe(Document);
        (await owner.InvokeAsync("doctrine", "get", "9")).ShouldBe(125);
    }

    [Fact]
    public async Task Faults_are_told_with_line_and_column_and_a_lost_update_with_the_version_that_is_there()
    {
        owner.Input = "forbid:\n  - { name: a, when: { pattern: '(' } }\n";
        (await owner.InvokeAsync("doctrine", "set", "-", "--based-on", "1")).ShouldBe(125);
        owner.Error.Text.ShouldContain("document: line 2, column 33: is no regular expression");
        owner.Input = "# one\n";
        (await owner.InvokeAsync("doctrine", "set", "-", "--based-on", "1")).ShouldBe(0, owner.Error.Text);
        owner.Input = "# other\n";
        (await owner.InvokeAsync("doctrine", "set", "-", "--based-on", "1")).ShouldBe(125);
        owner.Error.Text.ShouldContain("current state: 2");
        owner.Error.Text.ShouldContain("basedOn 2");
        (await owner.InvokeAsync("doctrine", "set", "-")).ShouldBe(125);
        owner.Error.Text.ShouldContain("--based-on");
        (await owner.InvokeAsync("doctrine", "set", directory.File("absent.yaml"), "--based-on", "2")).ShouldBe(125);
    }

    [Theory]
    [InlineData(0, "may run at once", "--", "make", "test")]
    [InlineData(0, "may run at once", "--tag", "gpu", "--shell", "make test")]
    [InlineData(1, "needs an approval", "--tag", "production", "--", "make")]
    [InlineData(1, "needs an approval", "--workstation", "web", "--role", "viewer", "--prompt", "look around")]
    [InlineData(0, "may run at once", "--workstation", "web", "--by-version", "1", "--", "make")]
    [InlineData(2, "forbidden", "--tag", "production", "--", "wipe", "disk")]
    [InlineData(2, "refused while frozen", "--origin", "schedule", "--at", "2026-11-21T00:30:00Z", "--", "make")]
    [InlineData(3, "waits for the end of the freeze", "--origin", "schedule", "--at", "2026-11-21T12:30:00Z", "--", "make")]
    [InlineData(1, "needs an approval", "--tag", "production", "--origin", "schedule", "--at", "2026-11-21T13:30:00+01:00", "--", "make")]
    public async Task The_exit_code_says_what_would_become_of_a_task(int code, string verdict, params string[] words)
    {
        owner.Input = Document;
        (await owner.InvokeAsync("doctrine", "set", "-", "--based-on", "1")).ShouldBe(0, owner.Error.Text);
        (await owner.InvokeAsync("workstations", "create", "web", "--tag", "production")).ShouldBe(0, owner.Error.Text);
        (await owner.InvokeAsync(["doctrine", "test", .. words])).ShouldBe(code, owner.Error.Text);
        owner.Output.Text.ShouldMatch($"verdict: +{verdict}\n");
    }

    [Fact]
    public async Task A_test_tells_the_class_the_rules_and_what_met_them()
    {
        owner.Input = Document;
        (await owner.InvokeAsync("doctrine", "set", "-", "--based-on", "1")).ShouldBe(0, owner.Error.Text);
        (await owner.InvokeAsync("doctrine", "test", "--tag", "production", "--", "wipe", "it")).ShouldBe(2, owner.Error.Text);
        owner.Output.Text.ShouldMatch("class: +production_mutation\nversion: +2\n");
        owner.Output.Text.ShouldContain("  forbid by wipe: its text matches \\bwipe\\b: no way back\n  production_mutation by production: a workstation that could run it is tagged production\n");
        (await owner.InvokeAsync("doctrine", "test", "--tag", "production", "--json", "--", "make")).ShouldBe(1, owner.Error.Text);
        Read(WireJson.Default.DoctrineDecisionBody).Findings.ShouldHaveSingleItem().Rule.ShouldBe("production");
        (await owner.InvokeAsync("doctrine", "test", "--at", "someday", "--", "make")).ShouldBe(125);
        owner.Error.Text.ShouldContain("--at: 'someday' is not a time");
        (await owner.InvokeAsync("doctrine", "test")).ShouldBe(125);
        (await owner.InvokeAsync("doctrine", "test", "--prompt", "a", "--", "make")).ShouldBe(125);
    }

    private T Read<T>(System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type) => JsonSerializer.Deserialize(owner.Output.Bytes, type)!;
}
