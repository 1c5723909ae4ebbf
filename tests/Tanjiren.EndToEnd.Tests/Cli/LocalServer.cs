using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Logging;

using Tanjiren.Cli.Settings;
using Tanjiren.Server.Hosting;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Cli;

/// <summary>A real control plane in this process, with one workstation, <c>box</c>, that no agent serves; and the command line of its owner, who is alone there.</summary>
internal sealed class LocalServer : IAsyncDisposable
{
    private readonly TemporaryDirectory directory = new();
    private readonly WebApplication app;

    private LocalServer() => app = ControlPlane.Build(new ControlPlaneOptions
    {
        Urls = ["http://127.0.0.1:0"], Database = "sqlite:" + directory.File("tanjiren.db"), OfferSetup = false, ConfigureLogging = logging => logging.ClearProviders(),
    });

    public CliRun Cli { get; } = new();

    public static async Task<LocalServer> StartAsync()
    {
        var server = new LocalServer();
        await server.app.StartAsync(TestContext.Current.CancellationToken);
        var local = await LocalWorkspace.EnsureAsync(server.app, TestContext.Current.CancellationToken);
        new CredentialFile(new TanvritHome(server.Cli.Home)).Write(new Credentials().With("local", new WorkspaceCredential { Url = server.app.Urls.First(), Token = local.Token }));
        await server.RunAsync("workstations", "create", "box");
        return server;
    }

    /// <summary>A file that goes with the server.</summary>
    public async Task<string> FileAsync(string name, string text)
    {
        await File.WriteAllTextAsync(directory.File(name), text, TestContext.Current.CancellationToken);
        return directory.File(name);
    }

    /// <summary>What a command that succeeds prints.</summary>
    public async Task<string> RunAsync(params string[] arguments)
    {
        (await Cli.InvokeAsync(arguments)).ShouldBe(0, $"{string.Join(' ', arguments)}\n{Cli.Error.Text}");
        return Cli.Output.Text;
    }

    /// <summary>What a command that is refused says of it.</summary>
    public async Task<string> RefusedAsync(params string[] arguments)
    {
        (await Cli.InvokeAsync(arguments)).ShouldBe(125, $"{string.Join(' ', arguments)}\n{Cli.Error.Text}");
        return Cli.Error.Text;
    }

    /// <summary>The one id that a command prints.</summary>
    public async Task<string> IdAsync(params string[] arguments) => (await RunAsync(arguments)).Trim();

    /// <summary>The record that a command prints; the first two words are its name.</summary>
    public async Task<T> JsonAsync<T>(JsonTypeInfo<T> type, params string[] arguments)
    {
        await RunAsync([.. arguments[..2], "--json", .. arguments[2..]]);
        return JsonSerializer.Deserialize(Cli.Output.Bytes, type)!;
    }

    public async ValueTask DisposeAsync()
    {
        await app.StopAsync();
        await app.DisposeAsync();
        Cli.Dispose();
        directory.Dispose();
    }
}
