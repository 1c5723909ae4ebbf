using System.Text.Json;
using Tanjiren.Agent.Connection;
using Tanjiren.Agent.Keys;
using Tanjiren.Protocol;

namespace Tanjiren.Agent;

/// <summary>How a pairing ended: an identity, or one sentence that says what to do.</summary>
public sealed record PairResult
{
    public AgentIdentity? Identity { get; init; }
    public string? Error { get; init; }
    /// <summary>The server's problem, when it was the server that refused.</summary>
    public ProblemBody? Problem { get; init; }
    /// <summary>Whether the same call again may succeed (no answer came).</summary>
    public bool Retryable { get; init; }
}

/// <summary>Binds this machine's key to a workstation (W-03).</summary>
public static class Pairing
{
    private const int Tries = 4;

    /// <summary>A person waits for the answer: told to come back later than this, they are told so.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    /// <summary>
    /// Makes the key if there is none, exchanges <paramref name="code"/> for the binding, and writes <c>identity.json</c>. A lost answer costs
    /// nothing: the same code with the same key is answered the same, here within the call and after a crash by calling again.
    /// Refused while an agent runs on this home.
    /// </summary>
    /// <param name="home">The agent's directory; made if it is not there.</param>
    /// <param name="serverUrl">The control plane.</param>
    /// <param name="code">As an admin was shown it.</param>
    /// <param name="insecureHttp">Allows plain http to another machine.</param>
    /// <param name="clock">For pauses.</param>
    /// <param name="logs">For what a person who looks for a fault needs.</param>
    /// <param name="ct">Stops it between tries.</param>
    /// <param name="freshKey">Pairs under a new key, for a key is bound once. The old key stays until the new one is bound, whatever happens.</param>
    /// <param name="keychain">Where the key goes; absent: into a file.</param>
    public static async Task<PairResult> PairAsync(string home, string serverUrl, string code, bool insecureHttp, TimeProvider clock,
        ILoggerFactory logs, CancellationToken ct, bool freshKey = false, Keychain? keychain = null)
    {
        var (baseUrl, addressError) = ServerAddress.Parse(serverUrl, insecureHttp);
        if (baseUrl is null) return new PairResult { Error = addressError };
        var place = new AgentHome(home, keychain);
        using var held = place.TryLock();
        if (held is null) return new PairResult { Error = $"An agent runs on '{place.Directory}'; stop it before you pair." };

        var timeouts = new AgentTimeouts();
        place.FinishPairing();
        var path = freshKey ? place.NextKey : place.Key;
        using var key = place.KeyStore(path).Load() ?? place.CreateKey(path);
        using var transport = new DeviceTransport(baseUrl, instanceId: null, key, timeouts, clock, logs.CreateLogger("Tanjiren.Agent.Pairing"));
        var body = JsonSerializer.SerializeToUtf8Bytes(new PairRequest { Code = code, HostName = Environment.MachineName }, WireJson.Default.PairRequest);
        var backoff = new Backoff(timeouts.BackoffFirst, timeouts.BackoffMax);
        for (var attempt = 1; ; attempt++)
        {
            var reply = await transport.SendAsync(HttpMethod.Post, "/api/device-trust/pair", body, WireJson.Default.PairResponse, timeouts.Request, ct);
            if (reply.IsOk)
            {
                var identity = Remember(place, baseUrl, reply.Value!);
                place.FinishPairing();
                // A rotation from the key before this one can't come to anything any more.
                if (freshKey) new SuccessorKey(place).Forget();
                return new PairResult { Identity = identity };
            }
            if (reply.Kind != ReplyKind.Unavailable || attempt == Tries || reply.RetryAfter > Patience) return Failure(baseUrl, transport, reply);
            await Task.Delay(backoff.Next(reply.RetryAfter), clock, ct);
        }
    }

    private static AgentIdentity Remember(AgentHome place, string baseUrl, PairResponse answer) => Remember(place, new AgentIdentity
    {
        ServerUrl = baseUrl,
        InstanceId = answer.InstanceId,
        InstanceName = answer.InstanceName,
        OrganizationId = answer.OrganizationId,
        OrganizationName = answer.OrganizationName,
        KeyFingerprint = answer.KeyFingerprint,
        ServerKeys = answer.ServerKeys,
    });

    internal static AgentIdentity Remember(AgentHome place, string baseUrl, RecoverResponse answer) => Remember(place, new AgentIdentity
    {
        ServerUrl = baseUrl,
        InstanceId = answer.InstanceId,
        InstanceName = answer.InstanceName,
        OrganizationId = answer.OrganizationId,
        OrganizationName = answer.OrganizationName,
        KeyFingerprint = answer.KeyFingerprint,
        ServerKeys = answer.ServerKeys,
    });

    private static AgentIdentity Remember(AgentHome place, AgentIdentity identity)
    {
        AgentHome.Replace(place.Identity, identity, AgentJson.Default.AgentIdentity, durable: true);
        return identity;
    }

    internal static PairResult Failure<T>(string baseUrl, DeviceTransport transport, Reply<T> reply) where T : class => new()
    {
        Problem = reply.Problem,
        Retryable = reply.Kind == ReplyKind.Unavailable,
        Error = reply.Kind switch
        {
            ReplyKind.ClockRefused => transport.ClockNotice,
            ReplyKind.Unavailable when reply.Problem is null => $"The server at {baseUrl} did not answer; check the address and the network, then run the same command again.",
            _ => reply.Problem?.Hint is { } hint ? $"{reply.Words} {hint}" : reply.Words,
        },
    };
}
