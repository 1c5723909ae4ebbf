using System.Text.Json;
using Tanjiren.EndToEnd.Tests.Faults;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Cli.Agents;

/// <summary>A server and two paired agents, tagged <c>gpu</c> with the command line itself; shared by the tests of a class, which run one after another.</summary>
public sealed class AgentsFixture : IAsyncLifetime
{
    private TemporaryDirectory? _directory;
    private FaultScene? _scene;

    internal FaultScene Scene => _scene!;

    /// <summary>Leases outlive a restart of the server: these tests are of the command line, not of a holder's loss.</summary>
    public async ValueTask InitializeAsync()
    {
        _directory = new TemporaryDirectory();
        _scene = await FaultScene.StartAsync(new SceneOptions { TtlSeconds = 30, GraceSeconds = 30 });
        foreach (var agent in Scene.Agents)
        {
            await using var tagging = Run("workstations", "tag", agent.Name, "gpu");
            (await tagging.EndAsync()).ShouldBe(0, tagging.Describe());
        }
    }

    /// <summary>A fresh directory that jobs leave their marks in.</summary>
    public string NewDirectory() => Directory.CreateDirectory(_directory!.File(Guid.NewGuid().ToString("N"))).FullName;

    internal CliProcess Run(params string[] arguments) => CliProcess.Start(Scene.Server.Url, Scene.Workspace.Token, _directory!.Path, arguments);

    /// <summary>Runs a job to its end, and returns it as <c>--json</c> shows it.</summary>
    internal async Task<TaskBody> JobAsync(params string[] arguments)
    {
        await using var cli = Run(["jobs", "run", "--json", .. arguments]);
        var code = await cli.EndAsync();
        code.ShouldBe(0, $"{cli.Describe()}{Environment.NewLine}{Scene.Evidence()}");
        return JsonSerializer.Deserialize(cli.Output.Bytes, WireJson.Default.TaskBody)!;
    }

    public async ValueTask DisposeAsync()
    {
        if (_scene is not null)
            await _scene.DisposeAsync();
        _directory?.Dispose();
    }
}
