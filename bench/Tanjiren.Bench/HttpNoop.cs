namespace Tanjiren.Bench;

/// <summary>No-op steps through HTTP: the server is a process of its own, the workstations are the agent's own client, each with its own key and session.</summary>
internal sealed class HttpNoop : IThroughputContender
{
    private const int Workers = 16;

    private readonly ControlPlaneProcess _server;
    private readonly List<SimulatedWorkstation> _workstations = [];

    private HttpNoop(ControlPlaneProcess server, string database) => (_server, Name) = (server, $"Tanjiren through HTTP and DPoP on {database}, {Workers} workstations");

    public string Name { get; }

    public string Measures => "each simulated workstation has a task created for it over HTTP with a token, claims it and completes it with an ES256 proof each: three requests and three commits a step; client and server share the machine";

    public static async Task<HttpNoop> StartAsync(BenchSettings settings, bool postgres, CancellationToken cancellation)
    {
        var noop = new HttpNoop(await ControlPlaneProcess.StartAsync(postgres ? settings.Postgres : null, cancellation), postgres ? "PostgreSQL" : "SQLite");
        for (var i = 0; i < Workers; i++) noop._workstations.Add(await SimulatedWorkstation.PairAsync(noop._server, i, cancellation));
        return noop;
    }

    public Task<double> RunAsync(int items, CancellationToken cancellation) => SharedWork.PerSecondAsync(items, Workers, async worker =>
    {
        var workstation = _workstations[worker];
        var task = await _server.CreateTaskAsync(NoopStep.On(workstation.InstanceId), cancellation);
        await workstation.RunAsync(task.Execution!.Steps[0].Id, cancellation);
    });

    public async ValueTask DisposeAsync()
    {
        foreach (var workstation in _workstations) workstation.Dispose();
        await _server.DisposeAsync();
    }
}
