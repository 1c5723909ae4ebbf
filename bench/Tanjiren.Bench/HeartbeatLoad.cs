using System.Globalization;

namespace Tanjiren.Bench;

/// <summary>Heartbeats of workstations with keys of their own: each proof is verified, each beat is committed.</summary>
internal sealed class HeartbeatLoad : IThroughputContender
{
    private const int Workstations = 32;

    private readonly ControlPlaneProcess _server;
    private readonly List<SimulatedWorkstation> _workstations = [];
    private double _cpu;

    private HeartbeatLoad(ControlPlaneProcess server, string database) => (_server, Name) = (server, $"Tanjiren on {database}, {Workstations} workstations");

    public string Name { get; }

    public string Measures => string.Create(CultureInfo.InvariantCulture,
        $"heartbeats answered a second, sent by the agent's own client, which signs each on the same machine; {_cpu:0} µs of CPU each in the server, in the last round");

    public static async Task<HeartbeatLoad> StartAsync(BenchSettings settings, bool postgres, CancellationToken cancellation)
    {
        var load = new HeartbeatLoad(await ControlPlaneProcess.StartAsync(postgres ? settings.Postgres : null, cancellation, null, ("Tanjiren__DeviceTrust__PairingsPerAddress", "1000")), postgres ? "PostgreSQL" : "SQLite");
        for (var i = 0; i < Workstations; i++) load._workstations.Add(await SimulatedWorkstation.PairAsync(load._server, i, cancellation));
        return load;
    }

    public async Task<double> RunAsync(int items, CancellationToken cancellation)
    {
        var before = ProcessUsage.CpuMicroseconds(_server.Processes);
        var rate = await SharedWork.PerSecondAsync(items, Workstations, async worker => await _workstations[worker].BeatAsync(cancellation));
        _cpu = (ProcessUsage.CpuMicroseconds(_server.Processes) - before) / items;
        return rate;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var workstation in _workstations) workstation.Dispose();
        await _server.DisposeAsync();
    }
}
