using System.Diagnostics.CodeAnalysis;
using Tanjiren.Agent.Connection;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Assignments;

/// <summary>
/// The keys that may sign work for this machine: the one that it got when it was paired, and those that it was led to from there. An assignment by another key makes it ask for the
/// announcements once; whatever comes back, only a signature by a key that counts already adds one.
/// </summary>
[SuppressMessage("Reliability", "CA1001", Justification = "A semaphore whose wait handle is never asked for holds nothing.")]
internal sealed partial class WorkTrust(AgentHome home, AgentIdentity identity, ControlPlaneClient client, AgentTimeouts timeouts, TimeProvider clock, ILogger log)
{
    private readonly SemaphoreSlim following = new(1, 1);
    private IReadOnlyList<Jwk> accepted = identity.WorkKeys is { Count: > 0 } known ? known : [.. identity.ServerKeys.Take(1)];

    public string InstanceId { get; } = identity.InstanceId;

    /// <summary>Thumbprint of the control plane's first key; null: this home was paired without one.</summary>
    public string? Issuer { get; } = identity.ServerKeys.Count > 0 ? identity.ServerKeys[0].Thumbprint() : null;

    /// <summary>The key of this thumbprint, if it counts. No answer: the server could not be asked, and nothing can be said.</summary>
    public async Task<(bool Answered, Jwk? Key)> FindAsync(string keyId, CancellationToken ct)
    {
        if (Find(keyId) is { } known) return (true, known);
        await following.WaitAsync(ct);
        try
        {
            if (Find(keyId) is { } learned) return (true, learned);
            return await FollowAsync(ct) ? (true, Find(keyId)) : (false, null);
        }
        finally
        {
            following.Release();
        }
    }

    private Jwk? Find(string keyId) => Volatile.Read(ref accepted).FirstOrDefault(key => key.Thumbprint() == keyId);

    /// <summary>False when no answer came in the time that a claim is given.</summary>
    private async Task<bool> FollowAsync(CancellationToken ct)
    {
        var backoff = new Backoff(timeouts.BackoffFirst, timeouts.BackoffMax);
        for (var began = clock.GetTimestamp(); ;)
        {
            var reply = await client.WorkKeysAsync(ct);
            if (reply.IsOk)
            {
                Accept(WorkKeyChain.Follow(Issuer ?? "", accepted, reply.Value!.Announcements ?? []));
                return true;
            }
            if (reply.Kind is not (ReplyKind.Unavailable or ReplyKind.ClockRefused)) return reply.Kind is ReplyKind.NotFound or ReplyKind.Refused;
            if (clock.GetElapsedTime(began) > timeouts.ClaimGiveUp) return false;
            await Task.Delay(backoff.Next(reply.RetryAfter), clock, ct);
        }
    }

    private void Accept(IReadOnlyList<Jwk> keys)
    {
        var newest = keys.TakeLast(WorkKeyChain.Accepted).ToList();
        if (newest.Select(key => key.Thumbprint()).SequenceEqual(accepted.Select(key => key.Thumbprint()), StringComparer.Ordinal)) return;
        Volatile.Write(ref accepted, newest);
        LogFollowed(newest[^1].Thumbprint());
        try
        {
            home.ChangeIdentity(now => now with { WorkKeys = newest });
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The next start is led to it again, from the keys that are on the disk.
            LogNotKept(e.Message);
        }
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "The control plane signs work with another key now, which the one before has announced: {Fingerprint}")]
    private partial void LogFollowed(string fingerprint);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The control plane's new key can't be written down yet: {Reason}")]
    private partial void LogNotKept(string reason);
}
