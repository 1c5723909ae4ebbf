using Tanjiren.Agent.Idle;
using Tanjiren.Agent.Keys;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Connection;

/// <summary>
/// The key loop: as long as a new key waits in the home, asks for it. The request is the same each time, so a lost answer, a crash or a server that forgot cost nothing;
/// and by asking it learns of the answer soon, since the first request after an approval is refused with <c>key_rotated</c>, upon which <see cref="DeviceTransport"/> goes
/// on with the new key. As long as one waits the agent does not suspend itself; in one that is suspended already, it is looked for at each heartbeat.
/// </summary>
internal sealed partial class KeyRotationLoop(
    ControlPlaneClient client, DeviceTransport transport, SuccessorKey successor, SessionKeeper sessions, AgentIdentity identity, AgentTimeouts timeouts, IdleState idle, TimeProvider clock, ILogger log)
{
    private volatile bool asking;

    /// <summary>A new key waits: the agent is not to suspend itself.</summary>
    public bool IsAsking => asking;

    /// <summary>What a person should know of the new key, or null.</summary>
    public string? Notice { get; private set; }

    public async Task RunAsync(CancellationToken ct)
    {
        while (true)
        {
            try
            {
                await RunOnceAsync(ct);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidDataException)
            {
                // The old key works on; a person may mend the disk or the file meanwhile.
                Tell($"The new key can't be used: {e.Message}");
            }
            await Task.Delay(timeouts.SlowRetry, clock, ct);
            await idle.BeatAsync(ct);
        }
    }

    private async Task RunOnceAsync(CancellationToken ct)
    {
        using var next = successor.Load();
        if (next is null)
        {
            // Put in place, or given up for a reason that stays on show.
            if (asking) (asking, Notice) = (false, null);
            return;
        }
        asking = true;
        idle.Stir();
        if (transport.KeyFingerprint != next.Fingerprint)
        {
            var payload = KeyStatement.PayloadFor(identity.InstanceId, next.Public, identity.ServerKeys.Select(key => key.Thumbprint()).FirstOrDefault(), clock.GetUtcNow());
            var request = new RequestKeyRotation { Statement = transport.State(payload), Acceptance = next.State(payload) };
            var reply = await client.RequestKeyRotationAsync(request, ct);
            if (transport.KeyFingerprint != next.Fingerprint)
            {
                Heed(reply, next.Fingerprint);
                return;
            }
        }
        // It counts already, and a full disk kept it from its place; without a pause it is not there because this loop was faster.
        successor.Install(next.Fingerprint);
    }

    private void Heed(Reply<KeyRotationBody> reply, string fingerprint)
    {
        switch (reply.Kind, reply.Value?.State)
        {
            case (ReplyKind.Ok, KeyRotationState.Pending):
                Tell($"A new key waits for an admin: `tanvrit-compute workstations approve-key {identity.InstanceName}`, with the last {KeyFingerprint.TypedLength} characters that `agent status` shows here.");
                break;
            case (ReplyKind.Ok, KeyRotationState.Rejected or KeyRotationState.Expired or KeyRotationState.Withdrawn):
                GiveUp($"The new key {fingerprint} was not approved ({reply.Value!.State.ToString().ToLowerInvariant()}{(reply.Value.Reason is { } reason ? ": " + reason : "")}); the old one goes on. `agent rotate-key` makes another."
                    + (reply.Value.State == KeyRotationState.Withdrawn ? " If nobody here asked twice, somebody else has this key: look at `workstations keys`." : ""));
                break;
            case (ReplyKind.Refused, _) when reply.Problem?.Is(ErrorCode.AlreadyPaired) == true:
                GiveUp($"The new key can't be used: {reply.Words}");
                break;
            case (ReplyKind.Refused or ReplyKind.NotClaimable, _):
                Tell($"The server does not take the request for a new key: {reply.Words}");
                break;
            case (ReplyKind.KeyRotated or ReplyKind.KeyRevoked, _):
                sessions.Concerns(sessions.Current ?? "", reply);
                break;
                // Everything else passes: it is asked again.
        }
    }

    /// <summary>Only upon the server's final word: a key that might still be approved must stay.</summary>
    private void GiveUp(string words)
    {
        successor.Forget();
        asking = false;
        Tell(words);
    }

    private void Tell(string words)
    {
        if (Notice == words) return;
        Notice = words;
        LogNotice(words);
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Words}")]
    private partial void LogNotice(string words);
}
