using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

using Tanjiren.EndToEnd.Tests.Faults;
using Tanjiren.EndToEnd.Tests.SignIn;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Cli;

/// <summary><c>server backup</c> and <c>server restore</c> as they fail; RestoredServerTests is about what they do.</summary>
public sealed class BackupCommandTests : IDisposable
{
    private readonly TemporaryDirectory directory = new();
    private readonly CliRun cli = new();

    public void Dispose()
    {
        cli.Dispose();
        directory.Dispose();
    }

    [Fact]
    public async Task Each_refusal_says_what_to_do_next()
    {
        await using var server = await HostedServer.StartAsync();
        var (database, file) = ("sqlite:" + server.DatabaseFile, directory.File("backup"));
        (await cli.InvokeAsync("server", "backup", "--database", database, "--to", file)).ShouldBe(0, cli.Error.Text);
        cli.Error.Text.ShouldContain("backed up to");
        foreach (var (args, message) in new (string[], string)[]
        {
            (["backup", "--database", database, "--to", file], "exists"),
            (["backup", "--to", file], "it is not said where the data lives"),
            (["backup", "--database", database], "--to"),
            (["backup", "--database", "mysql:x", "--to", directory.File("other")], "neither sqlite:PATH nor postgres"),
            (["restore", "--database", database, "--from", file], "a control plane runs on this database"),
            (["restore", "--database", database, "--from", directory.File("nothing")], "there is no file"),
            (["restore", "--database", "postgres://nobody@127.0.0.1:1/none", "--from", file], "can't be restored into postgres"),
        })
        {
            (await cli.InvokeAsync(["server", .. args])).ShouldBe(125, message);
            cli.Error.Text.ShouldContain(message);
            cli.Error.Text.ShouldContain("hint: ");
        }
        // The database may be named as the server itself has it.
        cli.Variables["TANVRIT_DATABASE"] = database;
        (await cli.InvokeAsync("server", "backup", "--to", directory.File("again"))).ShouldBe(0, cli.Error.Text);
        cli.Variables["TANVRIT_DATABASE"] = "sqlite:" + directory.File("restored.db");
        (await cli.InvokeAsync("server", "restore", "--from", file)).ShouldBe(0, cli.Error.Text);
        cli.Error.Text.ShouldContain("restored the backup of ");
    }

    [Fact]
    public async Task Without_pg_dump_it_says_what_to_install()
    {
        await using var database = await TestDatabase.CreateAsync(DatabaseKind.Postgres, MigrateAsync);
        await using var process = RealProcess.Start("backup", ["server", "backup", "--to", directory.File("backup")],
            new Dictionary<string, string?> { ["PATH"] = directory.Path, ["TANVRIT_DATABASE"] = database.Url });
        await Eventually.TrueAsync(() => process.HasExited, () => process.Log.Tail(), FaultScene.StartLimit, "it has ended");
        (await process.TerminateAsync()).ShouldBe(125, process.Log.Tail());
        process.Log.Tail().ShouldContain("pg_dump is not installed");
        process.Log.Tail().ShouldContain("postgresql-client");
        Directory.GetFileSystemEntries(directory.Path).ShouldBeEmpty();
    }

    private static async Task MigrateAsync(string url)
    {
        await using var app = ControlPlane.Build(new ControlPlaneOptions { Urls = ["http://127.0.0.1:0"], Database = url, ConfigureLogging = logging => logging.ClearProviders() });
        await app.Services.GetRequiredService<Migrator>().MigrateAsync(TestContext.Current.CancellationToken);
    }
}
