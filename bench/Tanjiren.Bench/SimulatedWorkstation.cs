using System.Security.Cryptography;
using Microsoft.Extensions.Logging.Abstractions;
using Tanjiren.Agent;
using Tanjiren.Agent.Connection;
using Tanjiren.Agent.Keys;
using Tanjiren.Protocol;

namespace Tanjiren.Bench;

/// <summary>A workstation that runs nothing: the agent's own client, with a key, a session and a connection of its own.</summary>
internal sealed class SimulatedWorkstation : IDisposable
{
    private readonly DeviceTransport _transport;
    private readonly ControlPlaneClient _client;
    private readonly string _session = Ids.New(Ids.Session, TimeProvider.System);

    public SimulatedWorkstation(string url, string instanceId, ECDsa key)
    {
        var timeouts = new AgentTimeouts();
        InstanceId = instanceId;
        _transport = new DeviceTransport(url, instanceId, key, timeouts, TimeProvider.System, NullLogger.Instance);
        _client = new ControlPlaneClient(_transport, instanceId, timeouts);
    }

    public string InstanceId { get; }

    /// <summary>Registered and paired by the real way, with a session.</summary>
    public static async Task<SimulatedWorkstation> PairAsync(ControlPlaneProcess server, int number, CancellationToken cancellation)
    {
        var home = Path.Combine(server.Home, $"workstation-{number}");
        var code = await server.RegisterAsync($"bench {number}", cancellation);
        var paired = await Pairing.PairAsync(home, server.Url, code.Code, insecureHttp: false, TimeProvider.System, NullLoggerFactory.Instance, cancellation);
        if (paired.Identity is null) throw new InvalidOperationException(paired.Error);
        var workstation = new SimulatedWorkstation(server.Url, code.InstanceId, new FileKeyStore(Path.Combine(home, "key.pem")).Load()!);
        await workstation.OpenSessionAsync(cancellation);
        return workstation;
    }

    public async Task OpenSessionAsync(CancellationToken cancellation) =>
        Need(await _client.OpenSessionAsync(new OpenSessionRequest { SessionId = _session, MachineId = "machine " + InstanceId, BootId = "boot", HostName = "bench" }, cancellation));

    /// <summary>Claims a step and completes it: two requests, two commits.</summary>
    public async Task RunAsync(string step, CancellationToken cancellation)
    {
        var claim = Need(await _client.ClaimAsync(_session, step, new ClaimRequest { ClaimId = NoopStep.NewClaim(), ExpectedGeneration = 0 }, cancellation));
        Need(await _client.CompleteAsync(_session, step, NoopStep.Result(step, claim.LeaseGeneration), cancellation));
    }

    public async Task BeatAsync(CancellationToken cancellation) =>
        Need(await _client.HeartbeatAsync(_session, new HeartbeatRequest { AgentVersion = "bench", MaxConcurrent = 2, Leases = [] }, TimeSpan.FromSeconds(60), cancellation));

    public void Dispose() => _transport.Dispose();

    private static T Need<T>(Reply<T> reply) where T : class => reply.Value ?? throw new InvalidOperationException(reply.Words);
}
