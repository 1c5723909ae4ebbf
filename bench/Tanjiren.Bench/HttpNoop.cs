using Microsoft.Extensions.Logging.Abstractions;
using Tanjiren.Agent;
using Tanjiren.Agent.Connection;
using Tanjiren.Agent.Keys;
using Tanjiren.Protocol;

namespace Tanjiren.Bench;

/// <summary>No-op steps through HTTP: the server is a process of its own, the workstations are the agent's own client, each with its own key and session.</summary>
internal sealed class HttpNoop : IThroughputContender
{
    private const int Workers = 16;

    private readonly ControlPlaneProcess _server;
    private readonly List<Workstation> _workstations = [];

    private HttpNoop(ControlPlaneProcess server, string database) => (_server, Name) = (server, $"Tanjiren through HTTP and DPoP on {database}, {Workers} workstations");

    public string Name { get; }

    public string Measures => "each simulated workstation has a task created for it over HTTP with a token, claims it and completes it with an ES256 proof each: three requests and three commits a step; client and server share the machine";

    public static async Task<HttpNoop> StartAsync(BenchSettings settings, bool postgres, CancellationToken cancellation)
    {
        var noop = new HttpNoop(await ControlPlaneProcess.StartAsync(postgres ? settings.Postgres : null, cancellation), postgres ? "PostgreSQL" : "SQLite");
        for (var i = 0; i < Workers; i++) noop._workstations.Add(await Workstation.PairAsync(noop._server, i, cancellation));
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

    private sealed class Workstation(string instanceId, string sessionId, DeviceTransport transport, ControlPlaneClient client) : IDisposable
    {
        public string InstanceId => instanceId;

        public static async Task<Workstation> PairAsync(ControlPlaneProcess server, int number, CancellationToken cancellation)
        {
            var home = Path.Combine(server.Home, $"workstation-{number}");
            var code = await server.RegisterAsync($"bench {number}", cancellation);
            var paired = await Pairing.PairAsync(home, server.Url, code.Code, insecureHttp: false, TimeProvider.System, NullLoggerFactory.Instance, cancellation);
            if (paired.Identity is null) throw new InvalidOperationException(paired.Error);
            var timeouts = new AgentTimeouts();
            var transport = new DeviceTransport(server.Url, code.InstanceId, new FileKeyStore(Path.Combine(home, "key.pem")).Load()!, timeouts, TimeProvider.System, NullLogger.Instance);
            var client = new ControlPlaneClient(transport, code.InstanceId, timeouts);
            var session = Ids.New(Ids.Session, TimeProvider.System);
            Need(await client.OpenSessionAsync(new OpenSessionRequest { SessionId = session, MachineId = $"machine {number}", BootId = "boot", HostName = "bench" }, cancellation));
            return new Workstation(code.InstanceId, session, transport, client);
        }

        public async Task RunAsync(string step, CancellationToken cancellation)
        {
            var claim = Need(await client.ClaimAsync(sessionId, step, new ClaimRequest { ClaimId = NoopStep.NewClaim(), ExpectedGeneration = 0 }, cancellation));
            Need(await client.CompleteAsync(sessionId, step, NoopStep.Result(step, claim.LeaseGeneration), cancellation));
        }

        public void Dispose() => transport.Dispose();

        private static T Need<T>(Reply<T> reply) where T : class => reply.Value ?? throw new InvalidOperationException(reply.Words);
    }
}
