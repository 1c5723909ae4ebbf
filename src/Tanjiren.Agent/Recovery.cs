using System.Text.Json;
using Tanjiren.Agent.Connection;
using Tanjiren.Agent.Keys;
using Tanjiren.Protocol;

namespace Tanjiren.Agent;

/// <summary>Gets a workstation whose key is lost another one (D-03): with an admin's recovery code, and the word of an admin who has compared fingerprints.</summary>
public static class Recovery
{
    private const int Tries = 4;
    private static readonly TimeSpan Look = TimeSpan.FromSeconds(2);

    /// <summary>
    /// Makes a new key, redeems <paramref name="code"/> with it, and waits for the admin; then writes <c>identity.json</c>. The key is on the disk before it is asked for,
    /// so this can be stopped at any moment and called again with the same code: it goes on where it was. Refused while an agent runs on this home.
    /// </summary>
    /// <param name="home">Directory of the agent: the one that lost its key, or a new one.</param>
    /// <param name="serverUrl">Address of the control plane.</param>
    /// <param name="code">As the admin gave it.</param>
    /// <param name="insecureHttp">Allows plain http to another machine.</param>
    /// <param name="waiting">Called once the code is redeemed and an admin is waited for.</param>
    /// <param name="clock">The clock to wait by.</param>
    /// <param name="logs">Where to log.</param>
    /// <param name="ct">Stops it between tries.</param>
    /// <param name="keychain">Where the key goes; absent: into a file.</param>
    public static async Task<PairResult> RecoverAsync(string home, string serverUrl, string code, bool insecureHttp, Action<RecoverResponse> waiting, TimeProvider clock,
        ILoggerFactory logs, CancellationToken ct, Keychain? keychain = null)
    {
        var (baseUrl, addressError) = ServerAddress.Parse(serverUrl, insecureHttp);
        if (baseUrl is null) return new PairResult { Error = addressError };
        var place = new AgentHome(home, keychain);
        using var held = place.TryLock();
        if (held is null) return new PairResult { Error = $"An agent runs on '{place.Directory}'; stop it before you recover its key." };

        place.FinishPairing();
        var timeouts = new AgentTimeouts();
        var kept = place.KeyStore(place.RecoveryKey).Load();
        using var key = kept ?? place.CreateKey(place.RecoveryKey);
        using var transport = new DeviceTransport(baseUrl, instanceId: null, key, timeouts, clock, logs.CreateLogger("Tanjiren.Agent.Recovery"));
        var statement = transport.State(KeyStatement.PayloadFor(null, Jwk.FromKey(key), null, clock.GetUtcNow()));
        var body = JsonSerializer.SerializeToUtf8Bytes(new RecoverRequest { Code = code, HostName = Environment.MachineName, Statement = statement }, WireJson.Default.RecoverRequest);
        var backoff = new Backoff(timeouts.BackoffFirst, timeouts.BackoffMax);
        var redeemed = false;
        for (var attempt = 1; ; attempt++)
        {
            var reply = await transport.SendAsync(HttpMethod.Post, "/api/device-trust/recover", body, WireJson.Default.RecoverResponse, timeouts.Request, ct);
            if (reply.IsOk)
            {
                // Its journal and outbox are another workstation's: under this one's name they would be nobody's. Said before an admin approves it, for the old key ends with that.
                var answer = reply.Value!;
                if (AgentIdentity.Load(place.Directory) is { } other && other.InstanceId != answer.InstanceId)
                    return new PairResult { Error = $"'{place.Directory}' belongs to the workstation {other.InstanceName}, and the code was for {answer.InstanceName}; {Elsewhere(place)}" };
                if (Ended(place, baseUrl, answer) is { } result) return result;
                if (!redeemed) waiting(answer);
                redeemed = true;
                backoff.Reset();
                await Task.Delay(Look, clock, ct);
                continue;
            }
            // Once the code is redeemed nothing that may pass ends the wait: the admin may be on the way.
            if (reply.Kind != ReplyKind.Unavailable || (!redeemed && attempt == Tries))
            {
                // No code was ever redeemed with it, so nobody can approve it. One that was here before may have been, with another code: it stays.
                if (reply.Kind == ReplyKind.Refused && kept is null && !redeemed) place.DeleteKey(place.RecoveryKey);
                return Pairing.Failure(baseUrl, transport, reply);
            }
            await Task.Delay(backoff.Next(reply.RetryAfter), clock, ct);
        }
    }

    /// <summary>A file can be taken along; an entry belongs to the home that made it.</summary>
    private static string Elsewhere(AgentHome place) => place.KeyStore(place.RecoveryKey).Entry() is null
        ? $"run this again with --home DIR. The key is in '{place.RecoveryKey}': move it there first."
        : "ask for a new code and run this again with --home DIR.";

    /// <summary>Null while it waits.</summary>
    private static PairResult? Ended(AgentHome place, string baseUrl, RecoverResponse answer)
    {
        switch (answer.Rotation.State)
        {
            case KeyRotationState.Pending:
                return null;
            case KeyRotationState.Approved:
                var identity = Pairing.Remember(place, baseUrl, answer);
                place.FinishPairing();
                // A rotation from the lost key can't come to anything any more.
                new SuccessorKey(place).Forget();
                return new PairResult { Identity = identity };
            default:
                place.DeleteKey(place.RecoveryKey);
                return new PairResult { Error = $"The recovery was not approved ({answer.Rotation.State.ToString().ToLowerInvariant()}{(answer.Rotation.Reason is { } reason ? ": " + reason : "")}); ask an admin for a new code." };
        }
    }
}
