using Tanjiren.EndToEnd.Tests.Faults;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Telemetry;

/// <summary>A server and an agent that export to a collector; shared by the tests of the class, which tell their jobs apart by trace.</summary>
public sealed class ExportingFixture : IAsyncLifetime
{
    private readonly TemporaryDirectory _directory = new();

    internal OtlpReceiver Collector { get; private set; } = null!;
    internal RealServer Server { get; private set; } = null!;
    internal Workspace Workspace { get; private set; } = null!;
    internal RealAgent Agent { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Prerequisite.Linux();
        Collector = await OtlpReceiver.StartAsync();
        Server = await RealServer.StartAsync("sqlite:" + File("tanjiren.db"), Collector.Environment);
        Workspace = await Workspace.SetUpAsync(Server);
        Agent = await RealAgent.PairAsync(Server, Workspace, "box", _directory.Path, environment: Collector.Environment);
        Agent.Start();
        await Eventually.TrueAsync(() => Workspace.IsOnlineAsync(Agent.InstanceId), () => Agent.Log.Tail(), FaultScene.StartLimit, "the agent is online");
    }

    public string File(string name) => _directory.File(name);

    public async ValueTask DisposeAsync()
    {
        if (Agent is not null) await Agent.DisposeAsync();
        if (Server is not null) await Server.DisposeAsync();
        Workspace?.Dispose();
        if (Collector is not null) await Collector.DisposeAsync();
        _directory.Dispose();
    }
}
